"""Structural similarity: MS-SSIM as published, MS-SSIM over included pixels only, and the single-scale map.

Intensities are in [0, 1] and the data range is 1, never that of an image. Constants, weights and the relu are
those of Wang, Simoncelli and Bovik (2003) as implemented by pytorch_msssim and torchmetrics:

- weights 0.0448, 0.2856, 0.3001, 0.2363, 0.1333 as printed (they sum to 1.0001), and a negative mean of a
  scale is set to 0: both libraries;
- only windows that lie wholly in the image: pytorch_msssim. torchmetrics does so for the contrast terms, but
  mirrors the image at its border for the luminance of the coarsest scale;
- pooling drops an odd last row or column: torchmetrics. pytorch_msssim pads it with zeros. Sides that are
  multiples of 16 do not differ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from pseudohealthy.errors import InputError

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
C1, C2 = 0.01**2, 0.03**2

Stack = NDArray[np.float64]
Smooth = Callable[[Stack], Stack]


def ms_ssim(a: NDArray[Any], b: NDArray[Any], window: int = 11, sigma: float = 1.5) -> Stack:
    """Five-scale MS-SSIM of slices (H, W) or stacks (N, H, W) in [0, 1].

    Five scales need sides of 16 windows (176 at window 11): a shorter side is padded to that with zeros, half
    before and half after the image, which raises the value (208 x 160 becomes 208 x 176). Where images are
    compared across publications, say so.

    Args:
        a: first image or stack.
        b: second one, of the same shape; the measure is symmetric.
        window: width of the Gaussian window in pixels, odd.
        sigma: its standard deviation in pixels.

    Returns:
        (N,), one value in [0, 1] a slice; (1,) for a single slice.

    Raises:
        InputError: shapes differ or are not (H, W) or (N, H, W); an even window.
    """
    if window < 3 or window % 2 == 0:
        raise InputError(f"ms_ssim: the window is {window} pixels wide, expected an odd number from 3")
    x, y = _pair(a, b)
    least = window * 2 ** (len(WEIGHTS) - 1)
    x, y = _padded(x, least), _padded(y, least)
    smooth = _whole_windows(_gaussian(window, sigma))
    terms = []
    for scale in range(len(WEIGHTS)):
        terms.append(_similarity(x, y, smooth)[scale < len(WEIGHTS) - 1].mean(axis=(1, 2)))
        x, y = _pooled(x), _pooled(y)
    return _product(terms)


def masked_ms_ssim(a: NDArray[Any], b: NDArray[Any], included: NDArray[Any]) -> Stack:
    """MS-SSIM over included pixels alone (window 11, sigma 1.5): what is not included has no effect at all.

    Local moments are normalised convolutions, `g * (k x) / g * k`, pooling averages by included weight, and
    each scale's map is averaged by included weight. Windows may reach over the border, where nothing is
    included: no padding is needed at any size. Pooling starts at the first included row and column, so that
    rows and columns added without being included do not change the value, wherever they are added.

    Args:
        a: slice (H, W) or stack (N, H, W) in [0, 1].
        b: as `a`.
        included: as `a`: bool, or weights in [0, 1].

    Returns:
        (N,), one value in [0, 1] a slice; NaN where nothing is included.

    Raises:
        InputError: shapes differ or are not (H, W) or (N, H, W).
    """
    x, y = _pair(a, b)
    k = _pair(a, included)[1]
    x, y, k = _from_first_included(x, k), _from_first_included(y, k), _from_first_included(k, k)
    x, y = np.where(k > 0, x, 0.0), np.where(k > 0, y, 0.0)
    kernel = _gaussian(11, 1.5)
    terms = []
    for scale in range(len(WEIGHTS)):
        similarity = _similarity(x, y, _included_windows(kernel, k))[scale < len(WEIGHTS) - 1]
        terms.append(_ratio((k * similarity).sum(axis=(1, 2)), k.sum(axis=(1, 2)), np.nan))
        x, y, k = _even(x), _even(y), _even(k)
        weight = _pooled(k)
        x, y, k = _ratio(_pooled(k * x), weight), _ratio(_pooled(k * y), weight), weight
    return _product(terms)


def ssim_map(a: NDArray[Any], b: NDArray[Any]) -> Stack:
    """Single-scale SSIM around each pixel (window 11, sigma 1.5; at the border the part inside the image).

    Args:
        a: slice (H, W) or stack (N, H, W) in [0, 1].
        b: as `a`.

    Returns:
        (N, H, W), values in [-1, 1].

    Raises:
        InputError: shapes differ or are not (H, W) or (N, H, W).
    """
    x, y = _pair(a, b)
    return _similarity(x, y, _included_windows(_gaussian(11, 1.5), np.ones_like(x[:1])))[0]


def _similarity(x: Stack, y: Stack, smooth: Smooth) -> tuple[Stack, Stack]:
    """SSIM and its contrast-structure part, as maps."""
    mean_x, mean_y = smooth(x), smooth(y)
    product, squares = mean_x * mean_y, mean_x**2 + mean_y**2
    covariance = smooth(x * y) - product
    variances = smooth(x * x + y * y) - squares
    contrast = (2 * covariance + C2) / (variances + C2)
    return contrast * (2 * product + C1) / (squares + C1), contrast


def _product(terms: list[Stack]) -> Stack:
    powers = np.maximum(terms, 0.0) ** np.array(WEIGHTS)[:, None]
    product: Stack = powers.prod(axis=0)
    return product


def _gaussian(window: int, sigma: float) -> Stack:
    offsets = np.arange(window) - window // 2
    weights = np.exp(-(offsets**2) / (2 * sigma**2))
    kernel: Stack = weights / weights.sum()
    return kernel


def _convolved(x: Stack, kernel: Stack) -> Stack:
    rows = correlate1d(x, kernel, axis=1, mode="constant")
    return correlate1d(rows, kernel, axis=2, mode="constant")


def _whole_windows(kernel: Stack) -> Smooth:
    """Local means where the window lies wholly in the image."""
    margin = len(kernel) // 2
    return lambda x: _convolved(x, kernel)[:, margin:-margin, margin:-margin]


def _included_windows(kernel: Stack, included: Stack) -> Smooth:
    """Local means by included weight, at every pixel."""
    weight = _convolved(included, kernel)
    return lambda x: _ratio(_convolved(included * x, kernel), np.broadcast_to(weight, x.shape))


def _pooled(x: Stack) -> Stack:
    count, height, width = x.shape[0], x.shape[1] // 2, x.shape[2] // 2
    even = x[:, : 2 * height, : 2 * width]
    pooled: Stack = even.reshape(count, height, 2, width, 2).mean(axis=(2, 4))
    return pooled


def _even(x: Stack) -> Stack:
    return np.pad(x, [(0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2)])


def _padded(x: Stack, least: int) -> Stack:
    missing = [max(0, least - side) for side in x.shape[1:]]
    return np.pad(x, [(0, 0), *((total // 2, total - total // 2) for total in missing)])


def _from_first_included(x: Stack, included: Stack) -> Stack:
    """Each slice moved so that its first included row and column come first, cut to the largest extent."""
    rows = _included_indices(included.max(axis=2) > 0)
    columns = _included_indices(included.max(axis=1) > 0)
    return x[np.arange(len(x))[:, None, None], rows[:, :, None], columns[:, None, :]]


def _included_indices(included: NDArray[np.bool_]) -> NDArray[np.intp]:
    """(N, L) bool -> (N, extent) indices from the first included one; those past the end wrap around."""
    length = included.shape[1]
    first = included.argmax(axis=1)
    extent = (length - included[:, ::-1].argmax(axis=1) - first).max()
    indices: NDArray[np.intp] = (first[:, None] + np.arange(extent)) % length
    return indices


def _ratio(numerator: Stack, denominator: Stack, otherwise: float = 0.0) -> Stack:
    out = np.full_like(numerator, otherwise)
    return np.divide(numerator, denominator, out=out, where=denominator > 0)


def _pair(a: NDArray[Any], b: NDArray[Any]) -> tuple[Stack, Stack]:
    """Both as float64 stacks (N, H, W)."""
    if a.shape != b.shape or a.ndim not in (2, 3) or not a.size:
        raise InputError(
            f"similarity: arrays of shape {a.shape} and {b.shape}, expected two (H, W) or two (N, H, W)"
        )
    height, width = a.shape[-2:]
    x, y = (np.asarray(v, dtype=np.float64).reshape(-1, height, width) for v in (a, b))
    return x, y
