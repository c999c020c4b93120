"""Synthetic lesions put into healthy slices: pathological images whose healthy truth is known.

They are painted, not transplanted: no real lesion's appearance is used, only shapes of masks, so that
training without pairs may use them too, and the measure of truth, which transplants real lesions, is of
another kind.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Image = NDArray[np.float32]
Ends = tuple[float, float]

# Each is drawn uniformly between its two ends, for each lesion.
TEXTURE = (0.0, 0.15)  # standard deviation of a smooth field
TEXTURE_SCALE = (2.0, 10.0)  # its scale, pixels
FEATHER = (0.4, 2.0)  # softness of the edge, pixels
CORE_LEVEL = (0.0, 0.6)  # of the median tissue's intensity
GRAIN_SCALE = 1.5  # pixels: what is finer is noise, which a lesion shows too


@dataclass(frozen=True)
class LesionAppearance:
    """A kind of lesion; pairs are the ends between which a lesion's own value is drawn.

    Attributes:
        above_tissue: brightness over the median tissue, in intensity of [0, 1].
        anatomy_left: how much of the tissue's own contrast shows through.
        core_share: so many have a dark core.
        core_depth: where it begins: 0 at the lesion's edge, 1 at its innermost.
    """

    above_tissue: Ends
    anatomy_left: Ends
    core_share: float
    core_depth: Ends


BRIGHT = LesionAppearance(
    above_tissue=(0.12, 0.55), anatomy_left=(0.0, 0.6), core_share=0.3, core_depth=(0.4, 0.8)
)
MASS = LesionAppearance(
    above_tissue=(0.0, 0.15), anatomy_left=(0.0, 0.4), core_share=0.1, core_depth=(0.4, 0.8)
)
CAVITY = LesionAppearance(
    above_tissue=(0.05, 0.4), anatomy_left=(0.0, 0.6), core_share=1.0, core_depth=(0.02, 0.35)
)
LOOKS = ((BRIGHT, 0.6), (MASS, 0.2), (CAVITY, 0.2))  # with their shares


def any_appearance(rng: np.random.Generator) -> LesionAppearance:
    """A kind of lesion by its share."""
    shares = [share for _, share in LOOKS]
    return LOOKS[rng.choice(len(LOOKS), p=shares)][0]


def with_lesion(
    healthy: Image, shape: NDArray[np.bool_], rng: np.random.Generator, look: LesionAppearance = BRIGHT
) -> tuple[Image, NDArray[np.float32]]:
    """A lesion painted into a healthy slice.

    Args:
        healthy: a slice `(H, W)` in [0, 1], 0 outside the brain.
        shape: a lesion mask of another volume `(H, W)`.
        rng: of the draws.
        look: what kind of lesion.

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
    level = tissue + rng.uniform(*look.above_tissue) + rng.uniform(*look.anatomy_left) * (coarse - tissue)
    level += rng.uniform(*TEXTURE) * _smooth(healthy.shape, rng.uniform(*TEXTURE_SCALE), rng)
    if rng.random() < look.core_share:
        deep = ndimage.distance_transform_edt(lesion)
        core = deep / deep.max() + 0.25 * _smooth(healthy.shape, 4.0, rng) > rng.uniform(*look.core_depth)
        soft = ndimage.gaussian_filter((core & lesion).astype(np.float32), rng.uniform(*FEATHER))
        level += soft * (rng.uniform(*CORE_LEVEL) * tissue - level)
    there = ndimage.gaussian_filter(lesion.astype(np.float32), rng.uniform(*FEATHER)) * brain
    painted = healthy + there * (level - coarse)
    return np.clip(painted, 0, 1).astype(np.float32), lesion.astype(np.float32)


def _smooth(shape: tuple[int, ...], scale: float, rng: np.random.Generator) -> Image:
    """A smooth random field of standard deviation 1."""
    field = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), scale, mode="wrap")
    return np.asarray(field / field.std(), dtype=np.float32)
