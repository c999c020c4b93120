"""Weights published with a table, and the table made of them again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fixtures.experiments import SMOKE
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import InputError
from pseudohealthy.experiment.config import Experiment, read_experiment
from pseudohealthy.experiment.runner import describe_steps, reproduce
from pseudohealthy.experiment.steps import list_steps
from pseudohealthy.experiment.weights import take_up_weights
from pseudohealthy.files import read_tsv, write_json

FEWER = ["methods=[{method: conditional_gan}, {method: paired}]", "resegmentation_steps=2"]


@pytest.fixture(scope="module")
def fewer() -> Experiment:
    """Two of the methods of `smoke`."""
    return read_experiment(SMOKE, FEWER)


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory, finished: Path, fewer: Experiment) -> Path:
    folder = tmp_path_factory.mktemp("from_weights")
    reproduce(fewer, folder, device="cpu", from_weights=finished / "results/weights")
    return folder


def table1(out: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((out / "results/table1.json").read_text(encoding="utf-8"))
    return values


def row_name(row: dict[str, Any]) -> tuple[str, ...]:
    return row["method"], row["output"], row["mask"]


def test_every_judge_and_method_has_weights_in_half_precision(finished: Path, smoke: Experiment) -> None:
    for kind, number in {"judge": len(smoke.judges), "train": len(smoke.runs)}.items():
        folders = sorted((finished / "results/weights" / kind).iterdir())
        assert len(folders) == number
        for folder in folders:
            (full,) = finished.glob(f"{kind}/{folder.name}-????????/run/weights/model.safetensors")
            assert (folder / "model.safetensors").stat().st_size < 0.75 * full.stat().st_size
            assert (folder / "README.md").is_file()


def test_the_table_is_made_again_without_training(finished: Path, again: Path) -> None:
    assert not list(again.rglob("state.pt"))
    before = {row_name(row): row for row in table1(finished)["rows"]}
    rows = table1(again)["rows"]
    assert {row["method"] for row in rows} >= {"conditional_gan", "paired", "copy"}
    for new in rows:
        old = before[row_name(new)]
        assert new["identity"]["mean"] == pytest.approx(old["identity"]["mean"], abs=2e-3)
        assert new["healthiness"]["pooled"] == pytest.approx(old["healthiness"]["pooled"], abs=0.1)
        assert {key: new[key] for key in ("images", "images_in_all", "hours")} == {
            key: old[key] for key in ("images", "images_in_all", "hours")
        }
    for name in ("judge_curves.tsv", "pairs.tsv"):
        assert (again / "results" / name).read_bytes() == (finished / "results" / name).read_bytes()
    curves, all_curves = (read_tsv(out / "results/curves.tsv") for out in (again, finished))
    own = all_curves[all_curves["method"].isin(["conditional_gan", "paired"])]
    pd.testing.assert_frame_equal(curves, own.reset_index(drop=True))


@pytest.mark.slow
def test_from_half_precision_it_comes_to_exactly_the_same(
    again: Path, fewer: Experiment, tmp_path: Path
) -> None:
    reproduce(fewer, tmp_path, device="cpu", from_weights=again / "results/weights")
    assert (tmp_path / "results/volumes.tsv").read_bytes() == (again / "results/volumes.tsv").read_bytes()


@pytest.fixture
def weights(finished: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    shutil.copytree(finished / "results/weights", folder)
    return folder


def take_up(experiment: Experiment, out: Path, weights: Path, target: Path) -> None:
    prepared = Prepared.open(out / "prepared")
    take_up_weights(target, list_steps(experiment, prepared.manifest["key"]), prepared, weights)


def test_weights_of_other_settings_are_refused(finished: Path, weights: Path, tmp_path: Path) -> None:
    other = read_experiment(SMOKE, ["settings.training.images=12"])
    with pytest.raises(InputError, match=r"training\.images was 24 and is 12.*--from-weights"):
        take_up(other, finished, weights, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_a_method_does_not_read_may_be_another(
    finished: Path, weights: Path, smoke: Experiment, tmp_path: Path
) -> None:
    """As of a training by itself, whose preset has values for all methods."""
    for config in (*weights.glob("judge/*/config.json"), *weights.glob("train/cyclegan-*/config.json")):
        values = json.loads(config.read_text(encoding="utf-8"))
        values["settings"]["losses"]["residual_lesion"] = 4.5
        values["settings"]["training"]["snapshot_every"] = 7
        write_json(config, values)
    take_up(smoke, finished, weights, tmp_path / "out")
    assert (tmp_path / "out").is_dir()


def test_weights_of_other_patients_are_refused(
    finished: Path, weights: Path, smoke: Experiment, tmp_path: Path
) -> None:
    (config,) = weights.glob("train/paired-*/config.json")
    values = json.loads(config.read_text(encoding="utf-8"))
    write_json(config, {**values, "data": {**values["data"], "train": 99}})
    with pytest.raises(InputError, match="train was 99 and is"):
        take_up(smoke, finished, weights, tmp_path / "out")


def test_weights_that_are_missing_are_named(
    finished: Path, weights: Path, smoke: Experiment, tmp_path: Path
) -> None:
    shutil.rmtree(weights / "judge/first")
    with pytest.raises(InputError, match="judge/first"):
        take_up(smoke, finished, weights, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_trained_elsewhere_need_no_curve(
    finished: Path, weights: Path, smoke: Experiment, tmp_path: Path
) -> None:
    """As a run of `train` leaves them: `weights/` with the clock beside."""
    for name in ("selection.json", "validation.json", "done.json"):
        for path in weights.rglob(name):
            path.unlink()
    target = tmp_path / "out"
    shutil.copytree(finished / "prepared", target / "prepared")
    take_up(smoke, finished, weights, target)
    steps = [line for line in describe_steps(smoke, target) if "judge" in line or "train" in line]
    assert steps
    assert all(line.startswith("done") for line in steps)


def test_a_training_that_has_begun_is_not_replaced(
    finished: Path, weights: Path, smoke: Experiment, tmp_path: Path
) -> None:
    prepared = Prepared.open(finished / "prepared")
    step = next(step for step in list_steps(smoke, prepared.manifest["key"]) if step.kind == "train")
    step.folder(tmp_path).mkdir(parents=True)
    with pytest.raises(InputError, match="begun without --from-weights"):
        take_up(smoke, finished, weights, tmp_path)
