"""Masks of a user's own, on the image's grid or not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fixtures.brains import LPS, brain, lesion, write
from pseudohealthy.data.volume import read_volume, volume_from_array
from pseudohealthy.errors import InputError
from pseudohealthy.synthesis.user_mask import on_grid


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
    begin = r"mask\.nii: marks no voxel of .*scan\.nii"
    for data, words in (
        (0 * lesion(), ""),
        (0.3 * lesion() + 0.1, r" \(.*cut at 0\.5, which leaves nothing.*\)"),
    ):
        path = write(tmp_path / "mask.nii", data)
        with pytest.raises(InputError, match=rf"{begin}{words}; expected the brain's mask, above 0$"):
            on_grid(path, image, "brain")
    beside = write(tmp_path / "mask.nii", lesion(), LPS + np.outer([1, 0, 0, 0], [0, 0, 0, 500]))
    for what in ("brain", "lesion"):
        where = r"it lies around \(484, -20, 10\) mm, and the image around \(-24, -32, 10\) mm"
        with pytest.raises(
            InputError, match=rf"{begin}: {where}; expected the {what}'s mask in the same place"
        ):
            on_grid(beside, image, what)


def test_an_empty_lesion_mask_says_that_there_is_no_lesion(tmp_path: Path) -> None:
    image = read_volume(write(tmp_path / "scan.nii", brain()))
    coarse = LPS @ np.diag([2.0, 2.0, 2.0, 1.0])
    for data, affine in ((0 * lesion(), LPS), (0 * lesion()[:9], coarse), (0.3 * lesion() + 0.1, LPS)):
        given = on_grid(write(tmp_path / "mask.nii", data, affine), image, "lesion")
        assert given.voxels.shape == image.data.shape
        assert not given.voxels.any()
        assert given.warnings[-1] == "the lesion mask mask.nii is empty: no lesion is replaced"


def test_probabilities_are_cut_and_that_is_said(tmp_path: Path) -> None:
    image = read_volume(write(tmp_path / "scan.nii", brain()))
    unsure = np.where(lesion() > 0, 0.7, 0.2) * (brain() > 0)
    given = on_grid(write(tmp_path / "probseg.nii", unsure), image, "brain")
    np.testing.assert_array_equal(given.voxels, lesion() > 0)
    assert given.warnings == ("the brain mask probseg.nii holds values between 0 and 1: cut at 0.5",)


def test_an_array_takes_a_mask_made_of_an_array(tmp_path: Path) -> None:
    image = volume_from_array(brain().T, (1.0, 1.0, 1.0))
    mask = volume_from_array(lesion().T, (1.0, 1.0, 1.0))
    given = on_grid(mask, image, "lesion")
    np.testing.assert_array_equal(given.voxels, lesion() > 0)
    assert given.name == "an array"
    with pytest.raises(InputError, match="a NIfTI mask for an array"):
        on_grid(write(tmp_path / "mask.nii", lesion()), image, "lesion")
    with pytest.raises(InputError, match=r"^an array: marks no voxel of the image"):
        on_grid(replace(mask, data=0 * mask.data), image, "brain")
    with pytest.raises(InputError, match=r"^an array: holds 2 values from -1 to 0\.5, some of them negative"):
        on_grid(replace(mask, data=np.where(mask.data > 0, -1, 0.5).astype(np.float32)), image, "lesion")
