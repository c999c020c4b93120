"""A name of version 0.1 is answered with that of today, wherever it is met."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import ROOT
from fixtures.models import saved
from fixtures.tiny_settings import tiny
from pseudohealthy.config import Frozen, Losses, Networks, Preprocessing, Training, preprocessing, settings
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import InputError
from pseudohealthy.experiment.config import Experiment, read_experiment
from pseudohealthy.renamed import SETTINGS
from pseudohealthy.settings_files import merged, read_yaml
from pseudohealthy.synthesis.model import Model
from pseudohealthy.training.loop import train
from scripts.migrate_0_1 import main

EXPERIMENT = ROOT / "configs/phantom.yaml"
GROUPS: dict[str, type[Frozen]] = {
    "experiment": Experiment,
    "networks": Networks,
    "losses": Losses,
    "training": Training,
    "preprocessing": Preprocessing,
}
OF_METHODS = [
    (group, old, new) for group in ("networks", "losses", "training") for old, new in SETTINGS[group].items()
]


def written(folder: Path, values: dict[str, Any]) -> Path:
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


def refusal(failure: pytest.ExceptionInfo[InputError]) -> str:
    text = str(failure.value)
    assert "\n" not in text
    return text


def test_every_new_name_is_a_setting_and_no_old_one_is() -> None:
    assert SETTINGS.keys() == GROUPS.keys()
    for group, names in SETTINGS.items():
        assert set(names.values()) <= GROUPS[group].model_fields.keys()
        assert not names.keys() & GROUPS[group].model_fields.keys()


@pytest.mark.parametrize(("group", "old", "new"), OF_METHODS)
def test_an_old_setting_is_answered_with_its_new_name(group: str, old: str, new: str, tmp_path: Path) -> None:
    answer = f"settings: `{group}.{old}` is now `{group}.{new}`"
    with pytest.raises(InputError) as of_file:
        settings(values={group: {old: 1}})
    with pytest.raises(InputError) as of_option:
        settings(overrides=[f"{group}.{old}=1"])
    assert refusal(of_file) == refusal(of_option) == answer
    values, setting = read_yaml(EXPERIMENT), {group: {old: 1}}
    method, *methods = values["methods"]
    judge = next(iter(values["judges"]))
    for nested in (
        {"settings": setting},
        {"methods": [merged(method, setting), *methods]},
        {"judges": {judge: setting}},
    ):
        with pytest.raises(InputError) as of_experiment:
            read_experiment(written(tmp_path, merged(values, nested)))
        assert refusal(of_experiment) == answer


@pytest.mark.parametrize(("old", "new"), SETTINGS["preprocessing"].items())
def test_an_old_name_in_preprocessing_is_answered_too(old: str, new: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as of_option:
        preprocessing(overrides=[f"{old}=1"])
    path = written(tmp_path, merged(read_yaml(EXPERIMENT), {"preprocessing": {old: 1}}))
    with pytest.raises(InputError) as of_experiment:
        read_experiment(path)
    assert refusal(of_option) == refusal(of_experiment) == f"settings: `{old}` is now `{new}`"


def test_an_old_name_of_an_experiment_is_answered_and_not_called_missing(tmp_path: Path) -> None:
    values = read_yaml(EXPERIMENT)
    values["held_back"] = values.pop("held_out")
    path = written(tmp_path, values)
    with pytest.raises(InputError) as failure:
        read_experiment(path)
    assert refusal(failure) == (
        f"{path}: `held_back` is now `held_out`; to rewrite it: python scripts/migrate_0_1.py {path}"
    )


def test_a_name_that_is_missing_is_called_so(tmp_path: Path) -> None:
    values = read_yaml(EXPERIMENT)
    del values["held_out"]
    path = written(tmp_path, values)
    with pytest.raises(InputError) as failure:
        read_experiment(path)
    assert refusal(failure) == f"{path}: held_out is missing"


@pytest.mark.parametrize(
    ("part", "group", "old", "answer"),
    [
        ("settings", "losses", "truth", "`losses.truth` is now `losses.synthetic_supervision`"),
        ("preprocessing", None, "field", "`field` is now `slice_shape`"),
    ],
)
def test_old_weights_are_to_be_migrated(
    part: str, group: str | None, old: str, answer: str, tmp_path: Path
) -> None:
    folder = saved(tmp_path / "weights")
    path = folder / "config.json"
    config = json.loads(path.read_text())
    (config[part][group] if group else config[part])[old] = 1
    path.write_text(json.dumps(config))
    with pytest.raises(InputError) as failure:
        Model.load(folder, "cpu")
    assert refusal(failure) == f"{path}: {answer}; to rewrite it: python scripts/migrate_0_1.py {folder}"


def test_an_old_run_is_to_be_migrated(prepared: Prepared, tmp_path: Path) -> None:
    chosen, out = tiny("judge", "training.images=2"), tmp_path / "run"
    train(prepared, out, chosen, accelerator="cpu")
    path = out / "settings.yaml"
    description = yaml.safe_load(path.read_text())
    training = description["settings"]["training"]
    training["keep_every"] = training.pop("snapshot_every")
    path.write_text(yaml.safe_dump(description))
    with pytest.raises(InputError) as failure:
        train(prepared, out, chosen, accelerator="cpu")
    assert refusal(failure) == (
        f"{path}: `training.keep_every` is now `training.snapshot_every`; "
        f"to rewrite it: python scripts/migrate_0_1.py {out}"
    )


def test_a_migrated_run_is_the_same_run(prepared: Prepared, tmp_path: Path) -> None:
    chosen, out = tiny("judge", "training.images=2"), tmp_path / "run"
    train(prepared, out, chosen, accelerator="cpu")
    path = out / "settings.yaml"
    today = path.read_text()
    path.write_text(today.replace("snapshot_every:", "keep_every:"))
    main([str(out)])
    assert path.read_text() == today
    assert train(prepared, out, chosen, accelerator="cpu").is_dir()
