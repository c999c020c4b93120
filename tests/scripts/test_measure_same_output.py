"""The same input gives the same output, whatever the machine's settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scripts.measure_same_output import (
    OF_SYNTHESIS,
    OF_TRAINING,
    OTHER_IMAGES,
    PRECISIONS,
    RESULT,
    SURROUNDINGS,
    TOLERANCES,
    computed_here,
    measure,
)

TIMED = ("_report.json", "_report.html")  # hold how long the run took


def check(measured: dict[str, Any]) -> None:
    """Every difference is within what docs/reliability.md states."""
    assert any(name.endswith(".nii.gz") for name in measured["files"]["written"])
    for name in SURROUNDINGS:
        assert [file for file in measured["files"][name] if not file.endswith(TIMED)] == []
    assert measured["synthesis"]["again"]["identical"]
    for name, row in measured["synthesis"].items():
        limits = TOLERANCES[f"synthesis, {row['backend']['name']}, {row['backend']['precision']}"]
        assert {key: row[key] for key in limits if row[key] > limits[key]} == {}, name
    for precision, rows in measured["training"].items():
        assert rows["again"]["identical"], precision
    limit = TOLERANCES["training, 32-true"]["healthy"]
    exact = measured["training"]["32-true"]
    assert {name for name, row in exact.items() if row["healthy"] > limit} == {OTHER_IMAGES}


@pytest.mark.slow
def test_outputs_of_this_machine_are_within_the_tolerances(tmp_path: Path) -> None:
    measured = measure(tmp_path)
    assert set(measured["synthesis"]) == set(OF_SYNTHESIS)
    assert set(measured["training"]) == set(computed_here())
    assert all(set(rows) == set(OF_TRAINING) for rows in measured["training"].values())
    check(measured)


def test_the_results_file_is_within_the_tolerances() -> None:
    measured = json.loads(RESULT.read_text(encoding="utf-8"))
    assert set(measured["training"]) == set(PRECISIONS)
    check(measured)
