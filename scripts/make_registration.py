"""Writes the measured part of `docs/howto/lesion_filling.md` from its results file: `make results`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pseudohealthy.json_files import read_json
from scripts.measured_blocks import made_at, markdown, refilled

ROOT = Path(__file__).resolve().parents[1]
PAGE, RESULTS = ROOT / "docs/howto/lesion_filling.md", ROOT / "results/registration.json"
LEFT_IN, NO_LESION = "left in", "no lesion"
NOT_TO_CHOOSE = (LEFT_IN, NO_LESION, "before registration")  # beside what may be done about a lesion
COLUMNS = {
    "inside": "inside the lesion",
    "near": "to 10 mm around it",
    "far": "further away",
    "beyond_affine": "moved beyond the affine part, inside",
}
PHANTOMS, COHORTS = "phantoms", {"lgg": "patients with glioma"}

Results = Mapping[str, Any]


def found(results: Results) -> str:
    """What comes out inside the lesion, in sentences for each cohort."""
    return " ".join(_found(cohort, images) for cohort, images in results["measured"].items())


def _found(cohort: str, images: Mapping[str, Any]) -> str:
    inside = {name: each["inside"] for name, each in images.items()}
    left_in = inside[LEFT_IN]["mean"]["mean"]
    if cohort == PHANTOMS:
        without = inside[NO_LESION]["mean"]["mean"]
        first = (
            f"Inside the lesions of phantoms the error is {left_in:.1f} mm with the lesion left in, and "
            f"{without:.1f} mm in the same scans without one"
        )
    else:
        whose = f"Inside the lesions of {COHORTS[cohort]} the two sides differ"
        first = f"{whose} by {left_in:.1f} mm with the lesion left in"
    choices = {name: each["difference"] for name, each in inside.items() if name not in NOT_TO_CHOOSE}
    better = [name for name, each in choices.items() if each["high"] < 0]
    worse = [name for name, each in choices.items() if each["low"] > 0]
    said = [f"less: {', '.join(better)}"] * bool(better) + [f"more: {', '.join(worse)}"] * bool(worse)
    sure = f"surely {'; surely '.join(said)}" if said else "nothing that is done about it surely changes that"
    return f"{first}; {sure}."


def tables(results: Results) -> str:
    """A table for each cohort: what is registered, and the means by place, in mm."""
    heads = ("what is registered", *COLUMNS.values())
    parts = []
    for cohort, images in results["measured"].items():
        rows = [(name, *(_cell(each[place]) for place in COLUMNS)) for name, each in images.items()]
        count = len({row["subject"] for row in results["patients"][cohort]})
        what = "phantoms: error" if cohort == PHANTOMS else f"{COHORTS[cohort]}: difference of the two sides"
        parts.append(f"{count} {what}, in mm.\n\n{markdown(heads, rows)}")
    return "\n\n".join(parts) + made_at(results)


def _cell(each: Mapping[str, Mapping[str, float]]) -> str:
    """The mean, and the interval of the difference to the lesion left in; bold where it leaves out 0."""
    mean, difference = each["mean"]["mean"], each["difference"]
    if not difference["std"]:  # the lesion left in itself
        return f"{mean:.2f}"
    sure = "**" if difference["low"] > 0 or difference["high"] < 0 else ""
    return f"{mean:.2f} ({sure}{difference['low']:+.2f} to {difference['high']:+.2f}{sure})"


def filled(text: str, results: Results) -> str:
    """The page with its measured part made again."""
    return refilled(text, {"registration": lambda: f"{found(results)}\n\n{tables(results)}"})


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), read_json(RESULTS)), encoding="utf-8")
    print(PAGE, file=sys.stderr)
