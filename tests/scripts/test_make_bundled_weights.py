"""The bundled weights are the trained ones in half precision, with a card that says their scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from fixtures.models import saved
from pseudohealthy.report.table1.cells import cell
from pseudohealthy.synthesis.model import Model
from pseudohealthy.training.weights import CARD
from scripts.make_bundled_weights import WORDS, bundle

RESULTS = Path(__file__).resolve().parents[2] / "results"

SUMMARY = json.loads((RESULTS / "whole/package/summary.json").read_text(encoding="utf-8"))
DISTRIBUTION = SUMMARY["model"]["training_distribution"]


def bundled(folder: Path) -> tuple[Path, Path]:
    weights = saved(folder / "weights")
    (weights / "training_distribution.json").write_text(json.dumps(DISTRIBUTION), encoding="utf-8")
    scores = {"validation": RESULTS / "ablations/base", "test": RESULTS / "lgg/table1.json"}
    bundle(weights, folder / "bundled", scores)
    return weights, folder / "bundled"


def test_they_are_the_trained_weights_in_half_precision(tmp_path: Path) -> None:
    weights, out = bundled(tmp_path)
    assert {tensor.dtype for tensor in load_file(out / "model.safetensors").values()} == {torch.float16}
    x = np.random.default_rng(0).random((2, 64, 48), dtype=np.float32)
    trained, half = (Model.load(folder, "cpu").synthesize(x) for folder in (weights, out))
    assert np.abs(trained - half).max() < 0.01
    assert json.loads((out / "training_distribution.json").read_text(encoding="utf-8")) == DISTRIBUTION


def test_the_card_says_where_they_fail_and_what_they_scored(tmp_path: Path) -> None:
    card = (bundled(tmp_path)[1] / CARD).read_text(encoding="utf-8")
    assert WORDS.read_text(encoding="utf-8").strip() in card
    summary = json.loads((RESULTS / "ablations/base/summary.json").read_text(encoding="utf-8"))
    assert f"- identity ↑: {cell(summary['identity'])}\n" in card
    assert "On 12 validation volumes" in card
    rows = json.loads((RESULTS / "lgg/table1.json").read_text(encoding="utf-8"))["rows"]
    paired = next(row for row in rows if (row["method"], row["output"]) == ("paired", "raw"))
    assert f"- Dice of the segmentor ↑: {cell(paired['segmentor_dice'])}\n" in card
    assert "On 30 test volumes" in card
    assert card.index("## Results") < card.index("## Preprocessing")
