"""What callers give: the same image in many forms, masks on its grid or not, and what is neither."""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch

import pseudohealthy
from fixtures.brains import LPS, brain, flair, lesion, patient, write
from fixtures.models import saved
from pseudohealthy.data.volume import read_volume, volume_from_array
from pseudohealthy.errors import InputError
from pseudohealthy.synthesis.inputs import EXPECTED, image_volume, on_grid
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.result import Synthesis
from pseudohealthy.synthesis.synthesize import synthesize

MM = (1.0, 1.0, 1.0)
PARTS = ("healthy", "probability", "mask", "difference")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.load(saved(tmp_path_factory.mktemp("weights")), "cpu")


def same(one: Synthesis, other: Synthesis) -> bool:
    return all(np.array_equal(getattr(one, part), getattr(other, part)) for part in PARTS)


@dataclass(frozen=True)
class Named:
    """A path as other libraries have them."""

    name: str

    def __fspath__(self) -> str:
        return self.name


def test_a_path_is_taken_in_each_of_its_forms(tmp_path: Path, model: Model) -> None:
    path = flair(tmp_path / "scan.nii.gz")
    expected = synthesize(path, model)
    for each in (str(path), Named(str(path)), os.fspath(path)):
        result = synthesize(each, model)
        assert same(result, expected)
        assert result.report["input"] == "scan.nii.gz"


def test_an_image_that_nibabel_has_opened_works_as_its_path_does(tmp_path: Path, model: Model) -> None:
    path = flair(tmp_path / "scan.nii.gz", "PIR")
    of_path, of_image = synthesize(path, model), synthesize(nib.load(path), model)
    assert same(of_path, of_image)
    assert of_image.report["input"] == "scan.nii.gz"
    for kind, file in of_image.save(tmp_path / "one", "scan.nii.gz").items():
        if file.name.endswith(".nii.gz"):
            again = of_path.save(tmp_path / "other", "scan.nii.gz", overwrite=True)[kind]
            assert file.read_bytes() == again.read_bytes()


def test_an_image_of_nibabel_in_memory_takes_masks_of_files(tmp_path: Path, model: Model) -> None:
    """Its place in space is known, unlike an array's."""
    image = nib.Nifti1Image(patient(), LPS)
    path = write(tmp_path / "mask.nii.gz", lesion())
    result = synthesize(image, model, blend=True, lesion_mask=path)
    expected = synthesize(flair(tmp_path / "scan.nii"), model, blend=True, lesion_mask=path)
    np.testing.assert_array_equal(result.blended, expected.blended)
    assert (result.report["input"], result.inputs) == ("array", {"lesion_mask": "mask.nii.gz"})


def test_the_page_of_an_image_changed_since_it_was_opened_shows_it_as_given(
    tmp_path: Path, model: Model
) -> None:
    path = flair(tmp_path / "scan.nii")
    opened = nib.load(path)
    image = type(opened)(
        2 * np.asarray(opened.dataobj), opened.affine, opened.header, file_map=opened.file_map
    )
    page = synthesize(image, model).save(tmp_path / "out", "scan.nii")["page"].read_text(encoding="utf-8")
    other = synthesize(nib.Nifti1Image(2 * patient(), LPS), model).save(tmp_path / "other", "scan.nii")
    text = other["page"].read_text(encoding="utf-8")
    assert embedded(page) == embedded(text)


def embedded(page: str) -> str:
    """The first volume in a page, which is the input."""
    return page[page.index("H4sI") :][:5000]


@pytest.mark.parametrize("make", [np.asarray, torch.tensor, np.ndarray.tolist, np.ma.masked_invalid])
@pytest.mark.parametrize("dtype", ["int16", "uint8", "float64"])
def test_numbers_are_taken_in_each_of_their_forms(model: Model, make: Any, dtype: str) -> None:
    numbers = np.clip(np.rint(patient().T), 0, 255)
    expected = synthesize(numbers.astype(np.float32), model, spacing=MM)
    result = synthesize(make(numbers.astype(dtype)), model, spacing=list(MM))
    assert same(result, expected)
    assert result.healthy.shape == numbers.shape


def test_tensors_of_training_and_of_half_precision_are_taken() -> None:
    numbers = torch.arange(12.0).reshape(3, 4)
    for tensor in (numbers.bfloat16(), numbers.half(), numbers.clone().requires_grad_(True)):
        volume, shape = image_volume(tensor, np.ones(2))
        np.testing.assert_array_equal(volume.data[..., 0], numbers.numpy().T)
        assert shape == (3, 4)


@pytest.mark.parametrize(
    ("image", "spacing", "words"),
    [
        (None, None, f"None of type NoneType as an image; {EXPECTED}"),
        ({"image": 1}, MM, "of type dict as an image"),
        (b"scan.nii", None, "of type bytes as an image"),
        (7, MM, "of type int as an image"),
        ([[1, 2], [3]], MM, "list as an image is no array"),
        ([["a", "b"]], MM, "expected real numbers of shape"),
        (np.ones((4, 4), complex), MM, "expected real numbers of shape"),
        (np.array([[None, 1]]), MM, "expected real numbers of shape"),
        (np.ma.masked_less(patient().T, 0), MM, "values of the array are masked; fill them first"),
        (torch.ones(2, 2).to_sparse(), MM, "as an image is no array"),
        (patient().T, None, "an array needs its spacing in mm, one number for each axis"),
        (patient().T, 1.0, "spacing is 1.0; expected voxel sizes in mm, one for each axis"),
        (patient().T, ("a", "b", "c"), "expected voxel sizes in mm, one for each axis"),
        (patient().T, (1.0, 1.0), "expected 3 voxel sizes in mm"),
        (patient().T, (1.0, 1.0, -1.0), "expected 3 voxel sizes in mm"),
        (patient().T, (1.0, 1.0, 1000.0), "expected 3 voxel sizes in mm"),
        ("none.nii", None, "none.nii does not exist"),
        ("", None, "is a folder"),
        (nib.MGHImage(patient(), LPS), None, "an image of type MGHImage; expected NIfTI"),
        (nib.Nifti1Image(np.zeros((4, 5, 6)), LPS), None, "the image: every voxel is 0"),
        (nib.Nifti1Image(patient(), LPS), MM, "but the image has its own"),
    ],
)
def test_what_is_no_image_is_told(image: Any, spacing: Any, words: str) -> None:
    with pytest.raises(InputError) as caught:
        image_volume(image, spacing)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("of_numbers", [False, True])
