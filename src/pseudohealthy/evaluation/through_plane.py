"""Through-plane inconsistency, or flicker: what slice-wise synthesis adds from slice to slice; section 6."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:  # one volume needs no table
    import pandas as pd

Triples = list[list[int]]  # places in the stack of each three neighbouring slices


class Inconsistency(NamedTuple):
    """Of outputs over that of inputs: 1 for a copy; NaN without three neighbours, or if no input changes.

    Attributes:
        voxels: mean size of the second difference along z, see `through_plane_inconsistency`.
        brightness: the same of the mean over the brain of each three. Voxel by voxel, a smoother image has
            less of it, which can hide that whole slices are brighter and darker by turns; in their means
            noise does not count.
    """

    voxels: float
    brightness: float

    @classmethod
    def of_volume(cls, outputs: NDArray[Any], images: NDArray[Any], brains: NDArray[Any]) -> Inconsistency:
        """Of one volume, its slices in order; arguments as of `through_plane_inconsistency`."""
        return _of_triples(outputs, images, brains, [[k, k + 1, k + 2] for k in range(len(images) - 2)])


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
    from pseudohealthy.evaluation.by_volume import by_volume  # noqa: PLC0415  (brings pandas)

    heights = np.asarray(z)

    def measure(rows: NDArray[np.intp]) -> dict[str, float]:
        triples = _triples(rows, heights[rows])
        return {"through_plane_inconsistency": _of_triples(outputs, images, brains, triples).voxels}

    return by_volume(volumes, measure)


def _triples(rows: NDArray[np.intp], z: NDArray[Any]) -> Triples:
    place = dict(zip(z.tolist(), rows.tolist(), strict=True))
    return [[place[k], place[k + 1], place[k + 2]] for k in sorted(place) if {k + 1, k + 2} <= place.keys()]


def _of_triples(
    outputs: NDArray[Any], images: NDArray[Any], brains: NDArray[Any], triples: Triples
) -> Inconsistency:
    given, found = (_sums(stack, brains, triples) for stack in (images, outputs))
    return Inconsistency(*(f / g if g else float("nan") for g, f in zip(given, found, strict=True)))


def _sums(stack: NDArray[Any], brains: NDArray[Any], triples: Triples) -> tuple[float, float]:
    """Over all triples, of the second difference in their common brain: its size, and that of its sum."""
    sizes, shifts = [], []
    slices: dict[int, NDArray[np.float64]] = {}
    for triple in triples:
        slices = {
            row: slices[row] if row in slices else np.asarray(stack[row], dtype=np.float64) for row in triple
        }
        below, middle, above = slices.values()
        difference = (below - 2 * middle + above)[(brains[triple] > 0).all(axis=0)]
        sizes.append(float(np.abs(difference).sum()))
        shifts.append(abs(float(difference.sum())))
    return sum(sizes), sum(shifts)
