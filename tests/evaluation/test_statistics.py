from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import ArrayLike
from scipy.stats import wilcoxon

from pseudohealthy.evaluation.statistics import against_baselines, averaged_over_seeds, holm, interval


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


def test_holm_by_hand() -> None:
    # 0.005 x 4, 0.01 x 3, 0.03 x 2, 0.04 x 1 raised to the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5, 0.04]) == pytest.approx([1.0, 1.0, 0.12])
    assert holm([0.03]) == pytest.approx([0.03])
    assert holm([]) == []


def test_holm_is_the_closed_test_of_bonferroni() -> None:
    """Its adjusted p is the largest Bonferroni p of all families that hold the hypothesis."""
    given = np.random.default_rng(0).random(5) ** 3
    families = [set(each) for size in range(1, 6) for each in combinations(range(5), size)]
    expected = [
        max(min(1.0, len(family) * min(given[i] for i in family)) for family in families if k in family)
        for k in range(5)
    ]
    assert holm(given) == pytest.approx(expected)


def test_a_test_that_was_not_made_is_not_in_holms_family() -> None:
    found = holm([0.01, np.nan, 0.04])
    assert np.isnan(found[1])
    assert [found[0], found[2]] == pytest.approx([0.02, 0.04])


def test_seeds_are_averaged_volume_by_volume_whatever_their_order() -> None:
    first = pd.Series({"b": 0.2, "a": 0.4, "c": np.nan})
    second = pd.Series({"a": 0.8, "b": 0.4, "c": np.nan, "d": 1.0})
    found = averaged_over_seeds([first, second])
    assert found.index.tolist() == ["b", "a", "c", "d"]
    assert found.tolist() == pytest.approx([0.3, 0.6, np.nan, 1.0], nan_ok=True)


def by_name(values: ArrayLike) -> pd.Series[float]:
    given = np.asarray(values, dtype=np.float64)
    return pd.Series(given, index=[f"sub-{number:02d}" for number in range(len(given))])


def methods(count: int = 20) -> dict[tuple[str, str], pd.Series[float]]:
    """Ours better in identity, much better in healthiness if paired, not if unpaired; and their balance."""
    rng = np.random.default_rng(4)
    means = {
        "conditional_gan": (0.74, 0.82),
        "cyclegan": (0.80, 0.80),
        "unpaired": (0.83, 0.82),
        "paired": (0.88, 0.99),
    }
    values = {
        (method, measure): by_name(mean + 0.03 * rng.standard_normal(count))
        for method, pair in means.items()
        for measure, mean in zip(("identity", "healthiness"), pair, strict=True)
    }
    for method in means:
        i, h = values[method, "identity"], values[method, "healthiness"]
        values[method, "balance"] = 2 * i * h / (i + h)
    return values


def test_each_of_ours_against_the_better_baseline_in_a_family_of_six() -> None:
    values = methods()
    found = against_baselines(values)
    better = {"identity": "cyclegan", "healthiness": "conditional_gan", "balance": "cyclegan"}
    keys = [(method, measure) for method in ("unpaired", "paired") for measure in better]
    expected = [
        wilcoxon(values[method, measure], values[better[measure], measure]).pvalue for method, measure in keys
    ]
    tests = [found[method][measure] for method, measure in keys]
    assert [test["p"] for test in tests] == pytest.approx(expected)
    assert [test["p_holm"] for test in tests] == pytest.approx(holm(expected))
    assert [test["baseline"] for test in tests] == list(better.values()) * 2
    assert {test["n"] for test in tests} == {20}
    assert [test["star"] for test in tests] == [True, False, True, True, True, True]
    assert set(tests[0]) == {"p", "p_holm", "star", "baseline", "n"}


def test_signed_rank_by_hand() -> None:
    """Five gains of one sign: one of 32 equally likely signs on either side, 2/32. Six: 2/64."""
    values = {("paired", "identity"): by_name(range(1, 6)), ("cyclegan", "identity"): by_name([0] * 5)}
    found = against_baselines(values)["paired"]["identity"]
    assert found["p"] == pytest.approx(2 / 32)
    assert not found["star"]
    values = {("paired", "identity"): by_name(range(1, 7)), ("cyclegan", "identity"): by_name([0] * 6)}
    found = against_baselines(values)["paired"]["identity"]
    assert found["p"] == found["p_holm"] == pytest.approx(2 / 64)
    assert found["star"] is True


def test_a_baseline_that_is_significantly_better_gives_no_star() -> None:
    values = {("paired", "identity"): by_name([0] * 6), ("cyclegan", "identity"): by_name(range(1, 7))}
    found = against_baselines(values)["paired"]["identity"]
    assert found["p_holm"] < 0.05
    assert found["star"] is False


def test_volumes_are_paired_by_name_and_only_common_ones_count() -> None:
    values = methods()
    alone = {key: value for key, value in values.items() if key[1] == "identity"}
    shuffled = {key: value.sample(frac=1, random_state=i) for i, (key, value) in enumerate(alone.items())}
    assert against_baselines(shuffled) == against_baselines(alone)
    alone["paired", "identity"] = alone["paired", "identity"].mask(np.arange(20) < 3)
    fewer = against_baselines(alone)["paired"]["identity"]
    gains = (alone["paired", "identity"] - alone["cyclegan", "identity"]).iloc[3:]
    assert fewer["n"] == 17
    assert fewer["p"] == pytest.approx(wilcoxon(gains).pvalue)


def test_equal_methods_have_p_1_rounding_or_not() -> None:
    same = by_name([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    for shift in (0.0, 1e-15):
        values = {("paired", "identity"): same + shift, ("cyclegan", "identity"): same}
        found = against_baselines(values)["paired"]["identity"]
        assert found["p"] == found["p_holm"] == 1.0
        assert not found["star"]


def test_what_is_missing_or_has_under_two_common_volumes_leaves_the_family() -> None:
    values = methods()
    for measure in ("identity", "healthiness", "balance"):
        del values["cyclegan", measure]
    del values["unpaired", "identity"], values["unpaired", "balance"], values["paired", "balance"]
    values["unpaired", "healthiness"] = values["unpaired", "healthiness"].iloc[:1]
    found = against_baselines(values)
    assert set(found) == {"paired"}
    assert {test["baseline"] for test in found["paired"].values()} == {"conditional_gan"}
    p = [test["p"] for test in found["paired"].values()]
    assert [test["p_holm"] for test in found["paired"].values()] == pytest.approx(holm(p))  # a family of two
    assert against_baselines({}) == {}
    ours_alone = {key: value for key, value in values.items() if key[0] == "paired"}
    assert against_baselines(ours_alone) == {}


@pytest.mark.parametrize("none", [[], [np.nan], [np.nan] * 20])
def test_a_method_that_could_not_be_measured_leaves_the_family_as_if_it_were_missing(
    none: list[float],
) -> None:
    values = methods()
    missing = {key: series for key, series in values.items() if key != ("unpaired", "healthiness")}
    expected = against_baselines(missing)
    assert set(expected["unpaired"]) == {"identity", "balance"}
    values["unpaired", "healthiness"] = by_name(none)
    assert against_baselines(values) == expected


def test_a_baseline_that_could_not_be_measured_is_none() -> None:
    values = methods()
    values["cyclegan", "identity"] = values["cyclegan", "identity"] * np.nan
    assert against_baselines(values)["paired"]["identity"]["baseline"] == "conditional_gan"
