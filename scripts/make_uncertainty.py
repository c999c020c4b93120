"""Writes the measured parts of `docs/howto/uncertainty.md` from its results file: `make results`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pseudohealthy.json_files import read_json
from scripts.measured_blocks import made_at, markdown, refilled

ROOT = Path(__file__).resolve().parents[1]
PAGE, RESULTS = ROOT / "docs/howto/uncertainty.md", ROOT / "results/uncertainty.json"
PLACES = {
    "inside": "inside the lesion",
    "marked": "– what the segmentor marks",
    "missed": "– what it misses",
    "rim": "rim, to 5 mm around it",
    "outside": "outside, the other brain",
    "all": "the whole brain",
}
PARTS_INSIDE = ("marked", "missed")
KINDS = {"transplanted": "transplanted lesions", "own": "patients' own lesions, as drawn"}

Results = Mapping[str, Any]


def healthy_image(results: Results) -> str:
    """What the intervals of the healthy image cover in test patients, by place."""
    heads = ("place", "68 %: covered", "half-width", "95 %: covered", "half-width", "mean error")
    rows = []
    inside = results["test"]["image"]["inside"]["voxels"]
    for place, words in PLACES.items():
        each = results["test"]["image"][place]
        cells = [cell for level in ("68", "95") for cell in (_covered(each[level]), _share(each[level]))]
        share = f", {100 * each['voxels'] / inside:.0f} % of it" if place in PARTS_INSIDE else ""
        rows.append((words + share, *cells, f"{100 * each['error']:.1f}"))
    test = results["test"]
    below = f"{test['slices']} slices of {test['patients']} test patients. Half-width and error: % of the "
    return f"{markdown(heads, rows)}\n\n{below}intensity range.{made_at(test)}"


def lesion_volume(results: Results) -> str:
    """How many true volumes of test patients are in their intervals."""
    rows = []
    for kind, words in KINDS.items():
        each = results["test"]["volume"][kind]
        cells = (
            cell
            for level in ("68", "95")
            for cell in (
                _covered(each[level]),
                f"{each[level]['least']:.2f} to {each[level]['greatest']:.1f} times",
            )
        )
        rows.append((words, str(each["patients"]), *cells))
    heads = ("lesions", "patients", "68 %: covered", "of the measured", "95 %: covered", "of the measured")
    return markdown(heads, rows)


def averaged_weights(results: Results) -> str:
    """How runs on changed copies and averaged weights follow the error, by place."""
    found = results["averaged"]["correlation"]
    heads = ("place", *found["inside"])
    rows = [(place, *(f"{value:.2f}" for value in each.values())) for place, each in found.items()]
    return markdown(heads, rows) + made_at(results["averaged"])


PARTS: Mapping[str, Callable[[Results], str]] = {
    "healthy image": healthy_image,
    "lesion volume": lesion_volume,
    "averaged weights": averaged_weights,
}


def filled(text: str, results: Results) -> str:
    """The page with its measured parts made again."""
    return refilled(text, {part: partial(make, results) for part, make in PARTS.items()})


def _covered(each: Mapping[str, float]) -> str:
    low, high = (f"{100 * each[key]:.0f}" for key in ("low", "high"))
    return f"{100 * each['mean']:.0f} % [{low}, {high}]"


def _share(each: Mapping[str, float]) -> str:
    return f"{100 * each['half_width']:.1f}"


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), read_json(RESULTS)), encoding="utf-8")
    print(PAGE, file=sys.stderr)
