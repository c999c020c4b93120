"""Slices without a lesion, alike or balanced."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pseudohealthy.sampling.lesion_free import LesionFreeSlices
from pseudohealthy.sampling.random_streams import RandomStreams

EDGES = {12, 15, 18}
ROWS = np.array([10, 11, 12, 13, 14, 15, 16, 17, 18])
SLICES = LesionFreeSlices(ROWS, np.isin(ROWS, list(EDGES)))


def drawn(slices: LesionFreeSlices, size: int, count: int, *, balanced: bool) -> NDArray[np.int64]:
    streams = RandomStreams(seed=1, batch_size=size)
    draw = slices.balanced if balanced else slices.all_alike
    return np.concatenate([draw(streams, step) for step in range(count // size)])


def test_alike_every_slice_comes_once() -> None:
    assert sorted(drawn(SLICES, 3, 9, balanced=False)) == ROWS.tolist()


@pytest.mark.parametrize("size", [1, 3, 6])
def test_balanced_every_third_is_an_edge_slice(size: int) -> None:
    rows = drawn(SLICES, size, 18, balanced=True)
    assert [row in EDGES for row in rows] == [False, False, True] * 6
    assert set(rows[2:9:3]) == EDGES  # every one before any comes again
    assert np.array_equal(rows, drawn(SLICES, 2, 18, balanced=True))


def test_balanced_without_edge_slices_all_are_healthy() -> None:
    healthy = LesionFreeSlices(ROWS, np.zeros(len(ROWS), dtype=np.bool_))
    assert sorted(drawn(healthy, 3, 9, balanced=True)) == ROWS.tolist()
