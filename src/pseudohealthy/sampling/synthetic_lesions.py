"""Synthetic lesions put into healthy slices: pathological images whose healthy truth is known.

They are drawn, with no real lesion's look, only the shape of a mask, so that training without pairs may use
them too. Or they are transplanted: real lesions, with cysts, rims and masses as dark as tissue, where images
have their own masks.
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
GRAIN_SCALE = 1.5  # pixels: what is finer is noise, which a lesion shows too

# Of transplanted lesions
BRIGHTNESS_DEVIATION = 0.05  # standard deviation of the logarithm of a factor on the brightness
MOST_SURROUNDINGS = 2  # pixels round the mask that come along at most, since a mask ends before its lesion
TRANSPLANT_FEATHER = (0.4, 1.0)  # softness of the edge, pixels
BRAIN_EDGE = 3  # pixels at the edge of the donor's brain that stay behind: dark ones inside another brain


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

    Its intensities are scaled by the ratio of the medians of the tissue outside lesions, with a little
    chance, and at most 2 pixels of its surroundings come along: the change reaches a little beyond the mask.

    Args:
        healthy: a slice `(H, W)` in [0, 1], 0 outside the brain.
        donor: a slice with a lesion, as `healthy`.
        mask: the donor's lesion `(H, W)`.
        rng: of the draws.

    Returns:
        The slice with the lesion, `(H, W)` in [0, 1], and its mask in {0, 1}: the part that is in both
        brains, and 3 pixels from the donor's edge. It may be empty; it is, and the slice unchanged, where
        the donor has no tissue outside its lesion.
    """
    if rng.random() < 0.5:
        donor, mask = donor[:, ::-1], mask[:, ::-1]
    whole = ndimage.binary_erosion(ndimage.binary_fill_holes(donor > 0), iterations=BRAIN_EDGE)
    both = (healthy > 0) & whole
    lesion, tissue = mask & both, (donor > 0) & ~mask
    if not lesion.any() or not tissue.any():
        return healthy.copy(), np.zeros_like(healthy)
    scale = np.median(healthy[healthy > 0]) / np.median(donor[tissue])
    scale *= np.exp(rng.normal(0, BRIGHTNESS_DEVIATION))
    wider = ndimage.distance_transform_edt(~lesion) <= rng.integers(MOST_SURROUNDINGS + 1)
    weight = ndimage.gaussian_filter(wider.astype(np.float32), rng.uniform(*TRANSPLANT_FEATHER)) * both
    image = np.clip(healthy + weight * (scale * donor - healthy), 0, 1)
    return image.astype(np.float32), lesion.astype(np.float32)


def _smooth(shape: tuple[int, ...], scale: float, rng: np.random.Generator) -> Image:
    """A smooth random field of standard deviation 1."""
    field = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), scale, mode="wrap")
    return np.asarray(field / field.std(), dtype=np.float32)
