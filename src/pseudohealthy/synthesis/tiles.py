"""Slices larger than the networks' field: overlapping tiles, faded into each other so that no seam shows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

OVERLAP = 32  # pixels, at least; of a tile smaller than two of them, half

Stack = NDArray[np.float32]


def by_tiles(apply: Callable[[Stack], Stack], x: Stack, field: tuple[int, int]) -> Stack:
    """`apply` done to slices `(N, H, W)` of any size of at least `field`, in tiles of `field`.

    Each pixel is the mean of the tiles that hold it, weighted by the distances from their borders along rows
    and columns: as their product, so that along an edge of the image, too, one tile fades into the next.
    """
    height, width = x.shape[1:]
    if (height, width) == field:
        return apply(np.ascontiguousarray(x))
    total = np.zeros_like(x)
    weight = np.zeros((height, width), dtype=np.float32)
    fade = np.multiply.outer(_ramp(field[0]), _ramp(field[1]))
    for top in starts(height, field[0]):
        for left in starts(width, field[1]):
            tile = np.s_[top : top + field[0], left : left + field[1]]
            total[:, *tile] += fade * apply(np.ascontiguousarray(x[:, *tile]))
            weight[tile] += fade
    return total / weight


def starts(length: int, tile: int) -> list[int]:
    """Where tiles begin so that they cover `length`, evenly, overlapping by at least `OVERLAP` pixels."""
    step = tile - min(OVERLAP, tile // 2)
    count = 1 - (tile - length) // step
    return [int(start) for start in np.linspace(0, length - tile, count).round()]


def _ramp(length: int) -> Stack:
    index = np.arange(length, dtype=np.float32)
    ramp: Stack = np.minimum(np.minimum(index, index[::-1]) + 1, OVERLAP)
    return ramp
