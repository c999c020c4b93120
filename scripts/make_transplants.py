"""Writes the measured part of `docs/howto/transplant.md` from its results file: `make results`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

from pseudohealthy.json_files import read_json
from scripts.measured_blocks import made_at, markdown, refilled

ROOT = Path(__file__).resolve().parents[1]
PAGE, RESULTS = ROOT / "docs/howto/transplant.md", ROOT / "results/transplants.json"
COHORTS = {"lgg": "glioma", "soop": "stroke"}
GAINS = {
    "painted": "gain of painted ones",
    "transplanted": "gain of transplanted ones",
    "transplanted_over_painted": "transplanted over painted",
}

MARKED = "marked where there is none, % of the brain: real alone, with painted, with transplanted"

Results = Mapping[str, Any]


def found(results: Results) -> str:
    """Where transplanted lesions help, harm or do neither, in a sentence."""
    words: dict[str, list[str]] = {"help": [], "harm": [], "make no sure difference to": []}
    for cohort, counts in results["cohorts"].items():
        for count, each in counts.items():
            gain = each["gain"]["transplanted"]
            words[_effect(gain)].append(f"{count} patients with {COHORTS[cohort]} ({gain['mean']:+.3f})")
    parts = [
        f"{effect} a segmentor trained on {', '.join(where)}" for effect, where in words.items() if where
    ]
    return f"Transplanted lesions {'; they '.join(parts)}."


def _effect(gain: Mapping[str, Any]) -> str:
    """What a gain says whose interval leaves out 0, and whose seeds agree."""
    if gain["low"] > 0 and min(gain["by_seed"]) > 0:
        return "help"
    return "harm" if gain["high"] < 0 and max(gain["by_seed"]) < 0 else "make no sure difference to"


def table(results: Results) -> str:
    """Dice on test patients, and what is gained, with intervals: a row a cohort and number of patients."""
    heads = ("disease", "real patients with a lesion", "Dice, real alone", *GAINS.values(), MARKED)
    rows = [
        (
            COHORTS[cohort],
            count,
            f"{each['dice']['real']['mean']:.3f}",
            *(_gain(each["gain"][name]) for name in GAINS),
            ", ".join(f"{100 * fmean(shares):.2f}" for shares in each["marked_without_lesion"].values()),
        )
        for cohort, counts in results["cohorts"].items()
        for count, each in counts.items()
    ]
    pieces = [each for counts in results["cohorts"].values() for each in counts.values()]
    first = pieces[0]["config"]
    if any(each["config"] != first for each in pieces):
        raise ValueError("expected all of it measured with the same settings")
    patients = " and ".join(
        f"{next(iter(counts.values()))['patients']} with {COHORTS[cohort]}"
        for cohort, counts in results["cohorts"].items()
    )
    images, lesions, seeds = (first[key] for key in ("images", "lesions", "seeds"))
    below = (
        f"Mean Dice over the test patients with a lesion ({patients}) and {seeds} seeds, and the mean "
        "difference with its 95 % interval over the patients. Each training sees "
        f"{images:,} images; {lesions} lesions are added, and half of the volumes with a lesion stay real."
    )
    return f"{markdown(heads, rows)}\n\n{below}{made_at(*pieces)}"


def _gain(each: Mapping[str, float]) -> str:
    return f"{each['mean']:+.3f} ({each['low']:+.3f} to {each['high']:+.3f})"


def filled(text: str, results: Results) -> str:
    """The page with its measured part made again."""
    return refilled(text, {"transplants": lambda: f"{found(results)}\n\n{table(results)}"})


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), read_json(RESULTS)), encoding="utf-8")
    print(PAGE, file=sys.stderr)
