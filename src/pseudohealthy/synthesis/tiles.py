"""Slices larger than those of training: overlapping tiles, faded into each other so that no seam shows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

OVERLAP = 32  # pixels, at least; of a tile smaller than two of them, half

Slices = NDArray[np.float32]  # (N, H, W)


def by_tiles(apply: Callable[[Slices], Slices], x: Slices, shape: tuple[int, int]) -> Slices:
    """`apply` done to slices `(N, H, W)`, at least as large as `shape`, in tiles of `shape`.

    Each pixel is the mean of the tiles that hold it, weighted by the distances from their borders along rows
    and columns: as their product, so that along an edge of the image, too, one tile fades into the next.
    """
    height, width = x.shape[1:]
    if (height, width) == shape:
        return apply(np.ascontiguousarray(x))
    total = np.zeros_like(x)
    weight = np.zeros((height, width), dtype=np.float32)
    fade = np.multiply.outer(_ramp(shape[0]), _ramp(shape[1]))
    for top in starts(height, shape[0]):
        for left in starts(width, shape[1]):
            tile = np.s_[top : top + shape[0], left : left + shape[1]]
            total[:, *tile] += fade * apply(np.ascontiguousarray(x[:, *tile]))
            weight[tile] += fade
    return total / weight


def starts(length: int, tile: int) -> list[int]:
    """Where tiles begin so that they cover `length`, evenly, overlapping by at least `OVERLAP` pixels."""
    step = tile - min(OVERLAP, tile // 2)
    count = 1 - (tile - length) // step
    return [int(start) for start in np.linspace(0, length - tile, count).round()]


def _ramp(length: int) -> NDArray[np.float32]:
    index = np.arange(length, dtype=np.float32)
    ramp: NDArray[np.float32] = np.minimum(np.minimum(index, index[::-1]) + 1, OVERLAP)
    return ramp
