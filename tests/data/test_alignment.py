"""Voxels in space, against nibabel's own reorientation."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from pseudohealthy.data.alignment import TOLERANCE, expect_in_order_of, grid_difference, in_order_of
from pseudohealthy.data.volume import Volume
from pseudohealthy.errors import InputError

OBLIQUE = np.array([[-0.9, -0.1, 0.2, 12], [0.1, 0.8, -0.5, -30], [-0.05, 0.3, 4.9, 7], [0, 0, 0, 1]])
TWISTED = np.diag([1.0, 1, 1, 1])  # by 45 degrees, where the nearest anatomical axis is a matter of rounding
TWISTED[:2, :2] = np.array([[1, -1], [1, 1]]) / np.sqrt(2)


def volume(affine: NDArray[np.float64] = OBLIQUE, shape: tuple[int, int, int] = (6, 7, 5)) -> Volume:
    data = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    return Volume(data, affine, None, shape, Path("scan.nii"))


def stored(one: Volume, axes: Any, flips: Any) -> Volume:
    """The same voxels with the axes in another order, by nibabel."""
    turn = np.array([*zip(axes, flips, strict=True)], dtype=float)
    image = nibabel.Nifti1Image(one.data, one.affine).as_reoriented(turn)
    data = np.asarray(image.dataobj)
    return Volume(data, image.affine, None, data.shape, Path("mask.nii"))


@pytest.mark.parametrize("affine", [OBLIQUE, TWISTED, np.diag([-1.0, -1, 1, 1])])
@pytest.mark.parametrize("shape", [(6, 7, 5), (5, 5, 5), (6, 7, 1)])
def test_every_order_of_axes_is_the_same_grid(affine: Any, shape: tuple[int, int, int]) -> None:
    one = volume(affine, shape)
    for axes, flips in product(permutations(range(3)), product((1, -1), repeat=3)):
        other = stored(one, axes, flips)
        np.testing.assert_array_equal(expect_in_order_of(one, other), one.data)
        np.testing.assert_array_equal(in_order_of(one, other.data > 0, other.affine), one.data > 0)


def test_headers_that_differ_by_rounding_are_one_grid() -> None:
    one = volume(shape=(200, 200, 40))
    rounded = stored(
        replace(one, affine=OBLIQUE.astype(np.float32).astype(np.float64)), (0, 1, 2), (-1, -1, -1)
    )
    np.testing.assert_array_equal(expect_in_order_of(one, rounded), one.data)
    for voxels, same in ((0.9 * TOLERANCE, True), (1.1 * TOLERANCE, False)):
        moved = OBLIQUE.copy()
        moved[:3, 3] += voxels * moved[:3, 0]
        assert (in_order_of(one, one.data, moved) is not None) == same


def test_a_slice_has_no_thickness_to_differ_in() -> None:
    one = volume(np.diag([-1.0, -1, 1, 1]), (6, 7, 1))
    for thickness in (5, -1):
        np.testing.assert_array_equal(
            expect_in_order_of(one, replace(one, affine=np.diag([-1.0, -1, thickness, 1]))), one.data
        )


def moved(**parts: Any) -> NDArray[np.float64]:
    """LPS of 1 x 1 x 3 mm, changed."""
    affine = np.diag([-1.0, -1, 3, 1])
    affine[:3, 3] = parts.get("offset", (0, 0, 0))
    affine[:3, :3] *= parts.get("sizes", (1, 1, 1))
    angle = np.radians(parts.get("degrees", 0))
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine[:3, :3] = turn @ affine[:3, :3]
    return affine


@pytest.mark.parametrize(
    ("shape", "affine", "says"),
    [
        ((6, 7, 4), moved(), "6 x 7 x 4 voxels, not 6 x 7 x 5"),
        ((6, 7, 5), moved(sizes=(1, 1.25, 1)), "voxels of 1 x 1.25 x 3 mm, not 1 x 1 x 3"),
        ((6, 7, 5), moved(sizes=(1.0625, 1, 1)), "voxels of 1.0625 x 1 x 3 mm, not 1 x 1 x 3"),
        ((6, 7, 5), moved(offset=(47, -0.5, 0)), "47 mm to the right, -0.5 to the front and 0 up"),
        ((6, 7, 5), moved(degrees=7), "axes turned by 7 degrees"),
        (
            (6, 7, 4),
            moved(offset=(0, 0, 2)),
            "6 x 7 x 4 voxels, not 6 x 7 x 5; 0 mm to the right, 0 to the front and 2 up",
        ),
    ],
)
def test_the_line_shows_in_what_two_grids_differ(shape: Any, affine: Any, says: str) -> None:
    image, other = volume(moved()), volume(affine, shape)
    for each in (other, stored(other, (2, 0, 1), (1, -1, 1))):  # whatever order it is stored in
        assert grid_difference(each, image) == says
        with pytest.raises(InputError) as caught:
            expect_in_order_of(image, each)
        assert str(caught.value) == (
            f"{each.path}: not on the grid of scan.nii ({says}); expected the same voxels in space, so "
            "resample it to that (masks: nearest neighbour)"
        )


def test_whatever_makes_two_grids_differ_is_named() -> None:
    rng = np.random.default_rng(0)
    image, differing = volume(shape=(60, 70, 20)), 0
    for _ in range(300):
        affine = OBLIQUE + np.vstack([rng.normal(0, (2e-3, 2e-3, 2e-3, 0.1), (3, 4)), np.zeros(4)])
        if in_order_of(image, image.data, affine) is None:
            differing += 1
            assert grid_difference(replace(image, affine=affine), image)
    assert 50 < differing < 300
