from __future__ import annotations

import numpy as np
import pytest

from pseudohealthy.evaluation.statistics import interval


def test_mean_and_std_by_hand() -> None:
    found = interval([0.8, 0.9, 1.0])
    assert list(found) == ["mean", "std", "low", "high"]
    assert found["mean"] == pytest.approx(0.9)
    assert found["std"] == pytest.approx(0.1)
    assert 0.8 <= found["low"] < 0.9 < found["high"] <= 1.0


def test_the_interval_nears_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(0).normal(5, 2, 400)
    half = 1.96 * values.std(ddof=1) / 20
    found = interval(values)
    assert found["low"] == pytest.approx(values.mean() - half, abs=0.02)
    assert found["high"] == pytest.approx(values.mean() + half, abs=0.02)


def test_the_interval_holds_the_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    found = [interval(rng.standard_normal(30), seed) for seed in range(200)]
    share = np.mean([each["low"] <= 0 <= each["high"] for each in found])
    assert 0.89 <= share <= 0.99


def test_a_skewed_sample_has_a_longer_arm_on_its_long_side() -> None:
    found = interval([0.98, 0.99, 0.97, 0.99, 0.98, 0.99, 0.6, 0.99])
    assert found["mean"] - found["low"] > 1.5 * (found["high"] - found["mean"])


def test_the_seed_decides() -> None:
    values = np.random.default_rng(2).random(30)
    assert interval(values, 3) == interval(values, 3)
    assert interval(values, 3) != interval(values, 4)


def test_nan_is_left_out() -> None:
    assert interval([0.1, np.nan, 0.4, 0.7]) == interval([0.1, 0.4, 0.7])


@pytest.mark.parametrize("value", [0.0, 0.1, 100.0])
def test_equal_values_have_no_spread(value: float) -> None:
    found = interval([value] * 7)
    assert found["std"] == 0.0
    assert found["low"] == found["high"] == found["mean"] == pytest.approx(value)


def test_one_volume_says_nothing_of_spread_and_none_nothing_at_all() -> None:
    found = interval([0.3])
    assert found["mean"] == 0.3
    assert np.isnan([found["std"], found["low"], found["high"]]).all()
    assert np.isnan(list(interval([np.nan]).values())).all()


@pytest.mark.parametrize(
    "values", [[1.0, 2.0], [0.0] * 9 + [1.0], [1.0] * 29 + [0.5], [1.0, 1.0, 1.0 + 1e-15]]
)
def test_nearly_degenerate_samples_have_finite_intervals(values: list[float]) -> None:
    found = interval(values)
    assert np.isfinite(list(found.values())).all()
    assert min(values) <= found["low"] <= found["high"] <= max(values)
