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
LEFT_IN, PLACES = "left in", ("inside", "near", "far")
NOT_OURS_TO_CHOOSE = ("before registration", "no lesion")  # beside what may be done about a lesion
COHORTS = {
    "phantoms": "Phantoms: the error, in mm",
    "lgg": "Patients with glioma: the difference between the two sides, in mm",
}

Results = Mapping[str, Any]


def found(results: Results) -> str:
    """What comes out inside the lesion, in a sentence for each cohort."""
    return " ".join(_found(name, images) for name, images in results["measured"].items())


def _found(cohort: str, images: Mapping[str, Any]) -> str:
    choices = {name: each["inside"] for name, each in images.items() if name not in NOT_OURS_TO_CHOOSE}
    left_in = choices.pop(LEFT_IN)["error"]["mean"]
    least = min(choices, key=lambda name: float(choices[name]["error"]["mean"]))
    better = [name for name, each in choices.items() if each["difference"]["high"] < 0]
    worse = [name for name, each in choices.items() if each["difference"]["low"] > 0]
    said = [
        f"{', '.join(names)} {word}" for names, word in ((better, "do better"), (worse, "do worse")) if names
    ]
    sure = f"beyond chance, {' and '.join(said)}" if said else "none differs from it beyond chance"
    best = f"{least} comes out best ({choices[least]['error']['mean']:.1f} mm, with the lesion"
    return f"Inside the lesions of {cohort}, {best} left in {left_in:.1f} mm); {sure}."


def tables(results: Results) -> str:
    """A table for each cohort: what is registered, and the mean error with its interval by place."""
    heads = ("what is registered", "inside the lesion", "to 10 mm around it", "further away")
    parts = []
    for cohort, images in results["measured"].items():
        rows = [(name, *(_cell(each[place]) for place in PLACES)) for name, each in images.items()]
        count = len({row["subject"] for row in results["patients"][cohort]})
        parts.append(f"{COHORTS[cohort]} ({count} of them).\n\n{markdown(heads, rows)}")
    return "\n\n".join(parts) + made_at(results)


def _cell(each: Mapping[str, Mapping[str, float]]) -> str:
    """Mean error, and the interval of the difference to the lesion left in; bold where it is not 0."""
    error, difference = each["error"]["mean"], each["difference"]
    if not difference["std"]:  # the lesion left in itself
        return f"{error:.2f}"
    sure = "**" if difference["low"] > 0 or difference["high"] < 0 else ""
    return f"{error:.2f} ({sure}{difference['low']:+.2f} to {difference['high']:+.2f}{sure})"


def filled(text: str, results: Results) -> str:
    """The page with its measured part made again."""
    return refilled(text, {"registration": lambda: f"{found(results)}\n\n{tables(results)}"})


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), read_json(RESULTS)), encoding="utf-8")
    print(PAGE, file=sys.stderr)
