"""Slices are put in order, and what is no whole stack of them is refused with what is wrong."""

from __future__ import annotations

from collections.abc import Callable

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import Dataset

from fixtures.brains import diseased
from fixtures.scans import PLANES, enhanced, flair, images, stack
from pseudohealthy.dicom.slices import (
    VoxelOrder,
    affine_of,
    at_one_place,
    expect_a_stack,
    in_order,
    slices_of,
)
from pseudohealthy.errors import InputError

ANGLES = (12.0, -7.0, 20.0)


def whole(headers: list[Dataset]) -> None:
    expect_a_stack([group[0] for group in at_one_place(in_order(slices_of(headers)))])


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("kind", ["classic", "enhanced"])
def test_slices_are_put_in_order_along_their_normal(plane: str, kind: str) -> None:
    of = stack(plane, mm=(1, 1.5, 3), angles=ANGLES)
    headers = images(of, 1)[::-1] if kind == "classic" else [enhanced(of, 1)]
    ordered = in_order(slices_of(headers))
    expect_a_stack(ordered)
    assert (np.diff([each.height for each in ordered]) > 0).all()
    assert ordered[0].shape == of.pixels.shape[1:]
    np.testing.assert_allclose(ordered[0].spacing, of.spacing, atol=1e-6)
    places = [each.position for each in ordered]
    expected = (
        of.positions
        if of.positions[0] @ ordered[0].normal < of.positions[-1] @ ordered[0].normal
        else of.positions[::-1]
    )
    np.testing.assert_allclose(places, expected, atol=1e-6)


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("codes", ["LPS", "RAS", "PIR", "SAL"])
def test_voxels_of_any_order_are_found_in_the_slices(plane: str, codes: str) -> None:
    of = stack(plane, mm=(1, 1.5, 3), angles=ANGLES)
    ordered = in_order(slices_of(images(of, 1)))
    affine = affine_of(ordered)
    pixels = np.stack([of.pixels[int(each.header.InstanceNumber) - 1] for each in ordered])
    stored = nib.Nifti1Image(pixels.transpose(2, 1, 0), affine)  # column, row, slice
    other = nib.orientations.axcodes2ornt(tuple(codes))
    turned = stored.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(affine), other))
    order = VoxelOrder.between(ordered, turned.affine, turned.shape)
    assert order is not None
    np.testing.assert_array_equal(order.slices(np.asarray(turned.dataobj)), pixels)


def test_an_image_that_lies_elsewhere_has_no_order() -> None:
    ordered = in_order(slices_of(images(stack(), 1)))
    affine, shape = affine_of(ordered), diseased().shape
    assert VoxelOrder.between(ordered, affine, shape) is not None
    moved, mirrored, turned = affine.copy(), affine @ np.diag([-1, 1, 1, 1]), affine.copy()
    moved[0, 3] += 0.1
    turned[:3, 1] += (0.01, 0, 0)
    for other in (moved, mirrored, turned):
        assert VoxelOrder.between(ordered, other, shape) is None
    assert VoxelOrder.between(ordered, affine, (48, 64, 19)) is None


def missing(headers: list[Dataset]) -> None:
    del headers[7]


def askew(headers: list[Dataset]) -> None:
    for index, header in enumerate(headers):
        header.ImagePositionPatient = [3 + 0.1 * index, -17, 40 + index]


def shifted(headers: list[Dataset]) -> None:
    headers[9].ImagePositionPatient = [4, -17.5, headers[9].ImagePositionPatient[2]]


def turned(headers: list[Dataset]) -> None:
    headers[3].ImageOrientationPatient = [1, 0, 0, 0, 0.995, 0.0998749]


def smaller(headers: list[Dataset]) -> None:
    headers[3].Rows = 60


def coarser(headers: list[Dataset]) -> None:
    headers[3].PixelSpacing = [1, 1.1]


def nowhere(headers: list[Dataset]) -> None:
    del headers[3].ImagePositionPatient


def no_direction(headers: list[Dataset]) -> None:
    headers[3].ImageOrientationPatient = [0, 0, 0, 0, 0, 0]


def alone(headers: list[Dataset]) -> None:
    del headers[1:]


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (missing, r"missing or not evenly spaced: 1 of 18 distances differ, such as 2\.00 mm where 1\.00 mm"),
        (askew, r"stacked askew \(a tilted gantry\?\)"),
        (shifted, "shifted against each other"),
        (turned, "lie in different directions"),
        (smaller, "of different sizes"),
        (coarser, "of different sizes"),
        (nowhere, "an image without ImagePositionPatient"),
        (no_direction, "ImageOrientationPatient is no pair of directions"),
        (alone, "has 1 slice; expected a volume of 3 or more"),
    ],
)
def test_what_is_no_stack_is_refused(spoil: Callable[[list[Dataset]], None], line: str) -> None:
    headers: list[Dataset] = list(flair())
    whole(headers)
    spoil(headers)
    with pytest.raises(InputError, match=line):
        whole(headers)


def test_slices_at_one_place_are_grouped() -> None:
    headers = [*flair(), *flair()[3:5]]
    groups = at_one_place(in_order(slices_of(headers)))
    assert [len(group) for group in groups] == [1, 1, 1, 2, 2, *[1] * 15]
