"""Writes the bundled weights: a trained folder in half precision, with a card made from its scores.

    python scripts/make_bundled_weights.py RUN/weights SCORES_VAL FOLDER_OF_WEIGHTS [SCORES_TEST]

SCORES are folders of `pseudohealthy evaluate`, or a `table1.json` with the run's row; the words about data
and failures are in `results/weights_card.md`.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pseudohealthy.catalogue.measures import MEASURES
from pseudohealthy.report.table1.cells import cell, get_path
from pseudohealthy.synthesis.model import Model
from pseudohealthy.training.checkpoint import save_in_half_precision
from pseudohealthy.training.weights import CARD, read_config

WORDS = Path(__file__).parents[1] / "results" / "weights_card.md"
REPORTED = (
    *("identity", "identity_normalised", "healthiness", "balance", "texture", "segmentor_dice"),
    *("healthy_in.ms_ssim", "healthy_in.false_positive_voxels", "truth_transplant.inside.psnr"),
    "checkerboard",
)


def bundle(weights: Path, out: Path, scores: Mapping[str, Path]) -> None:
    """Write `out`, in place of what was there.

    Args:
        weights: a weights folder.
        out: the bundled folder.
        scores: folders of scores, or a `table1.json`, by what they are of.
    """
    config = read_config(weights)
    save_in_half_precision(weights, out)
    x = np.random.default_rng(0).random((2, *config["preprocessing"]["slice_shape"]), dtype=np.float32)
    full, half = (Model.load(folder, "cpu").synthesize(x) for folder in (weights, out))
    lost = float(np.abs(half - full).max())
    shutil.copy(weights / "training_distribution.json", out)
    head, rest = (out / CARD).read_text(encoding="utf-8").split("## Preprocessing", 1)
    words = WORDS.read_text(encoding="utf-8").strip()
    precision = (
        f"Saved in half precision; on noise the output of G (the generator) changes by {lost:.1e} of the "
        "range at most."
    )
    results = "\n\n".join(_results(of, path, config["settings"]["method"]) for of, path in scores.items())
    card = f"{head}{precision}\n\n{words}\n\n## Results\n\n{results}\n\n## Preprocessing{rest}"
    (out / CARD).write_text(card, encoding="utf-8")


def _results(of: str, path: Path, method: str) -> str:
    summary = json.loads((path if path.is_file() else path / "summary.json").read_text(encoding="utf-8"))
    if "rows" in summary:
        wanted = (method, "raw")
        summary = next(row for row in summary["rows"] if (row["method"], row["output"]) == wanted)
    values = {key: get_path(summary, key) for key in REPORTED}
    lines = [f"- {MEASURES[key].head}: {cell(value)}" for key, value in values.items() if value]
    title = f"On {summary['volumes']} {of} volumes, raw output, mean ± standard deviation [95 % interval]:"
    return "\n".join([title, "", *lines])


if __name__ == "__main__":
    folder, validation, target, *test = map(Path, sys.argv[1:])
    bundle(folder, target, {"validation": validation} | dict(zip(["test"], test, strict=False)))
