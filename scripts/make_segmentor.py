"""Writes the measured parts of `docs/segmentor.md` from its results files: `make results`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pseudohealthy.json_files import read_json
from scripts.measured_blocks import made_at, markdown, refilled

ROOT = Path(__file__).resolve().parents[1]
PAGE, RESULTS = ROOT / "docs/segmentor.md", ROOT / "results/segmentor.json"
HONEST = ROOT / "results/reliability/honest_output.json"
COHORTS = {"lgg": "glioma, volumes", "soop": "stroke, single slices"}
SIZES = {
    "smallest": "the smallest third",
    "middle": "the middle third",
    "largest": "the largest third",
    "all": "all",
}

Results = Mapping[str, Any]


def sizes(results: Results) -> str:
    """Dice and volume error of test patients by the size of their lesion."""
    heads = (
        *("lesions", "patients", "ml, as drawn", "Dice, median (quartiles)", "Dice, pooled", "missed"),
        *("volume error, ml", "size of the error, % of the lesion"),
    )
    rows = []
    for cohort, words in COHORTS.items():
        for size, of in SIZES.items():
            each = results[cohort][size]
            rows.append(
                (
                    f"{words}: {of}",
                    str(each["patients"]),
                    f"{each['least_ml']:.1f} to {each['greatest_ml']:.1f}",
                    _quartiles(each["dice"], ".2f"),
                    f"{each['dice_pooled']:.2f}",
                    str(each["missed"]),
                    _quartiles(each["error_ml"], "+.1f"),
                    _quartiles(each["size_of_error_percent"], ".0f"),
                )
            )
    worst = "; ".join(f"{words}: {', '.join(results[cohort]['worst'])}" for cohort, words in COHORTS.items())
    below = f"Missed: a Dice under 0.1. The patients with the lowest Dice: {worst}."
    return f"{markdown(heads, rows)}\n\n{below}{made_at(*(results[cohort] for cohort in COHORTS))}"


def without(honest: Results) -> str:
    """What is marked where there is no lesion."""
    volumes, slices = honest["phantoms_2_mm"], honest["slices"]
    head = honest["head"]
    rows = [
        ("phantoms, 2 mm", str(volumes["measured"]["number"]), *_marked(volumes["measured"])),
        *(
            (f"stroke slices without an infarct: {words}", str(each["number"]), *_marked(each))
            for stratum, words in (
                ("clean", "hardly anything bright"),
                ("between", "a few bright spots"),
                ("hyperintense", "many bright spots"),
            )
            if (each := slices["measured"].get(stratum))
        ),
    ]
    if "not_measured" not in head["measured"]:
        of = head["measured"]
        rows.append(
            (
                "a whole head, its skull taken off by HD-BET",
                "1",
                f"{of['marked_ml']:.1f}",
                f"{of['marked_percent']:.1f}",
            )
        )
    heads = ("scans", "number", "ml marked, median (95th percentile)", "% of the brain")
    return markdown(heads, rows) + made_at(volumes, slices, head)


def calibration(results: Results) -> str:
    """What share of the voxels of a probability is lesion."""
    heads = (
        "probability",
        *(f"{words}: {part}" for words in COHORTS.values() for part in ("share of the brain", "lesion")),
    )
    rows = []
    for place, first in enumerate(results["lgg"]["calibration"]["bins"]):
        bins = [results[cohort]["calibration"]["bins"][place] for cohort in COHORTS]
        cells = [
            cell
            for each in bins
            for cell in (
                f"{100 * each['share']:.1f} %",
                "–" if each["lesion"] is None else f"{100 * each['lesion']:.0f} %",
            )
        ]
        rows.append((f"{first['least']:.1f} to {first['least'] + 0.1:.1f}", *cells))
    errors = ", ".join(
        f"{words} {100 * results[cohort]['calibration']['expected_error']:.0f} points"
        for cohort, words in COHORTS.items()
    )
    return (
        f"{markdown(heads, rows)}\n\nMean difference between the two, above a probability of 0.1: {errors}."
    )


def _marked(each: Mapping[str, Any]) -> tuple[str, str]:
    ml, percent = each["marked_ml"], each["marked_percent"]
    return f"{ml['median']:.1f} ({ml['p95']:.1f})", f"{percent['median']:.1f} ({percent['p95']:.1f})"


def _quartiles(each: Mapping[str, float], digits: str) -> str:
    median, low, high = (f"{each[key]:{digits}}".replace("-", "−") for key in ("median", "low", "high"))
    return f"{median} ({low} to {high})"


def filled(text: str, results: Results, honest: Results) -> str:
    """The page with its measured parts made again."""
    parts: Mapping[str, Callable[[], str]] = {
        "sizes": partial(sizes, results),
        "without a lesion": partial(without, honest),
        "calibration": partial(calibration, results),
    }
    return refilled(text, parts)


if __name__ == "__main__":
    page = filled(PAGE.read_text(encoding="utf-8"), read_json(RESULTS), read_json(HONEST))
    PAGE.write_text(page, encoding="utf-8")
    print(PAGE, file=sys.stderr)
