"""Settings, experiments and overrides: YAML."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from fixtures.models import TINY
from pseudohealthy.config import preprocessing, settings
from pseudohealthy.experiment.config import read_experiment
from pseudohealthy.files import flatten, write_text
from pseudohealthy.settings_files import read_yaml
from torture.fuzzing import mutations as m
from torture.fuzzing.targets.target import Target, changed_file

CONFIGS = Path(__file__).resolve().parents[4] / "configs"


def _settings(folder: Path) -> None:
    values = settings("paired").model_dump(mode="json")
    write_text(folder / "settings.yaml", yaml.safe_dump(values, sort_keys=False))


def _read_settings(folder: Path, out: Path) -> None:
    values = read_yaml(folder / "settings.yaml")
    settings(None, None, values, [])


def _experiments(folder: Path) -> None:
    for path in CONFIGS.glob("*.yaml"):
        shutil.copy(path, folder)


def _read_experiments(folder: Path, out: Path) -> None:
    read_experiment(changed_file(folder))


def _read_overrides(folder: Path, out: Path) -> None:
    lines = (folder / "overrides").read_bytes().decode("utf-8", "surrogateescape").split("\n")
    settings("paired", "default", {}, lines)
    preprocessing("default", overrides=lines)


TARGETS = (
    Target("settings", "YAML", 8, _settings, _read_settings, {"settings.yaml": m.YAML}),
    Target(
        "experiment",
        "YAML",
        2,
        _experiments,
        _read_experiments,
        {path.name: m.YAML for path in sorted(CONFIGS.glob("*.yaml"))},
    ),
    Target(
        "overrides",
        "YAML",
        4,
        lambda folder: write_text(
            folder / "overrides", "\n".join(f"{key}={value}" for key, value in flatten(TINY).items())
        ),
        _read_overrides,
        {"overrides": m.any_of(m.bytes_changed, m.yaml_changed)},
    ),
)
