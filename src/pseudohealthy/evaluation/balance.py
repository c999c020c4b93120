"""Balance: identity and healthiness, each of which can be had alone, in one figure (docs/method.md, 6)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from pseudohealthy.evaluation.healthiness import healthiness_of_sums


def harmonic_mean(identity: ArrayLike, healthiness: ArrayLike) -> NDArray[np.float64]:
    """`2 i h / (i + h)` of values clipped to [0, 1].

    Args:
        identity: of any shape.
        healthiness: as `identity`; negative where a judge finds more than there was.

    Returns:
        As `identity`, in [0, 1]: 0 where one of the two is 0 or less, NaN where one of them is NaN.
    """
    i, h = (np.clip(np.asarray(values, dtype=np.float64), 0, 1) for values in (identity, healthiness))
    total = i + h
    # only 0 / 0 is left at its 0; NaN stays
    mean: NDArray[np.float64] = np.divide(2 * i * h, total, out=np.zeros(total.shape), where=total != 0)
    return mean


def volume_balance(
    identity_normalised: pd.Series[float],
    detected: Mapping[str, pd.Series[float]],
    lesions: pd.Series[float],
    slices: pd.Series[float],
) -> pd.Series[float]:
    """Harmonic mean, by volume, of mask-normalised identity and the panel's mean healthiness.

    A copy has identity 1 and the input's healthiness, a blank image the opposite: both are low. Whoever may
    not believe the judges may not believe this figure either.

    Args:
        identity_normalised: by volume, see `identity.volume_identity`.
        detected: by judge, pixels that it finds in a volume's outputs; the whole panel, one judge at least,
            without the one held out.
        lesions: pixels of the true masks, by volume; all arguments have the same volumes.
        slices: their number, by volume.

    Returns:
        A value in [0, 1] a volume; NaN where identity could not be measured, or without any lesion.
    """
    by_judge = {name: healthiness_of_sums(count, lesions, slices) for name, count in detected.items()}
    panel = pd.DataFrame(by_judge).mean(axis=1)
    values = harmonic_mean(identity_normalised, panel)
    return pd.Series(values, index=identity_normalised.index, name="balance")
