"""How well a score ranks pixels of one class above those of the other, at every threshold at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pseudohealthy.errors import InputError


def auroc(scores: NDArray[Any], truth: NDArray[Any]) -> float:
    """Area under the receiver operating characteristic: P(positive > negative) + 1/2 P(equal).

    Args:
        scores: of any shape; higher means more likely positive.
        truth: of the same shape, > 0 is positive.

    Returns:
        In [0, 1], 0.5 by chance; NaN where only one class is there.

    Raises:
        InputError: shapes differ, or a score is NaN.
    """
    positive, negative = _sorted_classes(scores, truth)
    if not positive.size or not negative.size:
        return float("nan")
    below = np.searchsorted(negative, positive, "left").sum(dtype=np.int64)
    not_above = np.searchsorted(negative, positive, "right").sum(dtype=np.int64)
    return float(below + not_above) / (2 * positive.size * negative.size)


def auprc(scores: NDArray[Any], truth: NDArray[Any]) -> float:
    """Area under the precision-recall curve as average precision, without interpolation.

    That is the mean, over the positives, of the precision at the threshold that just includes them. Arguments
    and errors as in `auroc`.

    Returns:
        In (0, 1], by chance the share of positives; NaN where only one class is there.
    """
    positive, negative = _sorted_classes(scores, truth)
    if not positive.size or not negative.size:
        return float("nan")
    true = positive.size - np.searchsorted(positive, positive, "left")
    false = negative.size - np.searchsorted(negative, positive, "left")
    return float(np.mean(true / (true + false)))


def _sorted_classes(scores: NDArray[Any], truth: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    if scores.shape != truth.shape:
        raise InputError(f"scores have shape {scores.shape}, but the truth has {truth.shape}")
    if np.isnan(scores).any():
        raise InputError("a score to be ranked is not a number")
    positive = truth > 0
    return np.sort(scores[positive]), np.sort(scores[~positive])
