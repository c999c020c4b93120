"""Inpainting masks of the shapes of lesions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pseudohealthy.sampling.inpainting_masks import inpainting_mask

SHAPE = np.zeros((20, 16), dtype=np.bool_)
SHAPE[2:6, 3] = SHAPE[5, 3:6] = True  # an L, which no turning over leaves as it is
BRAIN = np.zeros((20, 16), dtype=np.bool_)
BRAIN[4:16, 3:13] = True


def cut_out(mask: NDArray[np.bool_]) -> bytes:
    """The shape without its place."""
    rows, columns = np.nonzero(mask)
    return mask[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1].tobytes()


def test_an_inpainting_mask_is_the_lesions_shape_turned_over_somewhere_in_the_brain() -> None:
    rng = np.random.default_rng(0)
    masks = [inpainting_mask(SHAPE, BRAIN, rng) for _ in range(300)]
    assert all(not (each & ~BRAIN).any() for each in masks)
    turned = {cut_out(SHAPE[::rows, ::columns]) for rows in (1, -1) for columns in (1, -1)}
    assert len(turned) == 4
    assert {cut_out(each) for each in masks} == turned
    places = {tuple(np.argwhere(each).min(axis=0)) for each in masks}
    assert {0, 1, 2} < {row - 4 for row, _ in places}
    assert len(places) > 50  # of 9 x 8


def test_the_rng_decides() -> None:
    first, second = (inpainting_mask(SHAPE, BRAIN, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(first, second)


def test_a_lesion_that_fits_nowhere_is_cut_to_the_brain() -> None:
    small = np.zeros_like(BRAIN)
    small[8:10, 8:10] = True
    cut = inpainting_mask(np.ones_like(BRAIN), small, np.random.default_rng(0))
    assert cut.any()
    assert not (cut & ~small).any()


def test_without_a_brain_or_a_lesion_there_is_no_inpainting_mask() -> None:
    nothing = np.zeros_like(BRAIN)
    assert not inpainting_mask(SHAPE, nothing, np.random.default_rng(0)).any()
    assert not inpainting_mask(nothing, BRAIN, np.random.default_rng(0)).any()
