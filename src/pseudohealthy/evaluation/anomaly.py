"""The anomaly map |x - x~| as a detector of the lesion; see section 6 of docs/method.md."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from pseudohealthy.evaluation.by_volume import Rows, by_volume
from pseudohealthy.evaluation.ranking import auprc


def anomaly(
    images: NDArray[Any], outputs: NDArray[Any], masks: NDArray[Any], brains: NDArray[Any], volumes: ArrayLike
) -> pd.DataFrame:
    """How well the anomaly map ranks lesion above other brain, beside the raw image, which needs no method.

    Args:
        images: x, (N, H, W) in [0, 1].
        outputs: x~, as `images`.
        masks: true lesions, (N, H, W), > 0.
        brains: (N, H, W), > 0; nothing else is ranked.
        volumes: labels, (N,).

    Returns:
        By volume, over the brain voxels of all its slices together: `anomaly_auprc` of |x - x~| and
        `anomaly_auprc_flair` of x, in (0, 1]; NaN without a lesion in the brain. A copy has the share of
        lesion in the brain.
    """

    def measure(rows: Rows) -> dict[str, float]:
        brain = brains[rows] > 0
        x, x_tilde, lesion = images[rows][brain], outputs[rows][brain], masks[rows][brain]
        return {"anomaly_auprc": auprc(np.abs(x - x_tilde), lesion), "anomaly_auprc_flair": auprc(x, lesion)}

    return by_volume(volumes, measure)
