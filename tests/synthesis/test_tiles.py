"""Tiles cover, agree, and show no seam."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from pseudohealthy.synthesis.tiles import OVERLAP, Slices, by_tiles, starts

FIELD = (64, 48)
SIZES = [(64, 48), (64, 49), (65, 48), (80, 64), (96, 128), (127, 97), (208, 176), (64, 300)]


def image(size: tuple[int, int], slices: int = 2) -> Slices:
    return np.random.default_rng(0).random((slices, *size), dtype=np.float32)


@pytest.mark.parametrize("size", SIZES)
def test_nothing_done_to_tiles_is_nothing_done_to_the_whole(size: tuple[int, int]) -> None:
    x = image(size)
    before = x.copy()
    out = by_tiles(lambda tiles: tiles, x, FIELD)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, x, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("size", SIZES)
def test_what_is_done_to_each_pixel_is_done_to_the_whole(size: tuple[int, int]) -> None:
    x = image(size)
    np.testing.assert_allclose(by_tiles(np.square, x, FIELD), np.square(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_every_tile_has_the_fields_size_and_all_slices(size: tuple[int, int]) -> None:
    shapes = set()

    def note(tiles: Slices) -> Slices:
        shapes.add(tiles.shape)
        assert tiles.flags.c_contiguous
        return tiles

    by_tiles(note, image(size, 3), FIELD)
    assert shapes == {(3, *FIELD)}


@pytest.mark.parametrize("size", [FIELD, (100, 90)])
def test_a_view_that_is_not_contiguous_is_taken_too(size: tuple[int, int]) -> None:
    x = image((size[1], size[0])).transpose(0, 2, 1)
    np.testing.assert_allclose(by_tiles(lambda tiles: tiles, x, FIELD), x, rtol=0, atol=1e-6)


@pytest.mark.parametrize("tile", [32, 48, 64, 160, 208])
def test_tiles_cover_the_length_evenly_with_enough_overlap(tile: int) -> None:
    overlap = min(OVERLAP, tile // 2)
    for length in range(tile, 5 * tile):
        begins = starts(length, tile)
        steps = [after - before for before, after in pairwise(begins)]
        assert (begins[0], begins[-1]) == (0, length - tile)
        assert all(0 < step <= tile - overlap for step in steps)
        assert not steps or max(steps) - min(steps) <= 1
        fewer = len(begins) - 1
        assert fewer == 0 or tile + (fewer - 1) * (tile - overlap) < length  # not one tile too many


@pytest.mark.parametrize("size", [(128, 48), (64, 100), (150, 130)])
def test_tiles_that_disagree_leave_no_seam(size: tuple[int, int]) -> None:
    """Each tile is all 0 or all 1, in turn: the worst that networks can do."""
    count = 0

    def disagree(tiles: Slices) -> Slices:
        nonlocal count
        count += 1
        return np.full_like(tiles, count % 2)

    out = by_tiles(disagree, image(size), FIELD)
    assert np.ptp(out) > 0.9
    for axis in (1, 2):
        assert np.abs(np.diff(out, axis=axis)).max(initial=0) <= 2 / OVERLAP


def test_what_depends_on_the_place_in_the_tile_leaves_no_seam() -> None:
    """As instance norm and zero padding make a network do."""
    rows, columns = np.linspace(0, 1, FIELD[0]), np.linspace(0, 1, FIELD[1])
    place = np.add.outer(rows, columns).astype(np.float32)
    out = by_tiles(lambda tiles: np.broadcast_to(place, tiles.shape), image((150, 130)), FIELD)
    within = 1 / FIELD[1]
    for axis in (1, 2):
        assert np.abs(np.diff(out, axis=axis)).max() <= within + 2 / OVERLAP


@pytest.mark.parametrize("shape", [(32, 32), (48, 32)])
def test_the_smallest_tiles_work_too(shape: tuple[int, int]) -> None:
    x = image((77, 61))
    np.testing.assert_allclose(by_tiles(lambda tiles: tiles, x, shape), x, rtol=0, atol=1e-6)
