"""Identity: is it still the same brain where there was no lesion? See section 6 of docs/method.md."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pseudohealthy.evaluation.ms_ssim import masked_ms_ssim, ms_ssim
from pseudohealthy.evaluation.pixelwise import mae, psnr

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]


def identity(outputs: NDArray[Any], images: NDArray[Any], lesions: Mask) -> Values:
    """The paper's form, MS-SSIM[(1 - m) x~, (1 - m) x].

    A lesion is black in both, hence equal in both: the value rises with the lesion's size at the same error,
    as it does with the share of background in the field and with the padding of `ms_ssim`.

    Args:
        outputs: x~, (N, H, W) in [0, 1].
        images: x, as `outputs`.
        lesions: m, (N, H, W).

    Returns:
        (N,), one value a slice.
    """
    outside = ~lesions
    return ms_ssim(outside * outputs, outside * images)


def identity_normalised(outputs: NDArray[Any], images: NDArray[Any], lesions: Mask, brains: Mask) -> Values:
    """Mask-normalised form: MS-SSIM over the pixels of the brain outside the lesion, and no others.

    Neither lesion nor background counts as equal, so that the value hardly moves with the lesion's size and
    not at all with the field's. Arguments as in `identity`, and `brains` (N, H, W).

    Returns:
        (N,), one value a slice; NaN where the brain is all lesion.
    """
    return masked_ms_ssim(outputs, images, brains & ~lesions)


def volume_identity(
    outputs: NDArray[Any], images: NDArray[Any], lesions: Mask, brains: Mask
) -> dict[str, float]:
    """All measures of identity of one volume's pathological slices.

    MS-SSIM is a mean over slices. The errors are pooled over the volume's pixels, as in `truth`: a mean of dB
    over slices would let a few that are equal to the bit, each at the ceiling, hide all the others' error.

    Args:
        outputs: the volume's x~, (N, H, W) in [0, 1].
        images: x, as `outputs`.
        lesions: m, (N, H, W).
        brains: (N, H, W).

    Returns:
        `identity` and `identity_normalised` in [0, 1]; `psnr_outside` in dB and `mae_outside` in units of
        intensity, outside the lesion inside the brain. NaN where there is no such pixel.
    """
    x_tilde, x, outside = outputs[None], images[None], (brains & ~lesions)[None]
    return {
        "identity": _mean(identity(outputs, images, lesions)),
        "identity_normalised": _mean(identity_normalised(outputs, images, lesions, brains)),
        "psnr_outside": float(psnr(x_tilde, x, outside)[0]),
        "mae_outside": float(mae(x_tilde, x, outside)[0]),
    }


def _mean(values: Values) -> float:
    measured = values[~np.isnan(values)]
    return float(measured.mean()) if measured.size else float("nan")
