"""Through-plane inconsistency, or flicker: what slice-wise synthesis adds from slice to slice; section 6."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from pseudohealthy.evaluation.by_volume import Rows, by_volume


def through_plane_inconsistency(
    outputs: NDArray[Any], images: NDArray[Any], brains: NDArray[Any], volumes: ArrayLike, z: ArrayLike
) -> pd.DataFrame:
    """Mean size of the second difference along z, |x(z) - 2 x(z+1) + x(z+2)|, of outputs over inputs.

    A steady change from slice to slice does not count. Only where z, z+1 and z+2 are all given, and only
    voxels that are brain in all three.

    Args:
        outputs: x~, (N, H, W) in [0, 1].
        images: x, as `outputs`.
        brains: (N, H, W), > 0.
        volumes: labels, (N,).
        z: index of each slice in its volume, (N,); slices in any order.

    Returns:
        `through_plane_inconsistency` by volume: 1 for a copy; NaN without three neighbours or where the input
        does not change.
    """
    heights = np.asarray(z)

    def measure(rows: Rows) -> dict[str, float]:
        triples = _triples(rows, heights[rows])
        given = sum(_change(images, brains, triple) for triple in triples)
        found = sum(_change(outputs, brains, triple) for triple in triples)
        return {"through_plane_inconsistency": found / given if given else float("nan")}

    return by_volume(volumes, measure)


def brightness_inconsistency(outputs: NDArray[Any], images: NDArray[Any], brains: NDArray[Any]) -> float:
    """The same for one volume, its slices in order, of the mean over the brain of each three.

    Voxel by voxel, a smoother image has less of it, which can hide that whole slices are brighter and darker
    by turns; in their means noise does not count.
    """
    triples = [[k, k + 1, k + 2] for k in range(len(images) - 2)]
    given, found = (sum(_shift(stack, brains, triple) for triple in triples) for stack in (images, outputs))
    return found / given if given else float("nan")


def _triples(rows: Rows, z: NDArray[Any]) -> list[list[int]]:
    """Places in the stack of each three neighbouring slices."""
    place = dict(zip(z.tolist(), rows.tolist(), strict=True))
    return [[place[k], place[k + 1], place[k + 2]] for k in sorted(place) if {k + 1, k + 2} <= place.keys()]


def _change(stack: NDArray[Any], brains: NDArray[Any], triple: list[int]) -> float:
    """Sum of the second difference's size over the brain common to three slices."""
    return float(np.abs(_second_difference(stack, brains, triple)).sum())


def _shift(stack: NDArray[Any], brains: NDArray[Any], triple: list[int]) -> float:
    """Size of the second difference's sum over the brain common to three slices."""
    return abs(float(_second_difference(stack, brains, triple).sum()))


def _second_difference(stack: NDArray[Any], brains: NDArray[Any], triple: list[int]) -> NDArray[np.float64]:
    below, middle, above = (np.asarray(stack[row], dtype=np.float64) for row in triple)
    common = (brains[triple] > 0).all(axis=0)
    return np.asarray((below - 2 * middle + above)[common])
