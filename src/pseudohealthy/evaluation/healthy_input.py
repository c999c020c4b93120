"""Healthy in, healthy out: what cycle H-H is for; see section 6 of docs/method.md."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudohealthy.evaluation.by_volume import Rows, by_volume
from pseudohealthy.evaluation.ms_ssim import ms_ssim
from pseudohealthy.evaluation.pixelwise import mae
from pseudohealthy.evaluation.slice_set import SliceSet


def healthy_in(
    outputs: NDArray[Any],
    slices: SliceSet,
    *,
    detected: NDArray[Any] | None = None,
    reconstructed: NDArray[Any] | None = None,
) -> pd.DataFrame:
    """How much a method changes slices in which there is nothing to change.

    Args:
        outputs: G(x), (N, H, W) in [0, 1].
        slices: healthy slices x.
        detected: S(x), (N, H, W), > 0 is marked; None for a method without S.
        reconstructed: R(x, 0), as `outputs`; None for a method without R.

    Returns:
        A row a volume. `healthy_in.mae`, inside the brain, over all its pixels; `healthy_in.ms_ssim`, the
        mean over slices of the form in `ms_ssim.ms_ssim`; with `detected`,
        `healthy_in.false_positive_voxels`, the mean number of pixels a slice; with `reconstructed`,
        `healthy_in.reconstructed_mae`, that of R(x, 0) against x inside the brain. NaN without any brain.
    """

    def measured(rows: Rows) -> dict[str, float]:
        own = slices.at(rows)
        x, inside = own.images[None], own.brains[None]
        row = {
            "healthy_in.mae": float(mae(outputs[rows][None], x, inside)[0]),
            "healthy_in.ms_ssim": float(ms_ssim(outputs[rows], own.images).mean()),
        }
        if detected is not None:
            row["healthy_in.false_positive_voxels"] = np.count_nonzero(detected[rows] > 0) / len(rows)
        if reconstructed is not None:
            row["healthy_in.reconstructed_mae"] = float(mae(reconstructed[rows][None], x, inside)[0])
        return row

    return by_volume(slices.volumes, measured)
