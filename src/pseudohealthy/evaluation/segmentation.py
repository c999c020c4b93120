"""Dice of predicted masks, for the segmentor S and for the judge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

LEAST_PROBABILITY = 1e-6  # of which a logarithm is taken


def dice(predicted: NDArray[Any], true: NDArray[Any]) -> float:
    """Dice 2 |P and T| / (|P| + |T|), pooled over all pixels of two masks; 1 if both are empty."""
    marked, lesion = predicted > 0, true > 0
    total = np.count_nonzero(marked) + np.count_nonzero(lesion)
    return 2 * np.count_nonzero(marked & lesion) / total if total else 1.0


def cross_entropy(probability: NDArray[Any], true: NDArray[Any]) -> float:
    """`-log` of the probability of what is true, a mean over pixels; never of less than 1e-6."""
    right = np.where(true > 0, probability, 1 - probability)
    return float(-np.log(np.maximum(right, LEAST_PROBABILITY), dtype=np.float64).mean())


def volume_dice(predicted: NDArray[Any], true: NDArray[Any], volumes: ArrayLike) -> pd.Series[float]:
    """Dice by volume.

    Args:
        predicted: masks, (N, H, W); a pixel > 0 is marked.
        true: as `predicted`.
        volumes: labels, (N,).

    Returns:
        A value a volume, in order of first appearance; 1 where both masks are empty.
    """
    labels = np.asarray(volumes)
    rows = {label: labels == label for label in pd.unique(labels)}
    return pd.Series(
        {label: dice(predicted[row], true[row]) for label, row in rows.items()}, dtype=np.float64
    )
