"""Masks of a user's own, on the image's grid or not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cohorts import LPS, brain, lesion, write
from pseudohealthy.data.volume import read_volume, volume_from_array
from pseudohealthy.errors import InputError
from pseudohealthy.synthesis.masks import on_grid


def test_a_mask_on_the_images_grid_is_taken_as_it_is(tmp_path: Path) -> None:
    image = read_volume(write(tmp_path / "scan.nii", brain()))
    path = write(tmp_path / "mask.nii.gz", lesion(3))
    given = on_grid(path, image, "lesion")
    np.testing.assert_array_equal(given.voxels, lesion() > 0)
    assert (given.name, given.warnings) == ("mask.nii.gz", ())
    opened = on_grid(read_volume(path), image, "lesion")
    np.testing.assert_array_equal(opened.voxels, given.voxels)


def test_a_mask_on_another_grid_is_resampled_and_that_is_said(tmp_path: Path) -> None:
    image = read_volume(write(tmp_path / "scan.nii", brain()))
    coarse = np.zeros((24, 32, 10), dtype=np.uint8)
    coarse[7:10, 8:12, 4:6] = 1
    affine = LPS @ np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = (-0.5, -0.5, 0.5)  # each coarse voxel covers two by two by two of the image's
    given = on_grid(write(tmp_path / "mask.nii", coarse, affine), image, "lesion")
    np.testing.assert_array_equal(given.voxels, lesion() > 0)
    assert given.warnings == ("the lesion mask mask.nii was on another grid: its nearest voxels were taken",)


def test_a_mask_that_marks_nothing_of_the_image_is_refused(tmp_path: Path) -> None:
    image = read_volume(write(tmp_path / "scan.nii", brain()))
    black = write(tmp_path / "black.nii", 0 * lesion())
    away = LPS + np.outer([1, 0, 0, 0], [0, 0, 0, 500])
    beside = write(tmp_path / "beside.nii", lesion(), away)
    for path in (black, beside):
        with pytest.raises(
            InputError, match=rf"{path.name}: marks no voxel of .*scan\.nii; expected the brain"
        ):
            on_grid(path, image, "brain")


def test_an_array_takes_a_mask_made_of_an_array(tmp_path: Path) -> None:
    image = volume_from_array(brain().T, (1.0, 1.0, 1.0))
    mask = volume_from_array(lesion().T, (1.0, 1.0, 1.0))
    given = on_grid(mask, image, "lesion")
    np.testing.assert_array_equal(given.voxels, lesion() > 0)
    assert given.name == "an array"
    with pytest.raises(InputError, match="a file's mask for an array"):
        on_grid(write(tmp_path / "mask.nii", lesion()), image, "lesion")
    with pytest.raises(InputError, match=r"^an array: marks no voxel of the image"):
        on_grid(replace(mask, data=0 * mask.data), image, "lesion")
