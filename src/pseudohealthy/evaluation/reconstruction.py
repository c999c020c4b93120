"""Mask control: does R follow its mask? And the cycle before and after x~ is coarsened.

f_pre is a judge, R a method's reconstructor (the second generator, for CycleGAN): see section 6 of
docs/method.md. A method that hides the lesion in faint patterns of x~ takes it back from there, whatever mask
it is given: then the cycle breaks where 8 bits and a little noise destroy the patterns, and R shows the
lesion at its old place.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt

from pseudohealthy.evaluation.by_volume import Rows, by_volume, rows_of
from pseudohealthy.evaluation.controls import brain_columns
from pseudohealthy.evaluation.pixelwise import mean_over
from pseudohealthy.evaluation.segmentation import dice

Mask = NDArray[np.bool_]


def quantised(images: NDArray[Any], rng_seed: int, sigma: float = 0.01) -> NDArray[Any]:
    """Rounded to 8 bits, then Gaussian noise, then [0, 1] again: nothing can be hidden in small differences.

    The background gets noise as well, for it is as good a hiding place as any.

    Args:
        images: (N, H, W) in [0, 1].
        rng_seed: of the noise; the same seed and shape give the same noise.
        sigma: of the noise, in units of intensity.
    """
    noise = np.random.default_rng(rng_seed).normal(0, sigma, images.shape)
    coarse = np.round(images.astype(np.float64) * 255) / 255
    return np.clip(coarse + noise, 0, 1).astype(images.dtype)


def cycle(
    images: NDArray[Any],
    reconstructed: NDArray[Any],
    reconstructed_quantised: NDArray[Any],
    *,
    judged: NDArray[Any],
    judged_reconstructed: NDArray[Any],
    judged_reconstructed_quantised: NDArray[Any],
    volumes: ArrayLike,
) -> pd.DataFrame:
    """Does the image come back, and the lesion at its place, with and without hidden information?

    Args:
        images: x, (N, H, W) in [0, 1].
        reconstructed: x^ from x~, as `images`.
        reconstructed_quantised: x^ from `quantised` x~, as `images`.
        judged: f_pre(x), (N, H, W), > 0.
        judged_reconstructed: f_pre of `reconstructed`, as `judged`.
        judged_reconstructed_quantised: f_pre of `reconstructed_quantised`, as `judged`.
        volumes: labels, (N,).

    Returns:
        A row a volume. `cycle.l1`: mean |x^ - x| over all pixels, as in the loss; `cycle.location_dice`: Dice
        of f_pre on x^ and on x, pooled over the slices, NaN where it finds nothing in either; both again as
        `cycle.l1_quantised` and `cycle.location_dice_quantised`.
    """

    def measured(rows: Rows) -> dict[str, float]:
        x, before = images[rows], judged[rows]
        return {
            "cycle.l1": _l1(reconstructed[rows], x),
            "cycle.location_dice": _dice(judged_reconstructed[rows], before),
            "cycle.l1_quantised": _l1(reconstructed_quantised[rows], x),
            "cycle.location_dice_quantised": _dice(judged_reconstructed_quantised[rows], before),
        }

    return by_volume(volumes, measured)


def moved(masks: NDArray[Any], brains: NDArray[Any], volumes: ArrayLike) -> Mask:
    """Each mask at the mirrored place of the other hemisphere, inside the brain and of the same area.

    The mirror is that of `controls.mirror`. As a brain is not symmetric, the moved mask consists of as many
    brain pixels as the mask has, those nearest to its mirror image: first the mirror image itself. The part
    of a mask outside the brain does not count.

    Args:
        masks: (N, H, W), > 0.
        brains: (N, H, W), > 0.
        volumes: labels, (N,).

    Returns:
        (N, H, W); empty where the mask is.
    """
    inside = brains > 0
    lesions = (masks > 0) & inside
    result = np.zeros_like(lesions)
    for rows in rows_of(volumes).values():
        for z in rows[lesions[rows].any(axis=(1, 2))]:
            at, columns = np.nonzero(lesions[z])
            mirrored = np.zeros_like(lesions[z])
            mirrored[at, sum(brain_columns(inside[rows])) - columns] = True
            distance = np.where(inside[z], distance_transform_edt(~mirrored), np.inf)
            nearest = np.argsort(distance, axis=None, kind="stable")[: len(at)]
            result[z].flat[nearest] = True
    return result


def mask_control(
    judged_without: NDArray[Any],
    judged_moved: NDArray[Any],
    judged: NDArray[Any],
    *,
    moved_masks: NDArray[Any],
    masks: NDArray[Any],
    volumes: ArrayLike,
) -> pd.DataFrame:
    """Does R put a lesion where the mask says, and only there?

    Args:
        judged_without: f_pre(R(x~, 0)), (N, H, W), > 0.
        judged_moved: f_pre(R(x~, moved mask)), as `judged_without`.
        judged: f_pre(x), as `judged_without`.
        moved_masks: what R was given, (N, H, W), > 0.
        masks: m, the old place, (N, H, W), > 0.
        volumes: labels, (N,).

    Returns:
        A row a volume, counts pooled over its slices. `mask_control.residual_without_mask`: N(f_pre(R(x~,
        0))) over N(f_pre(x)), 0 where R follows its mask, 1 where not; `mask_control.moved_mask_dice`: Dice
        of f_pre(R(x~, moved)) and the moved mask, 1 is ideal; `mask_control.leak_at_original_site`: share of
        the old place, outside the moved mask, in which f_pre(R(x~, moved)) still finds a lesion, 0 is ideal.
        NaN where there is nothing to compare.
    """

    def measured(rows: Rows) -> dict[str, float]:
        without, shown, place = judged_without[rows] > 0, judged_moved[rows] > 0, moved_masks[rows] > 0
        found, old = np.count_nonzero(judged[rows] > 0), (masks[rows] > 0) & ~place
        return {
            "mask_control.residual_without_mask": np.count_nonzero(without) / found
            if found
            else float("nan"),
            "mask_control.moved_mask_dice": _dice(shown, place),
            "mask_control.leak_at_original_site": float(mean_over(shown[None], old[None])[0]),
        }

    return by_volume(volumes, measured)


def _l1(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(np.abs(np.subtract(a, b, dtype=np.float64)).mean())


def _dice(found: NDArray[Any], expected: NDArray[Any]) -> float:
    """Dice; NaN instead of 1 where both are empty, for nothing was put in its place."""
    return dice(found, expected) if (found > 0).any() or (expected > 0).any() else float("nan")
