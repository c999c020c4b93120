"""Mean, spread and confidence interval over volumes, and the tests of Table 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import bootstrap, wilcoxon

from pseudohealthy.catalogue.measures import TESTED

EQUAL = 1e-12
LEVEL = 0.05  # of a star


def interval(values: ArrayLike, seed: int = 0) -> dict[str, float]:
    """A measure over volumes.

    Args:
        values: one a volume; NaN (not measurable there) is left out.
        seed: of the bootstrap.

    Returns:
        `mean`; `std` between volumes (ddof 1); `low` and `high`, a 95 % bootstrap interval of the mean (BCa,
        9,999 resamples of the volumes). One volume says nothing of spread: std, low and high are NaN. Equal
        values give std 0 and low = high = mean.
    """
    given = np.asarray(values, dtype=np.float64)
    given = given[~np.isnan(given)]
    nan = float("nan")
    if given.size < 2:
        return {"mean": float(given[0]) if given.size else nan, "std": nan, "low": nan, "high": nan}
    mean = float(given.mean())
    if np.ptp(given) < EQUAL:
        return {"mean": mean, "std": 0.0, "low": mean, "high": mean}
    found = bootstrap((given,), np.mean, rng=np.random.default_rng(seed)).confidence_interval
    return {"mean": mean, "std": float(given.std(ddof=1)), "low": float(found.low), "high": float(found.high)}


def averaged_over_seeds(tables: Sequence[pd.Series[float]]) -> pd.Series[float]:
    """One measure's values by volume, each averaged over the seeds in which it could be measured.

    Args:
        tables: a series a seed, by volume; at least one.

    Returns:
        A value a volume, in order of first appearance; NaN where no seed has one.
    """
    together = pd.concat([table.astype(np.float64) for table in tables])
    return together.groupby(level=0, sort=False).mean()


def holm(p_values: ArrayLike) -> list[float]:
    """Holm's adjustment of a family of p values (Scandinavian Journal of Statistics 6, 1979).

    Args:
        p_values: one a test; NaN (a test that was not made) stays NaN and does not count in the family.

    Returns:
        Adjusted values in the given order: the k-th smallest of n times n - k + 1, never less than the one
        before it, at most 1.
    """
    given = np.asarray(p_values, dtype=np.float64)
    order = [int(i) for i in np.argsort(given, kind="stable") if not np.isnan(given[i])]
    factors = np.arange(len(order), 0, -1)
    adjusted = np.full(given.shape, np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(given[order] * factors), 1)
    return [float(p) for p in adjusted]


def against_baselines(
    values: Mapping[tuple[str, str], pd.Series[float]],
    ours: Sequence[str] = ("unpaired", "paired"),
    baselines: Sequence[str] = ("conditional_gan", "cyclegan"),
    measures: Sequence[str] = TESTED,
) -> dict[str, dict[str, dict[str, Any]]]:
    """The stars of Table 1: is each of ours better than the better baseline? See section 6 of docs/method.md.

    For each measure, the baseline of the higher mean; a two-sided Wilcoxon signed-rank test over the volumes
    that both have; all tests made are one family (six where every method is there), adjusted by `holm`.

    Args:
        values: by (method, measure), a series by volume, already averaged over seeds; NaN is left out.
            Greater is better.
        ours: methods to be tested.
        baselines: methods to be tested against; one that is missing is passed over.
        measures: names.

    Returns:
        By method and measure: `p`; `p_holm`; `star`, True where `p_holm` is under 5 % and ours is the better
        one in the mean; `baseline`, its name; `n`, the number of common volumes. A test is left out where
        ours or every baseline is missing, or with fewer than two common volumes.
    """
    present = {key: series.dropna() for key, series in values.items() if series.notna().any()}
    tests: dict[tuple[str, str], dict[str, Any]] = {}
    gains: dict[tuple[str, str], float] = {}
    for measure in measures:
        rivals = {name: present[name, measure] for name in baselines if (name, measure) in present}
        best = max(rivals, key=lambda name: float(rivals[name].mean()), default="")
        for method in (name for name in ours if rivals and (name, measure) in present):
            gain = np.asarray((present[method, measure] - rivals[best]).dropna(), dtype=np.float64)
            if len(gain) > 1:
                tests[method, measure] = {"p": _signed_rank(gain), "baseline": best, "n": len(gain)}
                gains[method, measure] = float(gain.mean())
    adjusted = holm([test["p"] for test in tests.values()])
    table: dict[str, dict[str, dict[str, Any]]] = {}
    for (method, measure), p in zip(tests, adjusted, strict=True):
        star = p < LEVEL and gains[method, measure] > 0
        table.setdefault(method, {})[measure] = tests[method, measure] | {"p_holm": p, "star": star}
    return table


def _signed_rank(differences: NDArray[np.float64]) -> float:
    """Two-sided Wilcoxon signed-rank p; 1 if no two differ. Rounding is no difference."""
    real = np.where(np.abs(differences) < EQUAL, 0.0, differences)
    return float(wilcoxon(real).pvalue) if real.any() else 1.0
