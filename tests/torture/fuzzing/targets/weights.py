"""Folders of weights."""

from __future__ import annotations

from pathlib import Path

from fixtures.models import saved
from pseudohealthy.data.out_of_distribution import SIGNS, Reference
from pseudohealthy.synthesis.bundled_weights import describe_installation
from pseudohealthy.synthesis.model import Model
from torture.fuzzing import mutations as m
from torture.fuzzing.targets.target import Target, run_pseudohealthy


def _weights(folder: Path) -> None:
    saved(folder / "weights")
    spread = {name: {"median": 0.5, "deviation": 0.1} for name in SIGNS}
    values = {"figures": spread, "farthest": 2.4, "limit": 3.0, "volumes": 12, "data": "none"}
    Reference.model_validate({"format": 1, **values}).write(folder / "weights")


def _info(folder: Path, out: Path) -> None:
    describe_installation(folder / "weights")


def _info_command(folder: Path, out: Path) -> None:
    run_pseudohealthy("info", "--weights", folder / "weights")
    run_pseudohealthy("info", "--weights", folder / "weights", "--json")


def _load_model(folder: Path, out: Path) -> None:
    Model.load(folder / "weights", "cpu", "torch")


TARGETS = (
    Target(
        "weights_config",
        "weights",
        6,
        _weights,
        _info,
        {"weights/config.json": m.JSON, "weights/training_distribution.json": m.JSON},
    ),
    Target(
        "weights",
        "weights",
        3,
        _weights,
        _load_model,
        {"weights/config.json": m.JSON, "weights/model.safetensors": m.safetensors_changed},
    ),
    Target("info", "weights", 1, _weights, _info_command, {"weights/config.json": m.JSON}),
)
