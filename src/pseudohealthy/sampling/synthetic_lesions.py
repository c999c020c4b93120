"""Synthetic lesions put into healthy slices: pathological images whose healthy truth is known.

They are drawn: no real lesion's look is used, only shapes of masks, so that training without pairs may use
them too. Or they are transplanted, where images have their own masks: real lesions, with cysts, rims and
masses as dark as tissue, which drawn ones do not have.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Image = NDArray[np.float32]

# Each is drawn uniformly between its two ends, for each lesion
ABOVE_TISSUE = (0.12, 0.55)  # brightness over the median tissue, in intensity of [0, 1]
ANATOMY_LEFT = (0.0, 0.6)  # how much of the tissue's own contrast shows through
TEXTURE = (0.0, 0.15)  # standard deviation of a smooth field
TEXTURE_SCALE = (2.0, 10.0)  # its scale, pixels
FEATHER = (0.4, 2.0)  # softness of the edge, pixels
CORE_DEPTH = (0.4, 0.8)  # where a dark core begins: 0 at the lesion's edge, 1 at its innermost
CORE_LEVEL = (0.0, 0.6)  # of the median tissue's intensity
CORE_SHARE = 0.3  # so many lesions have a dark core
SCALE_DEVIATION = 0.05  # of the logarithm of a transplanted lesion's brightness
WIDEST = 2  # pixels by which a transplanted lesion's surroundings come along at most, since masks end early
GRAIN_SCALE = 1.5  # pixels: what is finer is noise, which a lesion shows too


def add_synthetic_lesion(
    healthy: Image, shape: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[Image, NDArray[np.float32]]:
    """A healthy slice with a synthetic lesion: bright, at times with a dark core.

    Args:
        healthy: a slice `(H, W)` in [0, 1], 0 outside the brain.
        shape: a lesion mask of another volume `(H, W)`.
        rng: of the draws.

    Returns:
        The slice with the lesion, `(H, W)` in [0, 1], and its mask in {0, 1}: the part of `shape` that is in
        the brain, which may be empty.
    """
    brain = healthy > 0
    lesion = shape & brain
    if not lesion.any():
        return healthy.copy(), lesion.astype(np.float32)
    tissue = float(np.median(healthy[brain]))
    coarse = ndimage.gaussian_filter(healthy, GRAIN_SCALE)
    level = tissue + rng.uniform(*ABOVE_TISSUE) + rng.uniform(*ANATOMY_LEFT) * (coarse - tissue)
    level += rng.uniform(*TEXTURE) * _smooth(healthy.shape, rng.uniform(*TEXTURE_SCALE), rng)
    if rng.random() < CORE_SHARE:
        deep = ndimage.distance_transform_edt(lesion)
        core = deep / deep.max() + 0.25 * _smooth(healthy.shape, 4.0, rng) > rng.uniform(*CORE_DEPTH)
        soft = ndimage.gaussian_filter((core & lesion).astype(np.float32), rng.uniform(*FEATHER))
        level += soft * (rng.uniform(*CORE_LEVEL) * tissue - level)
    weight = ndimage.gaussian_filter(lesion.astype(np.float32), rng.uniform(*FEATHER)) * brain
    image = np.clip(healthy + weight * (level - coarse), 0, 1)
    return image.astype(np.float32), lesion.astype(np.float32)


def transplant_lesion(
    healthy: Image, donor: Image, mask: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[Image, NDArray[np.float32]]:
    """A healthy slice with the lesion of another slice, at its place or at the mirrored one.

    The lesion's intensities are scaled by the ratio of the medians of the tissue outside lesions.

    Args:
        healthy: a slice `(H, W)` in [0, 1], 0 outside the brain.
        donor: a slice with a lesion, as `healthy`.
        mask: the donor's lesion `(H, W)`.
        rng: of the draws.

    Returns:
        The slice with the lesion, `(H, W)` in [0, 1], and its mask in {0, 1}: the part that is in both
        brains, which may be empty, as it is where the donor has no tissue but its lesion.
    """
    if rng.random() < 0.5:
        donor, mask = donor[:, ::-1], mask[:, ::-1]
    both, tissue = (healthy > 0) & (donor > 0), (donor > 0) & ~mask
    lesion = mask & both
    if not lesion.any() or not tissue.any():
        return healthy.copy(), np.zeros_like(healthy)
    scale = np.median(healthy[healthy > 0]) / np.median(donor[tissue])
    scale *= np.exp(rng.normal(0, SCALE_DEVIATION))
    wider = ndimage.distance_transform_edt(~lesion) <= rng.integers(0, WIDEST + 1)
    weight = ndimage.gaussian_filter(wider.astype(np.float32), rng.uniform(*FEATHER)) * both
    image = np.clip(healthy + weight * (scale * donor - healthy), 0, 1)
    return image.astype(np.float32), lesion.astype(np.float32)


def _smooth(shape: tuple[int, ...], scale: float, rng: np.random.Generator) -> Image:
    """A smooth random field of standard deviation 1."""
    field = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), scale, mode="wrap")
    return np.asarray(field / field.std(), dtype=np.float32)
