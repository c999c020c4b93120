"""Healthiness: how much pathology a judge f_pre still finds; see section 6 of docs/method.md.

N(.) is a number of pixels. Everything here takes counts; whose they are is the caller's affair.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike


def healthiness(found: ArrayLike, lesions: ArrayLike) -> float:
    """The paper's pooled form, h = 1 - sum N(f_pre(x~)) / sum N(m_p).

    Args:
        found: pixels the judge finds in the outputs, by slice or by volume.
        lesions: pixels of the true masks.

    Returns:
        At most 1; negative where the judge finds more than there was; NaN without any lesion.
    """
    size = float(np.sum(lesions))
    return 1 - float(np.sum(found)) / size if size else float("nan")


def relative_healthiness(found: ArrayLike, found_in_inputs: ArrayLike) -> float:
    """h_rel = 1 - sum N(f_pre(x~)) / sum N(f_pre(x)): 0 for a copy; NaN if nothing is found in x."""
    return healthiness(found, found_in_inputs)


def volume_healthiness(found: ArrayLike, lesions: ArrayLike, volumes: ArrayLike) -> pd.Series[float]:
    """Healthiness by volume: 1 - (its mean count over its slices) / (the cohort's mean lesion size).

    The mean over volumes, weighted by their slices, is the pooled value; a small lesion does not explode as
    it would if it were its own denominator.

    Args:
        found: pixels the judge finds in the outputs, (N,), by slice.
        lesions: pixels of the true masks, (N,), by slice.
        volumes: labels, (N,).

    Returns:
        A value a volume, in order of first appearance; NaN without any lesion in the cohort.
    """
    mean_found = (
        pd.Series(np.asarray(found, dtype=np.float64)).groupby(np.asarray(volumes), sort=False).mean()
    )
    mean_lesion = float(np.asarray(lesions, dtype=np.float64).mean())
    return 1 - mean_found / (mean_lesion if mean_lesion else float("nan"))
