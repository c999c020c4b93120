"""An experiment's file: what it may say, and which settings each method and judge gets from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from fixtures.experiments import JUDGES, experiment
from fixtures.models import TINY
from pseudohealthy.catalogue.methods import METHODS
from pseudohealthy.config import MethodName, settings
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import InputError
from pseudohealthy.experiment.config import READ_BY_SOME, read_experiment
from pseudohealthy.settings_files import merged
from pseudohealthy.training.loop import train

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "configs").glob("*.yaml"))
# Another value than the default's of each setting that only some methods read
OTHERWISE: dict[str, dict[str, Any]] = {
    "networks": {
        "width": 8,
        "segmentor_width": 8,
        "segmentor_residual": "concatenate",
        "discriminator_width": 8,
        "output_mode": "residual",
        "reconstructor_output_mode": "gated",
        "long_skips": True,
        "mirrored_input": True,
    },
    "losses": {
        "cycle_parts": (3.0, 1.0, 1.0),
        "gan_parts": (3.0, 1.0),
        "gan_mask": 3.0,
        "mask_discriminator_input": "noise",
        "cycle_noise": 0.3,
        "healthy_identity": 3.0,
        "identity_outside_lesion": 3.0,
        "residual_lesion": 3.0,
        "synthetic_supervision": 3.0,
        "gradient": 3.0,
        "lesion_crop_adversarial": 3.0,
    },
    "training": {
        "fake_pool_size": 7,
        "discriminator_steps": 2,
        "discriminator_steps_later": 3,
        "discriminator_epoch": 1,
        "warm_up_images": 2,
        "warm_up_fraction": 0.3,
        "synthetic_fraction": 0.7,
        "transplanted_fraction": 0.7,
        "replay_steps": 3,
    },
}


def readers(group: str, key: str) -> tuple[str, ...]:
    """The methods that read a setting."""
    (own,) = (name for name, groups in READ_BY_SOME.items() if key in groups.get(group, ()))
    return tuple(name for name, entry in METHODS.items() if own not in entry.unread)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_every_file_in_configs_is_an_experiment_of_its_name(path: Path) -> None:
    experiment = read_experiment(path)
    assert experiment.name == path.stem
    methods = {run.method for run in experiment.runs}
    assert {"conditional_gan", "cyclegan", "unpaired", "paired", "inpainter"} <= methods
    judges = [experiment.judge(name) for name in experiment.judges]
    assert all(judge.training.snapshot_every for judge in judges), "one of a judge's checkpoints is selected"
    of_lesions = [judge for judge in judges if not judge.losses.healthy_negatives]
    assert len(of_lesions) <= 1
    assert experiment.judge(experiment.first_judge) not in of_lesions
    assert experiment.judge(experiment.held_out) not in of_lesions
    assert all(run.training.snapshot_every or run.method == "inpainter" for run in experiment.runs)
    images = {(run.training.images, run.training.epochs) for run in experiment.runs}
    assert len(images) == 1, "every method gets the same budget"


def test_a_methods_own_settings_go_before_the_experiments_and_the_presets() -> None:
    values = experiment(
        preset="midl2019",
        settings={"networks": {"width": 8, "segmentor_width": 8}, "training": {"images": 40}},
        methods=[{"method": "unpaired", "preset": "default", "networks": {"width": 4}}, {"method": "paired"}],
        seeds=(3,),
    )
    unpaired, paired = values.runs
    assert (unpaired.networks.width, paired.networks.width) == (4, 8)
    assert (unpaired.training.augment, paired.training.augment) == ("flip_gamma", "none")
    assert (unpaired.training.images, unpaired.training.seed) == (40, 3)
    assert (unpaired.losses.gan_image, paired.losses.gan_image) == (2, 1)
    assert values.judge("first").networks.segmentor_width == 8


def test_only_the_methods_that_read_a_setting_get_it() -> None:
    """Set for all methods and judges, as an experiment's common settings are."""
    names = [name for name in get_args(MethodName) if name != "judge"]
    methods = [{"method": name} for name in names]
    before = experiment(methods=methods, preset="midl2019")
    assert {(group, key) for group in OTHERWISE for key in OTHERWISE[group]} == {
        (group, key) for groups in READ_BY_SOME.values() for group in groups for key in groups[group]
    }
    supervised = {"losses": {"synthetic_supervision": 1.0}}  # without it warm-up settings are refused
    before = before.model_copy(update={"settings": supervised})
    for group, changes in OTHERWISE.items():
        for key, value in changes.items():
            refusing = {"unpaired"} if key == "transplanted_fraction" else set()
            common = merged(supervised, {group: {key: value}})
            chosen = [each for each in methods if each["method"] not in refusing]
            old, new = (
                before.model_copy(update={"methods": tuple(chosen), "settings": settings})
                for settings in (supervised, common)
            )
            differing = {one.method for one, other in zip(old.runs, new.runs, strict=True) if one != other}
            differing |= {"judge"} if old.judge("first") != new.judge("first") else set()
            assert differing == set(readers(group, key)) - refusing, key


