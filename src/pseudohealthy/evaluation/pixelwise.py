"""Errors pixel by pixel over a region.

Each entry of the first axis gives one value: a slice of a stack (N, H, W), or a whole volume given as
(1, N, H, W).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Region = NDArray[np.bool_]

PSNR_CEILING = 100.0


def mean_over(values: NDArray[Any], region: Region) -> Values:
    """Mean of `values` in `region`, one for each entry of the first axis; NaN where the region is empty."""
    axes = tuple(range(1, values.ndim))
    count = region.sum(axis=axes)
    total = np.where(region, values, 0).sum(axis=axes, dtype=np.float64)
    mean: Values = np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)
    return mean


def mae(a: NDArray[Any], b: NDArray[Any], region: Region) -> Values:
    """Mean absolute error over the region, in units of intensity."""
    return mean_over(np.abs(np.subtract(a, b, dtype=np.float64)), region)


def psnr(a: NDArray[Any], b: NDArray[Any], region: Region) -> Values:
    """Peak signal-to-noise ratio over the region in dB, data range 1.

    At most 100 dB (an error below 16-bit rounding): equal images would be infinite, and so would every mean.
    """
    error = mean_over(np.subtract(a, b, dtype=np.float64) ** 2, region)
    decibels: Values = -10 * np.log10(np.maximum(error, 10 ** (-PSNR_CEILING / 10)))
    return decibels
