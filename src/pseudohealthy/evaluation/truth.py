"""Error against a known healthy image: inside the lesion, on a rim around it, and in the other brain."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from pseudohealthy.evaluation.ms_ssim import ssim_map
from pseudohealthy.evaluation.pixelwise import mae, mean_over, psnr
from pseudohealthy.evaluation.slice_set import SliceSet

Mask = NDArray[np.bool_]

RIM_WIDTH = 5.0  # mm


def rim(lesions: Mask, brains: Mask, spacing: tuple[float, float]) -> Mask:
    """Brain outside the lesion, at most 5 mm from the nearest lesion pixel's centre in its own slice.

    Args:
        lesions: (N, H, W).
        brains: (N, H, W).
        spacing: of rows and of columns, in mm.

    Returns:
        (N, H, W); empty in slices without a lesion.
    """
    near = np.zeros(lesions.shape, dtype=np.bool_)
    for z in np.flatnonzero(lesions.any(axis=(1, 2))):
        near[z] = distance_transform_edt(~lesions[z], sampling=spacing) <= RIM_WIDTH
    return near & brains & ~lesions


def regions(lesions: Mask, brains: Mask, spacing: tuple[float, float]) -> dict[str, Mask]:
    """`inside` the lesion, `rim`, and `outside`, the brain beyond both; arguments as in `rim`."""
    around = rim(lesions, brains, spacing)
    return {"inside": lesions, "rim": around, "outside": brains & ~lesions & ~around}


def volume_truth(outputs: NDArray[Any], slices: SliceSet) -> dict[str, float]:
    """Errors of one volume's outputs; each region is pooled over the volume's slices.

    Args:
        outputs: x~, (N, H, W) in [0, 1].
        slices: the volume's slices, of which the truth is known.

    Returns:
        `psnr` (dB), `ssim` (the local map's mean, in [-1, 1]) and `mae` (intensity) of each region as
        `inside.psnr` and so on, and `mae_ratio`, the MAE inside over that of the input: 1 for a copy, 0 for
        the truth. NaN where a region is empty.

    Raises:
        InputError: the truth is not known.
    """
    truth, lesions = slices.required("truth"), slices.masks > 0
    x, target, similarity = outputs[None], truth[None], ssim_map(outputs, truth)[None]
    errors = {}
    for name, mask in regions(lesions, slices.brains, slices.spacing).items():
        region = mask[None]
        errors[f"{name}.psnr"] = float(psnr(x, target, region)[0])
        errors[f"{name}.ssim"] = float(mean_over(similarity, region)[0])
        errors[f"{name}.mae"] = float(mae(x, target, region)[0])
    untouched = float(mae(slices.images[None], target, lesions[None])[0])
    errors["mae_ratio"] = errors["inside.mae"] / untouched if untouched else float("nan")
    return errors
