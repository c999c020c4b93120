"""Residual contrast: does the place of the lesion still stand out? It needs no judge."""

from __future__ import annotations

from typing import Any

import pandas as pd
from numpy.typing import ArrayLike, NDArray

from pseudohealthy.evaluation.by_volume import Rows, by_volume
from pseudohealthy.evaluation.pixelwise import mean_over
from pseudohealthy.evaluation.truth import rim


def residual_contrast(
    outputs: NDArray[Any],
    masks: NDArray[Any],
    brains: NDArray[Any],
    volumes: ArrayLike,
    spacing: tuple[float, float],
) -> pd.DataFrame:
    """Mean of x~ inside the true mask minus its mean on the 5 mm of brain around it (docs/method.md, 6).

    Args:
        outputs: x~, (N, H, W) in [0, 1].
        masks: m, (N, H, W), > 0.
        brains: (N, H, W), > 0.
        volumes: labels, (N,).
        spacing: of rows and of columns, in mm.

    Returns:
        A row a volume, column `residual_contrast` in units of intensity, both means pooled over the volume's
        slices. 0 is ideal; a place filled too dark is negative. NaN without a lesion or without a rim.
    """

    def measured(rows: Rows) -> dict[str, float]:
        x, lesions = outputs[rows], masks[rows] > 0
        around = rim(lesions, brains[rows] > 0, spacing)
        inside, beside = (mean_over(x[None], region[None])[0] for region in (lesions, around))
        return {"residual_contrast": float(inside - beside)}

    return by_volume(volumes, measured)