@pytest.mark.parametrize("make", [np.asarray, torch.tensor, np.ndarray.tolist])
def test_masks_of_numbers_lie_as_the_image_does(
    tmp_path: Path, model: Model, of_numbers: bool, make: Any
) -> None:
    mask = lesion() > 0
    path = flair(tmp_path / "scan.nii")
    files: dict[str, Any] = {"brain_mask": write(tmp_path / "b.nii", (patient() > 0).astype(np.uint8))}
    files["lesion_mask"] = write(tmp_path / "l.nii", mask.astype(np.uint8))
    expected = synthesize(path, model, blend=True, **files).blended
    assert expected is not None
    if of_numbers:
        masks = {"brain_mask": make((patient() > 0).T), "lesion_mask": make(mask.T)}
        result = synthesize(patient().T, model, spacing=MM, blend=True, **masks).blended
        np.testing.assert_array_equal(result, expected.T)
    else:
        masks = {"brain_mask": make(patient() > 0), "lesion_mask": make(mask)}
        np.testing.assert_array_equal(synthesize(path, model, blend=True, **masks).blended, expected)


def test_an_image_of_nibabel_is_a_mask(tmp_path: Path, model: Model) -> None:
    path, mask = flair(tmp_path / "scan.nii"), write(tmp_path / "mask.nii", lesion())
    one = synthesize(path, model, blend=True, lesion_mask=mask)
    other = synthesize(path, model, blend=True, lesion_mask=nib.load(mask))
    np.testing.assert_array_equal(one.blended, other.blended)
    assert one.inputs == other.inputs


def test_masks_that_are_none_are_told(tmp_path: Path, model: Model) -> None:
    path, array = flair(tmp_path / "scan.nii"), lesion()
    for mask, words in (
        (array.T, r"a mask of shape \(20, 64, 48\) and type .*; expected real numbers of the image's shape"),
        (array.astype(complex), "expected real numbers of the image's shape"),
        (np.full(array.shape, np.nan), "the mask: 61440 of 61440 voxels are NaN"),
        (7, "7 of type int as a mask"),
        (nib.MGHImage(array.astype(np.uint8), LPS), "an image of type MGHImage; expected NIfTI"),
        (str(tmp_path / "none.nii"), "does not exist"),
    ):
        with pytest.raises(InputError, match=words):
            synthesize(path, model, blend=True, lesion_mask=mask)
    of_file = nib.Nifti1Image(array, LPS)
    with pytest.raises(InputError, match="an image: a NIfTI mask for an array"):
        synthesize(patient().T, model, spacing=MM, blend=True, lesion_mask=of_file)


@pytest.mark.parametrize(
    ("name", "pack"), [("scan.nii.gz", bytes), ("scan.nii", gzip.compress), ("scan.img", bytes)]
)
def test_a_file_whose_name_does_not_fit_has_its_page_too(
    tmp_path: Path, model: Model, name: str, pack: Any
) -> None:
    path = flair(tmp_path / "right.nii")
    (tmp_path / name).write_bytes(pack(path.read_bytes()))
    result = synthesize(tmp_path / name, model)
    assert same(result, synthesize(path, model))
    files = result.save(tmp_path / "out", name)
    assert embedded(files["page"].read_text(encoding="utf-8"))
    assert not list((tmp_path / "out").glob("*input*"))


def test_a_header_that_nibabel_mends_is_mended_in_silence(
    tmp_path: Path, model: Model, caplog: pytest.LogCaptureFixture
) -> None:
    whole = flair(tmp_path / "scan.nii").read_bytes()
    header = nib.Nifti1Header(whole[:348], check=False)
    header["vox_offset"], header["qform_code"] = 360, 77
    (tmp_path / "scan.nii").write_bytes(header.binaryblock + whole[348:352] + bytes(8) + whole[352:])
    nib.load(tmp_path / "scan.nii")
    assert caplog.records
    caplog.clear()
    result = synthesize(tmp_path / "scan.nii", model)
    result.save(tmp_path / "out", "scan.nii")
    assert not caplog.records
    np.testing.assert_array_equal(result.volume.data, patient())


def test_an_opened_volume_of_an_array_takes_a_mask_as_it_is_stored(model: Model) -> None:
    volume = volume_from_array(patient().T, MM)
    result = synthesize(volume, model, blend=True, lesion_mask=lesion())
    assert result.blended is not None
    assert result.blended.shape == volume.data.shape


def test_the_package_itself_takes_them(tmp_path: Path) -> None:
    path, weights = flair(tmp_path / "scan.nii"), saved(tmp_path / "weights")
    one, other = (pseudohealthy.synthesize(each, weights) for each in (path, nib.load(path)))
    assert same(one, other)
    np.testing.assert_array_equal(one.volume.affine, read_volume(path).affine)
    with pytest.raises(InputError, match="None of type NoneType as an image"):
        pseudohealthy.synthesize(None, weights)


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
