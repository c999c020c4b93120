"""Checkerboards, which upsampling by two leaves in generated images; see section 6 of docs/method.md."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.fft import fft2, fftfreq

from pseudohealthy.evaluation.by_volume import Rows, by_volume

HALF_WIDTH = 1 / 32  # of a band, in cycles a pixel
PERIODIC = (0.0, 1 / 4, 1 / 2)  # frequencies of what repeats every 4 pixels or every 2


def checkerboard(outputs: NDArray[Any], images: NDArray[Any], volumes: ArrayLike) -> pd.DataFrame:
    """Power of the outputs at periods of 2 and 4 pixels over that of the inputs.

    What repeats every 4 pixels along rows and columns, as the pattern of two upsamplings does, has all its
    power at frequencies of 0, 1/4 and 1/2 cycles a pixel along each axis. The bands are the squares of
    +-1/32 around these points, but for (0, 0), the image's mean. Lost detail lowers the figure: a blurred
    image with a checkerboard may have 1.

    Args:
        outputs: x~, (N, H, W) in [0, 1].
        images: x, as `outputs`.
        volumes: labels, (N,).

    Returns:
        `checkerboard` by volume, each sum over all its slices; 1 for a copy, NaN where the input has no such
        power.
    """
    band = _band(images.shape[1:])

    def measure(rows: Rows) -> dict[str, float]:
        found, given = _power(outputs[rows], band), _power(images[rows], band)
        return {"checkerboard": found / given if given else float("nan")}

    return by_volume(volumes, measure)


def _band(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The places (H, W) of a discrete Fourier transform that lie in a band."""
    rows, columns = (np.abs(np.abs(fftfreq(n))[:, None] - PERIODIC) <= HALF_WIDTH for n in shape)
    band: NDArray[np.bool_] = np.logical_and.outer(rows.any(axis=1), columns.any(axis=1))
    band &= ~np.logical_and.outer(rows[:, 0], columns[:, 0])
    return band


def _power(stack: NDArray[Any], band: NDArray[np.bool_]) -> float:
    return float(sum(np.sum(np.abs(fft2(image)[band]) ** 2, dtype=np.float64) for image in stack))
