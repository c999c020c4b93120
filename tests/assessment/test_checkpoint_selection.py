"""The checkpoint that is taken: of models whose identity and healthiness are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
from torch import nn

from fixtures.drawn_cohort import AREA, drawn
from fixtures.models import judge, saved
from pseudohealthy.assessment.checkpoint_selection import choose
from pseudohealthy.config import MethodName
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import InputError
from pseudohealthy.evaluation.identity import identity
from pseudohealthy.evaluation.slice_set import SliceSet
from pseudohealthy.experiment.config import Experiment
from pseudohealthy.experiment.runner import StepRunner
from pseudohealthy.experiment.steps import SELECTION, list_steps
from pseudohealthy.synthesis.model import Model
from pseudohealthy.training.checkpoint import save_weights
from pseudohealthy.training.weights import read_config


@pytest.fixture(scope="module")
def cohort() -> Prepared:
    return drawn()


@pytest.fixture(scope="module")
def case(cohort: Prepared) -> SliceSet:
    """Validation slices: two of one volume, one of another."""
    return SliceSet.of(cohort, "val")


def checkpoint(folder: Path, method: MethodName = "paired", *, adds: float = 0, images: int = 0) -> Path:
    """Weights whose G adds tanh(`adds`) to every pixel, within [0, 1]."""
    saved(folder, method, copying=method != "inpainter")
    model = Model.load(folder, "cpu")
    if method != "inpainter":
        output = cast(nn.Conv2d, model.networks["G"].output)
        nn.init.constant_(cast(nn.Parameter, output.bias), adds)
    save_weights(folder, model.networks, {**read_config(folder), "images": images})
    return folder


def run(folder: Path, **adds: float) -> Path:
    """A run with a snapshot each: `k4=-0.1` is one after 4 images."""
    for name, value in adds.items():
        checkpoint(folder / "snapshots" / f"{int(name[1:]):07d}", adds=value)
    return folder


def test_neither_identity_nor_healthiness_alone_decides(tmp_path: Path, case: SliceSet) -> None:
    """A copy heals nothing; the last is as healthy as the second, and keeps less."""
    folder = run(tmp_path, k4=0, k8=-0.3, k12=-0.4)
    found = choose(folder, case, {"first": judge(0.6)}, "cpu")
    assert (found["weights"], found["images"]) == ("snapshots/0000008", 8)
    copy, second, last = found["curve"]
    assert copy == {"images": 4, "identity": pytest.approx(1), "healthiness": 0, "choice": 0}
    assert second["healthiness"] == last["healthiness"] == 1
    assert 1 > second["identity"] > last["identity"] > 0
    assert second["choice"] == pytest.approx(2 / (1 / second["identity"] + 1))


def test_identity_is_a_mean_over_volumes_not_over_slices(tmp_path: Path, case: SliceSet) -> None:
    folder = run(tmp_path, k4=-0.2)
    outputs = Model.load(folder / "snapshots/0000004", "cpu").synthesize(case.images)
    one, two, three = identity(outputs, case.images, case.masks)
    found = choose(folder, case, {"first": judge(0.6)}, "cpu")["curve"][0]["identity"]
    assert found == pytest.approx(((one + two) / 2 + three) / 2, rel=1e-12)
    assert found != pytest.approx((one + two + three) / 3, rel=1e-9)


def test_healthiness_is_the_mean_of_the_panel(tmp_path: Path, case: SliceSet) -> None:
    """One judge finds each lesion, one nothing, one every pixel: (0 + 1 + (1 - 64 * 48 / 80)) / 3."""
    panel = {"first": judge(0.6), "none": judge(2.0), "all": judge(0.0)}
    folder = run(tmp_path, k4=0)
    found = choose(folder, case, panel, "cpu")["curve"][0]
    assert found["healthiness"] == pytest.approx((0 + 1 + 1 - 64 * 48 / AREA) / 3)
    del panel["all"]
    half = choose(folder, case, panel, "cpu")["curve"][0]
    assert (half["healthiness"], half["choice"]) == (0.5, pytest.approx(2 / 3))


def test_of_equal_ones_the_healthier_then_the_later(tmp_path: Path, case: SliceSet) -> None:
    """Below 0 healthiness counts as 0, so that the choice is 0 wherever the judge finds too much."""
    folder = run(tmp_path, k4=0, k8=-0.03, k12=0, k16=0)
    found = choose(folder, case, {"first": judge(0.42)}, "cpu")
    assert [point["choice"] for point in found["curve"]] == [0, 0, 0, 0]
    assert found["images"] == 8
    every = choose(folder, case, {"first": judge(0.0)}, "cpu")
    assert len({point["healthiness"] for point in every["curve"]}) == 1
    assert every["weights"] == "snapshots/0000016"


def test_the_last_weights_where_no_checkpoint_was_kept(tmp_path: Path, case: SliceSet) -> None:
    checkpoint(tmp_path / "weights", images=7)
    last: dict[str, Any] = {"weights": "weights", "images": 7, "curve": []}
    assert choose(tmp_path, case, {"first": judge(0.6)}, "cpu") == last
    (tmp_path / "snapshots").mkdir()
    assert choose(tmp_path, case, {"first": judge(0.6)}, "cpu") == last


def test_an_inpainter_s_last_weights_whatever_was_kept(tmp_path: Path, case: SliceSet) -> None:
    checkpoint(tmp_path / "snapshots" / "0000004", "inpainter")
    checkpoint(tmp_path / "weights", "inpainter", images=9)
    assert choose(tmp_path, case, {}, "cpu") == {"weights": "weights", "images": 9, "curve": []}


def test_the_held_back_judge_plays_no_part(tmp_path: Path, cohort: Prepared) -> None:
    """It would find every pixel, and so turn the choice round."""
    seeds = {name: {"training": {"seed": seed}} for seed, name in enumerate("abcd")}
    given = {"name": "x", "methods": [{"method": "paired"}], "judges": seeds, "held_out": "b"}
    experiment = Experiment.model_validate(given)
    steps = list_steps(experiment, "data")
    weights = {step.name: step.folder(tmp_path) / "run/best" for step in steps if step.kind == "judge"}
    models = {path: judge(0.0 if name == "b" else 0.6) for name, path in weights.items()}
    (step,) = (step for step in steps if step.kind == "select")
    run(step.training.folder(tmp_path) / "run", k4=0, k8=-0.3, k12=0)
    StepRunner(experiment, tmp_path, cohort, steps, "cpu", models).do(step)
    choice = json.loads((step.folder(tmp_path) / SELECTION).read_text())
    assert [point["healthiness"] for point in choice["curve"]] == [0, 1, 0]
    assert choice["images"] == 8


@pytest.mark.parametrize("weights", ["/elsewhere/weights", "../weights", ""])
def test_a_choice_leads_to_weights_of_its_run_alone(tmp_path: Path, cohort: Prepared, weights: str) -> None:
    seeds = {name: {"training": {"seed": seed}} for seed, name in enumerate("abcd")}
    given = {"name": "x", "methods": [{"method": "paired"}], "judges": seeds, "held_out": "b"}
    experiment = Experiment.model_validate(given)
    steps = list_steps(experiment, "data")
    step = next(step for step in steps if step.kind == "select")
    folder = step.folder(tmp_path)
    folder.mkdir(parents=True)
    (folder / SELECTION).write_text(json.dumps({"weights": weights, "images": 1, "curve": []}))
    with pytest.raises(InputError, match=r"expected the path of something inside .*run"):
        StepRunner(experiment, tmp_path, cohort, steps, "cpu").selected(step)
