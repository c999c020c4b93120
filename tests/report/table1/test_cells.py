"""Numbers as text."""

from __future__ import annotations

from math import nan
from typing import Any

import pytest

from pseudohealthy.report.table1.cells import cell, get_path, measures, point_estimate

FULL = {"mean": 0.87654, "std": 0.03149, "low": 0.8611, "high": 0.8888}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "–"),
        (nan, "–"),
        ({}, "–"),
        ({"mean": None, "std": None, "low": None, "high": None}, "–"),
        ({"mean": nan, "std": nan}, "–"),
        (0.12345, "0.123"),
        (7, "7"),
        (True, "yes"),
        ("H200", "H200"),
        (FULL, "0.877 ± 0.031 [0.861, 0.889]"),
        ({"mean": 0.5, "std": None, "low": None, "high": None}, "0.500"),
        ({**FULL, "pooled": 0.91}, "0.877 ± 0.031 [0.861, 0.889], pooled 0.910"),
        ({"mean": None, "pooled": 0.91}, "pooled 0.910"),
        ({"mean": 31.456, "std": 4.5, "low": 29.94, "high": 33.06}, "31.5 ± 4.5 [29.9, 33.1]"),
        ({"mean": 0.00544, "std": 0.00111, "low": 0.0048, "high": 0.006}, "0.0054 ± 0.0011 [0.0048, 0.0060]"),
        ({"mean": -0.0004, "std": 0.02, "low": -0.0124, "high": 0.0096}, "0.000 ± 0.020 [-0.012, 0.010]"),
        ({"median": 0.21, "low": 0.15, "high": 0.32, "slices": 89}, "0.210 [0.150, 0.320]"),
        ({"median": None, "low": None, "high": None, "slices": 0}, "–"),
        (-0.25, "-0.250"),
        (0.0, "0.000"),
    ],
)
def test_a_measure_is_shown_as_far_as_it_is_known(value: Any, expected: str) -> None:
    assert cell(value) == expected


def test_a_mark_stands_behind_the_spread_and_never_behind_nothing() -> None:
    assert cell(FULL, "*") == "0.877 ± 0.031* [0.861, 0.889]"
    assert cell(0.5, "†") == "0.500†"
    assert cell(None, "*") == cell({}, "*") == "–"


def test_paths_lead_to_values_or_to_nothing() -> None:
    row = {"cycle": {"l1": FULL}, "mask_control": None, "dice": 0.7}
    assert get_path(row, "cycle.l1.mean") == 0.87654
    for path in ("cycle.l2", "mask_control.moved", "dice.mean", "none.at.all"):
        assert get_path(row, path) is None
    assert dict(measures(row)) == {"cycle.l1": FULL, "mask_control": None, "dice": 0.7}
    texture = {"median": 0.5, "low": None, "high": None, "slices": 3}
    assert dict(measures({"texture": texture})) == {"texture": texture}
    assert dict(measures({"noise": {"median": 0.5, "spread": 1}})) == {"noise.median": 0.5, "noise.spread": 1}


def test_the_pooled_value_stands_for_a_measure() -> None:
    assert point_estimate({"mean": 0.5, "pooled": 0.25}) == 0.25
    assert point_estimate({"median": 0.5, "low": 0.1}) == 0.5
    assert (
        point_estimate({"mean": 0.5, "pooled": None})
        == point_estimate({"mean": 0.5})
        == point_estimate(0.5)
        == 0.5
    )
