"""An experiment's file as steps: what they are called, what they come after, and when they change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pseudohealthy.catalogue.rows import Row
from pseudohealthy.errors import InputError
from pseudohealthy.experiment.steps import Experiment, Step, plan, read_experiment

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "configs").iterdir())
JUDGES: dict[str, Any] = {
    name: {"training": {"seed": seed}} for seed, name in enumerate(("first", "second", "third", "spare"))
}


def experiment(**values: Any) -> Experiment:
    given = {
        "name": "x",
        "data": {"phantom": {"patients": 4}},
        "methods": [{"method": "paired"}, {"method": "cyclegan"}, {"method": "inpainter"}],
        "judges": JUDGES,
        "held_out": "spare",
        **values,
    }
    return Experiment.model_validate(given)


def keys(steps: list[Step]) -> dict[str, str]:
    return {f"{step.kind} {step.name}": step.key for step in steps}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_file_in_configs_is_an_experiment_of_its_name(path: Path) -> None:
    found = read_experiment(path)
    assert found.name == path.stem
    methods = {run.method for run in found.runs}
    assert {"conditional_gan", "cyclegan", "unpaired", "paired", "inpainter"} <= methods
    judges = [found.judge(name) for name in found.judges]
    assert all(judge.training.snapshot_every for judge in judges), "of a judge's checkpoints one is chosen"
    of_lesions = [judge for judge in judges if not judge.losses.healthy_negatives]
    assert len(of_lesions) <= 1
    assert found.judge(found.first_judge) not in of_lesions
    assert found.judge(found.held_out) not in of_lesions
    assert all(run.training.snapshot_every or run.method == "inpainter" for run in found.runs)
    images = {(run.training.images, run.training.epochs) for run in found.runs}
    assert len(images) == 1, "every method gets the same budget"


def test_steps_come_after_what_they_use() -> None:
    steps = plan(experiment(seeds=(0, 1)), "data")
    place = {id(step): number for number, step in enumerate(steps)}
    assert all(place[id(use)] < place[id(step)] for step in steps for use in step.after)
    assert [step.name for step in steps if step.kind == "train"] == [
        f"{method}-default-s{seed}" for method in ("paired", "cyclegan", "inpainter") for seed in (0, 1)
    ]


def test_rows_are_raw_and_blend_with_controls_and_oracles_apart() -> None:
    rows = [step.row for step in plan(experiment(), "data") if step.row is not None]
    assert rows[:6] == [
        Row("paired", "default", "raw", seed=0),
        Row("paired", "default", "blend", seed=0),
        Row("cyclegan", "default", "raw", seed=0),
        Row("cyclegan", "default", "blend", seed=0),
        Row("inpainter", "default", mask="segmentor", seed=0),
        Row("inpainter", "default", mask="true", seed=0),
    ]
    controls = {(row.method, row.mask) for row in rows[6:]}
    assert controls == {
        ("copy", None),
        ("blur", None),
        ("constant", None),
        ("threshold_fill", None),
        *((method, mask) for method in ("mirror", "fill") for mask in ("segmentor", "true")),
    }


def test_a_setting_changes_the_steps_that_depend_on_it_and_no_others() -> None:
    before = keys(plan(experiment(), "data"))
    methods = [
        {"method": "paired"},
        {"method": "cyclegan", "training": {"fake_pool_size": 7}},
        {"method": "inpainter"},
    ]
    after = keys(plan(experiment(methods=methods), "data"))
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {
        "train cyclegan-default-s0",
        "choose cyclegan-default-s0",
        "measure cyclegan-default-s0-raw",
        "measure cyclegan-default-s0-blend",
    }
    judge = keys(plan(experiment(judges={**JUDGES, "second": {"training": {"seed": 9}}}), "data"))
    assert {name for name in before if before[name] == judge[name]} == {
        name for name in before if name.startswith("train ") or name in {f"judge {j}" for j in JUDGES}
    } - {"judge second"}
    held_out = keys(plan(experiment(held_out="third"), "data"))
    assert {name.split()[0] for name in before if before[name] != held_out[name]} == {
        *("choose", "references", "measure")
    }
    spare = keys(plan(experiment(judges={**JUDGES, "spare": {"training": {"seed": 9}}}), "data"))
    assert all(before[name] == spare[name] for name in before if name.startswith("choose")), (
        "not of the panel"
    )
    longer = keys(plan(experiment(resegmentation_steps=7), "data"))
    assert {name.split()[0] for name in before if before[name] != longer[name]} == {"references", "measure"}
    panels = keys(
        plan(experiment(settings={"training": {"preview_every": 7, "checkpoint_every": 7}}), "data")
    )
    assert panels == before, "how often pictures and states are saved decides nothing"
    other = keys(plan(experiment(), "other data"))
    assert all(before[name] != other[name] for name in before)


LATER = {
    ("networks", "mirrored_input"): True,
    ("losses", "gradient"): 0.5,
    ("losses", "lesion_crop_adversarial"): 0.5,
    ("training", "warm_up_images"): 400,
    ("training", "warm_up_fraction"): 0.2,
}


def test_steps_done_before_a_setting_came_are_done_still() -> None:
    step = plan(experiment(), "data")[0]
    for (group, key), otherwise in LATER.items():
        values = dict(step.settings[group])
        del values[key]
        earlier = Step(step.kind, step.name, {**step.settings, group: values})
        changed = Step(step.kind, step.name, {**step.settings, group: {**values, key: otherwise}})
        assert earlier.key == step.key != changed.key, key


@pytest.mark.parametrize("key", ["segmentation_cross_entropy", "healthy_negatives"])
def test_methods_trained_before_a_loss_of_the_judge_s_came_are_trained_still(key: str) -> None:
    step = next(step for step in plan(experiment(), "data") if step.kind == "train")
    losses = dict(step.settings["losses"])
    assert losses.pop(key) == 0
    earlier = Step(step.kind, step.name, {**step.settings, "losses": losses})
    otherwise = Step(step.kind, step.name, {**step.settings, "losses": {**losses, key: 1.0}})
    assert earlier.key == step.key != otherwise.key


def test_folders_of_two_settings_are_two(tmp_path: Path) -> None:
    first, second = (plan(experiment(seeds=(seed,)), "data") for seed in (0, 1))
    folders = [{step.folder(tmp_path) for step in steps if step.kind == "train"} for steps in (first, second)]
    assert not folders[0] & folders[1]


def test_a_methods_own_settings_go_before_the_experiments_and_the_presets() -> None:
    chosen = experiment(
        preset="midl2019",
        settings={"networks": {"width": 8}, "training": {"images": 40}},
        methods=[{"method": "unpaired", "preset": "default", "networks": {"width": 4}}, {"method": "paired"}],
        seeds=(3,),
    )
    unpaired, paired = chosen.runs
    assert (unpaired.networks.width, paired.networks.width) == (4, 8)
    assert (unpaired.training.augment, paired.training.augment) == ("flip_gamma", "none")
    assert (unpaired.training.images, unpaired.training.seed) == (40, 3)
    assert (unpaired.losses.gan_image, paired.losses.gan_image) == (2, 1)
    assert chosen.judge("first").networks.width == 8


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"held_out": "nobody"}, "held_out is 'nobody'"),
        ({"held_out": "first"}, "held_out is 'first'"),
        ({"judges": {"first": {}, "spare": {}}}, "2 judges, expected 4 or more"),
        ({"methods": [{"method": "paired"}, {"method": "paired"}]}, "twice"),
        ({"methods": [{"method": "cyclegan"}]}, "no method with a segmentor"),
        ({"methods": [{"method": "judge"}]}, "a method is 'judge', expected one of"),
        ({"methods": [{"preset": "default"}]}, "a method is None, expected one of"),
        ({"methods": [{"method": "paired", "training": {"seed": 3}}]}, "paired sets training.seed"),
        ({"seeds": [1, 1]}, "expected each once"),
        ({"judges": {**JUDGES, "fourth": JUDGES["first"]}}, "two judges have the same settings"),
        ({"judges": {**JUDGES, "threshold": {"training": {"seed": 9}}}}, "a judge is called 'threshold'"),
        ({"judges": {**JUDGES, "a/b": {"training": {"seed": 9}}}}, "a judge is called 'a/b'"),
        ({"judges": {**JUDGES, "x": {"preset": "midl2019"}}}, "a judge sets preset"),
        (
            {"judges": {**JUDGES, "x": {"losses": {"healthy_identity": 1.0}}}},
            "set losses.healthy_negatives instead",
        ),
        ({"methods": [{"method": "paired", "trainnig": {}}]}, "did you mean training?"),
        ({"judges": {**JUDGES, "second": {"networks": {"wdith": 4}}}}, "networks.wdith"),
        ({"preprocessing": {"slice_shape": [1, 2]}}, "multiples of 16"),
        ({"seed": 3}, "did you mean seeds?"),
    ],
)
def test_a_mistake_in_the_file_is_told(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    values = {**experiment().model_dump(mode="json"), **change}
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(InputError, match=complaint):
        read_experiment(path)


def test_overrides_reach_every_method(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(experiment().model_dump(mode="json")), encoding="utf-8")
    found = read_experiment(path, ["settings.training.images=8", "seeds=[5]"])
    assert {run.training.images for run in found.runs} == {8}
    assert {run.training.seed for run in found.runs} == {5}
