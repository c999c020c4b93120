"""Healthiness: how much pathology a judge f_pre still finds; see section 6 of docs/method.md.

N(.) is a number of pixels. Everything here takes counts; whose they are is the caller's affair.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

LEAST_DICE, MOST_H_COPY, LEAST_H_REAL_HEALTHY = 0.70, 0.2, 0.95


def healthiness(detected: ArrayLike, lesions: ArrayLike) -> float:
    """The paper's pooled form, h = 1 - sum N(f_pre(x~)) / sum N(m_p).

    Args:
        detected: pixels the judge finds in the outputs, by slice or by volume.
        lesions: pixels of the true masks.

    Returns:
        At most 1; negative where the judge finds more than there was; NaN without any lesion.
    """
    size = float(np.sum(lesions))
    return 1 - float(np.sum(detected)) / size if size else float("nan")


def healthiness_of_healthy(detected: ArrayLike, lesions: ArrayLike) -> float:
    """h(real healthy): the healthiness of as many real healthy slices as there are slices with a lesion.

    Args:
        detected: pixels the judge finds in real healthy slices, by slice.
        lesions: pixels of the true masks of slices with a lesion, by slice.

    Returns:
        At most 1, which no output can exceed by much; NaN without healthy slices or any lesion.
    """
    marked, areas = (np.asarray(counts, dtype=np.float64) for counts in (detected, lesions))
    return healthiness(marked.mean(), areas.mean()) if marked.size and areas.size else float("nan")


def relative_healthiness(detected: ArrayLike, detected_in_inputs: ArrayLike) -> float:
    """h_rel = 1 - sum N(f_pre(x~)) / sum N(f_pre(x)): 0 for a copy; NaN if nothing is found in x."""
    return healthiness(detected, detected_in_inputs)


def volume_healthiness(detected: ArrayLike, lesions: ArrayLike, volumes: ArrayLike) -> pd.Series[float]:
    """Healthiness by volume: 1 - (its mean count over its slices) / (the cohort's mean lesion size).

    The mean over volumes, weighted by their slices, is the pooled value; a small lesion does not explode as
    it would if it were its own denominator.

    Args:
        detected: pixels the judge finds in the outputs, (N,), by slice.
        lesions: pixels of the true masks, (N,), by slice.
        volumes: labels, (N,).

    Returns:
        A value a volume, in order of first appearance; NaN without any lesion in the cohort.
    """
    counts = pd.DataFrame({"found": np.asarray(detected), "lesions": np.asarray(lesions)}, dtype=np.float64)
    of_volume = counts.groupby(np.asarray(volumes), sort=False)
    sums = of_volume.sum()
    return healthiness_of_sums(sums["found"], sums["lesions"], of_volume.size().astype(np.float64))


def healthiness_of_sums(
    detected: pd.Series[float], lesions: pd.Series[float], slices: pd.Series[float]
) -> pd.Series[float]:
    """`volume_healthiness` from each volume's sums over its slices.

    Args:
        detected: pixels the judge finds in the outputs, by volume.
        lesions: pixels of the true masks, by volume; together they are the cohort.
        slices: their number, by volume.

    Returns:
        A value a volume; NaN without any lesion in the cohort.
    """
    mean_lesion = float(lesions.sum() / slices.sum())
    of_volume: pd.Series[float] = 1 - detected / slices / (mean_lesion if mean_lesion else float("nan"))
    return of_volume


def panel(
    detected: Mapping[str, ArrayLike],
    lesions: ArrayLike,
    detected_in_inputs: Mapping[str, ArrayLike] | None = None,
) -> dict[str, Any]:
    """Healthiness by several judges, of which one may be fooled; a threshold rule is a judge like the others.

    Args:
        detected: by a judge's name, pixels that it finds in the outputs, by slice or by volume; at least one.
        lesions: pixels of the true masks.
        detected_in_inputs: as `detected`, of the inputs; of some judges or of none.

    Returns:
        `panel_mean` and `panel_worst`, the mean and the least of the judges' pooled values, and `members`:
        by name `pooled`, and `rel` where the inputs were judged too.
    """
    pooled = {name: healthiness(count, lesions) for name, count in detected.items()}
    members = {name: {"pooled": value} for name, value in pooled.items()}
    for name, count in (detected_in_inputs or {}).items():
        members[name]["rel"] = relative_healthiness(detected[name], count)
    values = list(pooled.values())
    return {"panel_mean": float(np.mean(values)), "panel_worst": float(np.min(values)), "members": members}


def reasons_against(dice_pooled: float, h_copy: float, h_real_healthy: float) -> list[str]:
    """Why a judge's healthiness may not be believed (section 6); nothing where it may.

    Args:
        dice_pooled: of what it finds in the inputs.
        h_copy: the healthiness that it gives the inputs themselves.
        h_real_healthy: what it gives real healthy slices; NaN where there are none.
    """
    reasons = []
    if not dice_pooled >= LEAST_DICE:
        reasons.append(f"the judge's pooled Dice is {dice_pooled:.3f}, under {LEAST_DICE}")
    if not abs(h_copy) <= MOST_H_COPY:
        reasons.append(f"the judge's h(copy) is {h_copy:.3f}, beyond {MOST_H_COPY} either way")
    if np.isnan(h_real_healthy):
        reasons.append("the judge's h(real healthy) is not known, there is no healthy slice")
    elif h_real_healthy < LEAST_H_REAL_HEALTHY:
        reasons.append(f"the judge's h(real healthy) is {h_real_healthy:.3f}, under {LEAST_H_REAL_HEALTHY}")
    return reasons