@pytest.mark.parametrize("method", ["conditional_gan", "cyclegan", "inpainter", "judge"])
def test_a_setting_that_a_method_does_not_read_does_not_change_its_weights(
    tmp_path: Path, prepared: Prepared, method: MethodName
) -> None:
    """All those settings at once, given to the training itself."""
    tiny = merged(TINY, {"training": {"images": 4, "seed": 3}})
    unread = {
        group: {key: value for key, value in changes.items() if method not in readers(group, key)}
        for group, changes in OTHERWISE.items()
    }
    folders = [
        train(prepared, tmp_path / name, settings(method, values=merged(tiny, more)), accelerator="cpu")
        for name, more in (("without", {}), ("with", unread))
    ]
    one, other = (load_file(next(folder.glob("*.safetensors"))) for folder in folders)
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"held_out": "nobody"}, "held_out is 'nobody'"),
        ({"held_out": "first"}, "held_out is 'first'"),
        ({"judges": {"first": {}, "spare": {}}}, "2 judges, expected 4 or more"),
        ({"methods": [{"method": "paired"}, {"method": "paired"}]}, "twice"),
        ({"methods": [{"method": "paired", "training": {"labelled_fraction": 0.1}}] * 2}, "twice"),
        ({"methods": [{"method": "cyclegan"}]}, "no method with a segmentor"),
        ({"methods": [{"method": "judge"}]}, "a method is 'judge', expected one of"),
        ({"methods": [{"preset": "default"}]}, "a method is None, expected one of"),
        ({"methods": [{"method": "paired", "training": {"seed": 3}}]}, "paired sets training.seed"),
        ({"seeds": [1, 1]}, "expected each once"),
        (
            {"methods": [{"method": "paired"}, {"method": "cyclegan", "losses": {"cycle_noise": 0.1}}]},
            "cyclegan sets losses.cycle_noise, which it does not read; leave it out",
        ),
        ({"judges": {**JUDGES, "fourth": JUDGES["first"]}}, "two judges have the same settings"),
        ({"judges": {**JUDGES, "threshold": {"training": {"seed": 9}}}}, "a judge is called 'threshold'"),
        ({"judges": {**JUDGES, "a/b": {"training": {"seed": 9}}}}, "a judge is called 'a/b'"),
        ({"judges": {**JUDGES, "x": {"preset": "midl2019"}}}, "a judge sets preset"),
        (
            {
                "judges": {
                    **JUDGES,
                    "x": {"networks": {"width": 8}, "training": {"seed": 0}},
                }
            },
            "two judges have the same settings",
        ),
        (
            {"judges": {**JUDGES, "x": {"losses": {"healthy_identity": 1.0}}}},
            "set losses.healthy_negatives instead",
        ),
        ({"methods": [{"method": "paired", "trainnig": {}}]}, "did you mean training?"),
        ({"judges": {**JUDGES, "second": {"networks": {"wdith": 4}}}}, "networks.wdith"),
        ({"preprocessing": {"slice_shape": [1, 2]}}, "multiples of 16"),
        ({"seed": 3}, "did you mean seeds?"),
        ({"methods": [{"method": "paired", "training": None}]}, "training is None; expected settings as"),
        ({"settings": {"training": None}}, "training is None; expected settings as `key: value`, or leave"),
        ({"judges": {**JUDGES, "x": {"training": None}}}, "training is None"),
        ({"judges": {**JUDGES, "x": {"losses": [1]}}}, r"losses is \[1\]; expected settings"),
        ({"seeds": list(range(101))}, "seeds .* at most 100 items"),
        ({"seeds": [2**32]}, "less than or equal to 4294967295"),
        ({"data": {"phantom": {"patients": 10**9}}}, "less than or equal to 10000"),
        ({"data": {"phantom": {"patients": 8, "spacing": 0.01}}}, "greater than or equal to 0.5"),
        ({"resegmentation_steps": 10**9}, "less than or equal to 1000000"),
    ],
)
def test_a_mistake_in_the_file_is_reported(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    values = {**experiment().model_dump(mode="json"), **change}
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(InputError, match=complaint):
        read_experiment(path)


def test_a_name_of_version_0_1_is_answered_with_the_new_one(tmp_path: Path) -> None:
    values = experiment().model_dump(mode="json")
    values["held_back"] = values.pop("held_out")
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(InputError, match="`held_back` is now `held_out`"):
        read_experiment(path)


def test_overrides_reach_every_method(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(yaml.safe_dump(experiment().model_dump(mode="json")), encoding="utf-8")
    changed = read_experiment(path, ["settings.training.images=8", "seeds=[5]"])
    assert {run.training.images for run in changed.runs} == {8}
    assert {run.training.seed for run in changed.runs} == {5}
