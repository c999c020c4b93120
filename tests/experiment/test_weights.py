"""Weights published with a table, and the table made of them again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import InputError
from pseudohealthy.experiment.config import Experiment, read_experiment
from pseudohealthy.experiment.runner import describe_steps, reproduce
from pseudohealthy.experiment.steps import list_steps
from pseudohealthy.experiment.weights import take_up_weights
from pseudohealthy.files import write_json

SMALL = (
    "data.phantom.patients=8",
    "methods=[{method: paired}, {method: cyclegan}, {method: conditional_gan}]",
    "judges.first.training.images=8",
    "settings.training.images=8",
    "settings.training.snapshot_every=4",
    "resegmentation_steps=2",
)
SMOKE = Path(__file__).parents[2] / "configs/smoke.yaml"


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    return read_experiment(SMOKE, list(SMALL))


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, experiment: Experiment) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    reproduce(experiment, folder, device="cpu")
    return folder


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory, out: Path, experiment: Experiment) -> Path:
    folder = tmp_path_factory.mktemp("from_weights")
    reproduce(experiment, folder, device="cpu", from_weights=out / "results/weights")
    return folder


def table1(out: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((out / "results/table1.json").read_text(encoding="utf-8"))
    return values


def test_every_judge_and_method_has_weights_in_half_precision(out: Path, experiment: Experiment) -> None:
    for kind, names in {"judge": experiment.judges, "train": None}.items():
        folders = sorted((out / "results/weights" / kind).iterdir())
        assert len(folders) == (3 if names is None else len(names))
        for folder in folders:
            (full,) = out.glob(f"{kind}/{folder.name}-????????/run/weights/model.safetensors")
            assert (folder / "model.safetensors").stat().st_size < 0.75 * full.stat().st_size
            assert (folder / "README.md").is_file()


def test_the_table_is_made_again_without_training(out: Path, again: Path) -> None:
    assert not list(again.rglob("state.pt"))
    before, after = table1(out), table1(again)
    assert [row["method"] for row in after["rows"]] == [row["method"] for row in before["rows"]]
    for old, new in zip(before["rows"], after["rows"], strict=True):
        assert new["identity"]["mean"] == pytest.approx(old["identity"]["mean"], abs=2e-3)
        assert new["healthiness"]["pooled"] == pytest.approx(old["healthiness"]["pooled"], abs=0.1)
        assert {key: new[key] for key in ("images", "images_in_all", "hours")} == {
            key: old[key] for key in ("images", "images_in_all", "hours")
        }
    for name in ("curves.tsv", "judge_curves.tsv", "pairs.tsv"):
        assert (again / "results" / name).read_bytes() == (out / "results" / name).read_bytes()


@pytest.mark.slow
def test_from_half_precision_it_comes_to_exactly_the_same(
    again: Path, experiment: Experiment, tmp_path: Path
) -> None:
    reproduce(experiment, tmp_path, device="cpu", from_weights=again / "results/weights")
    assert (tmp_path / "results/volumes.tsv").read_bytes() == (again / "results/volumes.tsv").read_bytes()


@pytest.fixture
def weights(out: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "weights"
    shutil.copytree(out / "results/weights", folder)
    return folder


def take_up(experiment: Experiment, out: Path, weights: Path, target: Path) -> None:
    prepared = Prepared.open(out / "prepared")
    take_up_weights(target, list_steps(experiment, prepared.manifest["key"]), prepared, weights)


def test_weights_of_other_settings_are_refused(out: Path, weights: Path, tmp_path: Path) -> None:
    other = read_experiment(SMOKE, [*SMALL, "settings.training.images=12"])
    with pytest.raises(InputError, match=r"training\.images was 8 and is 12.*--from-weights"):
        take_up(other, out, weights, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_of_other_patients_are_refused(
    out: Path, weights: Path, experiment: Experiment, tmp_path: Path
) -> None:
    (config,) = weights.glob("train/paired-*/config.json")
    values = json.loads(config.read_text(encoding="utf-8"))
    write_json(config, {**values, "data": {**values["data"], "train": 99}})
    with pytest.raises(InputError, match="train was 99 and is"):
        take_up(experiment, out, weights, tmp_path / "out")


def test_weights_that_are_missing_are_named(
    out: Path, weights: Path, experiment: Experiment, tmp_path: Path
) -> None:
    shutil.rmtree(weights / "judge/first")
    with pytest.raises(InputError, match="judge/first"):
        take_up(experiment, out, weights, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_trained_elsewhere_need_no_curve(
    out: Path, weights: Path, experiment: Experiment, tmp_path: Path
) -> None:
    """As a run of `train` leaves them: `weights/` with the clock beside."""
    for name in ("selection.json", "validation.json", "done.json"):
        for path in weights.rglob(name):
            path.unlink()
    target = tmp_path / "out"
    shutil.copytree(out / "prepared", target / "prepared")
    take_up(experiment, out, weights, target)
    steps = [line for line in describe_steps(experiment, target) if "judge" in line or "train" in line]
    assert steps
    assert all(line.startswith("done") for line in steps)


def test_a_training_that_has_begun_is_not_replaced(
    out: Path, weights: Path, experiment: Experiment, tmp_path: Path
) -> None:
    prepared = Prepared.open(out / "prepared")
    step = next(step for step in list_steps(experiment, prepared.manifest["key"]) if step.kind == "train")
    step.folder(tmp_path).mkdir(parents=True)
    with pytest.raises(InputError, match="begun without --from-weights"):
        take_up(experiment, out, weights, tmp_path)
