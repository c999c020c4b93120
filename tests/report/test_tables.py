"""A summary in lines."""

from __future__ import annotations

from math import nan
from typing import Any

from pseudohealthy.report.tables import summary_lines


def test_measures_become_lines_and_all_else_is_left_out() -> None:
    spread = {"std": 0.0125, "low": 0.94, "high": 0.9666}
    summary: dict[str, Any] = {
        "volumes": 5,
        "identity": {"mean": 0.95, **spread},
        "healthiness": {"mean": 0.5, "std": 0.25, "low": 0.1, "high": 0.75, "pooled": 0.625, "rel": 0.4},
        "truth": {"inside": {"mae": {"mean": 0.04, **spread}}, "mae_ratio": {"mean": 0.125, **spread}},
        "model": {"method": "paired", "data": {"train": 68}},
        "segmentor": {"dice_pooled": 0.7},
        "split": "val",
    }
    assert list(summary_lines(summary)) == [
        "identity: 0.950 ± 0.013 [0.940, 0.967]",
        "healthiness: 0.500 ± 0.250 [0.100, 0.750], pooled 0.625, rel 0.400",
        "truth.inside.mae: 0.040 ± 0.013 [0.940, 0.967]",
        "truth.mae_ratio: 0.125 ± 0.013 [0.940, 0.967]",
        "segmentor.dice_pooled: 0.700",
    ]


def test_of_one_volume_no_spread_is_told() -> None:
    one = {"mean": 0.5, "std": nan, "low": nan, "high": nan}
    lines = list(summary_lines({"identity": one, "healthiness": {**one, "pooled": 0.25}}))
    assert lines == ["identity: 0.500", "healthiness: 0.500, pooled 0.250"]


def test_nothing_measured_is_no_line() -> None:
    assert list(summary_lines({})) == []
