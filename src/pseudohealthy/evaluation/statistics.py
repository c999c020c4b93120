"""Mean, spread and confidence interval over volumes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import bootstrap

EQUAL = 1e-12


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
