"""Writes the measured part of `docs/howto/export.md` from its results file: `make results`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pseudohealthy.json_files import read_json
from scripts.measured_blocks import made_at, markdown, refilled

ROOT = Path(__file__).resolve().parents[1]
PAGE, RESULTS = ROOT / "docs/howto/export.md", ROOT / "results/int8.json"
CHANGES = {
    "identity": "identity",
    "healthiness": "healthiness",
    "dice": "the segmentor's Dice, pooled",
    "greatest_change_outside": "greatest change of a voxel outside the lesion's surroundings",
}
NETWORKS = {"G": "generator", "S": "segmentor", "together": "both"}

Results = Mapping[str, Any]


def cost(results: Results) -> str:
    """What is lost on validation patients, beside the limit of each."""
    rows = []
    for name, words in CHANGES.items():
        values = (f"{results[each][name]:.4f}" if name in results[each] else "" for each in ("f32", "int8"))
        rows.append((words, *values, f"{results['changes'][name]:.4f}", f"{results['limits'][name]}"))
    table = markdown(("", "fp32", "8-bit integers", "difference", "limit"), rows)
    share = f"{100 * results['marked_otherwise'] / results['marked']:.1f} %"
    below = (
        f"{results['slices']} slices of {results['patients']} validation patients. A voxel's change is of "
        "the intensity range; surroundings reach 8 mm from the mask and from what the segmentor gives 5 % or "
        f"more. The voxels that are marked in one and not in the other are {share} of the marked ones."
    )
    return f"{table}\n\n{below}"


def speed(results: Results) -> str:
    """How many times as fast as fp32, by the processor's instructions."""
    rows = [
        (kind, *(_spread(each[name]) for name in NETWORKS))
        for kind, each in results["times_as_fast_as_f32"].items()
    ]
    heads = ("processor with", *NETWORKS.values())
    return markdown(heads, rows) + made_at(results)


def _spread(values: Mapping[str, float]) -> str:
    return f"{values['median']:.2f} ({values['lowest']:.2f} to {values['highest']:.2f})"


def filled(text: str, results: Results) -> str:
    """The page with its measured part made again."""
    return refilled(text, {"int8": lambda: f"{cost(results)}\n\n{speed(results)}"})


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), read_json(RESULTS)), encoding="utf-8")
    print(PAGE, file=sys.stderr)
