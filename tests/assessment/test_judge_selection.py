"""The weights of a judge that are taken: of judges of which it is known what they find."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fixtures.cohorts import FITTING, one_slice
from fixtures.drawn_cohort import AREA, SHAPE, drawn
from fixtures.models import judge, saved, tiny
from pseudohealthy.assessment.judge_selection import select_judge
from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.data.prepare import prepare
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.synthesis.model import Model
from pseudohealthy.training.checkpoint import save_weights
from pseudohealthy.training.loop import train
from pseudohealthy.training.weights import read_config

PIXELS = SHAPE[0] * SHAPE[1]


@pytest.fixture
def cohort() -> Prepared:
    """Validation: three slices of lesions brighter than all tissue, three healthy ones, one at an end."""
    cohort = drawn()
    last = cohort.slices.index[(cohort.slices["split"] == "val") & (cohort.slices["label"] == "healthy")][-1]
    label = cohort.slices["label"].copy()
    end = cohort.slices.loc[[last]].assign(label="edge", row=len(label))
    return replace(
        cohort,
        images=np.concatenate([cohort.images, cohort.images[[last]]]),
        masks=np.concatenate([cohort.masks, cohort.masks[[last]]]),
        slices=pd.concat([cohort.slices, end], ignore_index=True),
    )


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose kept judges mark what is brighter than 0.6, 0.45 and 0.6 again, and 0.71 at the end."""
    rules = {"0000004": 0.45, "0000008": 0.6, "0000012": 0.6, "0000016": 0.71}
    for name in rules:
        kept(tmp_path / "snapshots" / name, int(name))
    kept(tmp_path / "weights_ema", 16)
    load = Model.load
    monkeypatch.setattr(
        Model,
        "load",
        lambda folder, device: judge(rules[folder.name]) if folder.name in rules else load(folder, device),
    )
    return tmp_path


def kept(folder: Path, images: int) -> None:
    """Weights that are known by their number of images."""
    model = Model.load(saved(folder, "judge"), "cpu")
    save_weights(folder, model.networks, {**read_config(folder), "images": images})


def result(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "validation.json").read_text())
    return found


def test_the_best_on_every_validation_slice_is_taken_of_equal_ones_the_later(
    run: Path, cohort: Prepared
) -> None:
    best = select_judge(run, cohort, "cpu")
    assert best == run / "best"
    assert read_config(best)["images"] == 12
    taken = run / "snapshots/0000012"
    assert {file.name: file.read_bytes() for file in best.iterdir()} == {
        file.name: file.read_bytes() for file in taken.iterdir()
    }
    assert (result(run)["weights"], result(run)["images"]) == ("snapshots/0000012", 12)
    assert [point["images"] for point in result(run)["curve"]] == [4, 8, 12, 16]


def test_a_point_of_the_curve_by_hand(run: Path, cohort: Prepared) -> None:
    """One judge finds every lesion and nothing else; one finds tissue, too, in every slice."""
    select_judge(run, cohort, "cpu")
    table = cohort.slices[cohort.slices["split"] == "val"]
    parts = {label: table["row"][table["label"] == label] for label in ("pathological", "healthy", "edge")}
    first, second, _, last = result(run)["curve"]
    wrong = {label: int((cohort.images[rows] >= 0.45).sum()) for label, rows in parts.items()}
    wrong["pathological"] -= 3 * AREA
    everywhere = sum(wrong.values())
    assert min(wrong.values()) > 0
    assert first["dice_every_slice"] == pytest.approx(6 * AREA / (6 * AREA + everywhere))
    assert first["dice_pooled"] == pytest.approx(6 * AREA / (6 * AREA + wrong["pathological"]))
    assert first["h_copy"] == pytest.approx(-wrong["pathological"] / (3 * AREA))
    assert first["h_real_healthy"] == pytest.approx(1 - wrong["healthy"] / 3 / AREA)
    assert first["cross_entropy"] == pytest.approx(-np.log(1e-6) * everywhere / (7 * PIXELS), rel=1e-4)
    assert second["dice_every_slice"] == second["dice_pooled"] == second["h_real_healthy"] == 1
    assert second["h_copy"] == second["cross_entropy"] == 0
    assert last["h_copy"] == pytest.approx(2 / 3)  # the other patient's lesion is at 0.70


def test_only_validation_slices_decide(run: Path, cohort: Prepared) -> None:
    select_judge(run, cohort, "cpu")
    before = result(run)
    masks = cohort.masks.copy()
    masks[(cohort.slices["split"] != "val").to_numpy()] = 1
    select_judge(run, replace(cohort, masks=masks), "cpu")
    assert result(run) == before


def test_without_healthy_slices_the_curve_is_strict(run: Path, cohort: Prepared) -> None:
    ill = replace(cohort, slices=cohort.slices[cohort.slices["label"] == "pathological"])
    select_judge(run, ill, "cpu")
    assert {point["h_real_healthy"] for point in result(run)["curve"]} == {None}


def test_the_averaged_weights_of_the_end_where_there_is_nothing_to_choose(
    run: Path, cohort: Prepared
) -> None:
    blind = replace(cohort, slices=cohort.slices[cohort.slices["split"] != "val"])
    assert read_config(select_judge(run, blind, "cpu"))["images"] == 16
    assert (result(run)["weights"], result(run)["curve"]) == ("weights_ema", [])
    shutil.rmtree(run / "snapshots")
    select_judge(run, cohort, "cpu")
    assert (result(run)["weights"], result(run)["curve"]) == ("weights_ema", [])


def test_a_judge_of_one_slice_a_patient(tmp_path: Path) -> None:
    prepare(read_cohort([one_slice(tmp_path / "data", 8, 6)]), tmp_path / "prepared", FITTING)
    cohort = Prepared.open(tmp_path / "prepared")
    train(cohort, tmp_path / "run", tiny("judge", "training.snapshot_every=8"), accelerator="cpu")
    select_judge(tmp_path / "run", cohort, "cpu")
    assert len(result(tmp_path / "run")["curve"]) == 2
    for point in result(tmp_path / "run")["curve"]:
        assert all(np.isfinite(value) for value in point.values())


def test_a_trained_judge_has_its_best_weights_and_a_second_choice_is_the_first(
    prepared: Prepared, tmp_path: Path
) -> None:
    train(prepared, tmp_path / "run", tiny("judge", "training.snapshot_every=4"), accelerator="cpu")
    best = select_judge(tmp_path / "run", prepared, "cpu")
    files = {path.name: path.read_bytes() for path in [*best.iterdir(), tmp_path / "run/validation.json"]}
    assert read_config(best)["averaged"]
    assert len(result(tmp_path / "run")["curve"]) == 4
    select_judge(tmp_path / "run", prepared, "cpu")
    again = {path.name: path.read_bytes() for path in [*best.iterdir(), tmp_path / "run/validation.json"]}
    assert again == files
