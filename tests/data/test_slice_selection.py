"""Which slices are learnt from, measured and processed."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pseudohealthy.data.slice_selection import Selection, edge_slices, processed_slices, training_slices


def of_areas(*areas: int) -> NDArray[np.bool_]:
    """Slices of 10 x 10 voxels, so many of which are True."""
    stack = np.zeros((len(areas), 10, 10), dtype=bool)
    for z, area in enumerate(areas):
        stack[z].flat[:area] = True
    return stack


@pytest.mark.parametrize(
    ("depth", "first", "last"), [(155, 47, 106), (153, 46, 105), (154, 47, 106), (60, 0, 59), (27, 0, 26)]
)
def test_middle_60(depth: int, first: int, last: int) -> None:
    selected = training_slices(np.ones((depth, 4, 4), dtype=bool), "middle60")
    np.testing.assert_array_equal(np.flatnonzero(selected), np.arange(first, last + 1))


def test_half_of_the_largest_area() -> None:
    brain = of_areas(0, 3, 5, 10, 4, 6)
    np.testing.assert_array_equal(np.flatnonzero(training_slices(brain, "half_area")), [2, 3, 5])
    assert not training_slices(np.zeros((4, 5, 5), dtype=bool), "half_area").any()
    np.testing.assert_array_equal(np.flatnonzero(edge_slices(brain, "half_area")), [1, 4])
    brain[1].flat[1:] = False  # a tenth of the largest is too small
    np.testing.assert_array_equal(np.flatnonzero(edge_slices(brain, "half_area")), [4])
    assert not edge_slices(brain, "middle60").any()


def test_slices_of_more_than_a_tenth_of_the_largest_area_are_processed() -> None:
    np.testing.assert_array_equal(
        processed_slices(of_areas(0, 5, 6, 50, 4)), [False, False, True, True, False]
    )
    assert not processed_slices(of_areas(0, 0)).any()


@pytest.mark.parametrize(
    ("known", "selected", "edge"), [(True, [1, 2, 4], [1]), (False, [2, 4], [])], ids=["known", "unknown"]
)
def test_a_slice_with_lesion_is_no_edge_slice_and_one_beside_the_field_is_left_out(
    known: bool, selected: list[int], edge: list[int]
) -> None:
    brain = of_areas(0, 30, 60, 80, 100, 40)
    lesion = of_areas(0, 0, 3, 3, 0, 3)
    in_field = np.array([False, False, True, False, False, True])
    found = Selection.of(brain, lesion, in_field, "half_area", known=known)
    assert np.flatnonzero(found.selected).tolist() == selected
    assert np.flatnonzero(found.edge).tolist() == edge


def test_of_the_middle_60_slices_without_brain_are_left_out() -> None:
    brain, nothing = of_areas(0, 1, 100), of_areas(0, 0, 0)
    found = Selection.of(brain, nothing, np.zeros(3, dtype=bool), "middle60", known=True)
    assert found.selected.tolist() == [False, True, True]
    assert not found.edge.any()
