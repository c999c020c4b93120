"""Files in and out, against nibabel and headers patched by hand."""

from __future__ import annotations

import contextlib
import gzip
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Extension
from nibabel.openers import ImageOpener
from numpy.typing import NDArray

from pseudohealthy.config import Preprocessing
from pseudohealthy.data.grid import Grid
from pseudohealthy.data.volume import (
    DESCRIPTION,
    Volume,
    read_volume,
    volume_from_array,
    volume_from_image,
    write_volume,
)
from pseudohealthy.errors import InputError, PseudohealthyError

SHAPE = (6, 7, 5)
OBLIQUE = np.array([[-0.9, -0.1, 0.2, 12], [0.1, 0.8, -0.5, -30], [-0.05, 0.3, 4.9, 7], [0, 0, 0, 1]])
RIGID = np.array([[-0.8, 0, 0.6, 3], [0, 1, 0, -4], [0.6, 0, 0.8, 5], [0, 0, 0, 1]])


def noise(shape: tuple[int, ...] = SHAPE) -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(100, 40, shape).astype(np.float32)


def saved(path: Path, data: NDArray[Any], affine: NDArray[np.float64] = OBLIQUE, **fields: Any) -> Path:
    """A NIfTI-1 file, its raw header fields then set as given, even to nonsense."""
    content = nibabel.Nifti1Image(data, affine, dtype=data.dtype).to_bytes()
    header = nibabel.Nifti1Header(content[:348], check=False)
    for field, value in fields.items():
        header[field] = value
    content = header.binaryblock + content[348:]
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def two_forms(path: Path, sform: NDArray[np.float64], qform: NDArray[np.float64]) -> Path:
    image = nibabel.Nifti1Image(noise(), sform)
    image.set_sform(sform, code=4)
    image.set_qform(qform, code=1)
    nibabel.save(image, path)
    return path


def test_a_header_without_orientation_is_warned_of(tmp_path: Path) -> None:
    volume = read_volume(saved(tmp_path / "scan.nii", noise(), sform_code=0, qform_code=0))
    assert volume.warnings == (
        "its header tells no orientation (qform_code and sform_code are 0): its axes were taken to run to "
        "the patient's left, front, top; if they do not, the result is wrong: write the orientation into it",
    )
    for codes in ({"sform_code": 1, "qform_code": 0}, {"sform_code": 0, "qform_code": 1}):
        assert read_volume(saved(tmp_path / "scan.nii", noise(), RIGID, **codes)).warnings == ()


def test_forms_that_contradict_each_other_are_warned_of(tmp_path: Path) -> None:
    flipped = RIGID @ np.diag([-1.0, 1, 1, 1])
    volume = read_volume(two_forms(tmp_path / "scan.nii", RIGID, flipped))
    np.testing.assert_allclose(volume.affine, RIGID, atol=1e-6)
    apart = 2 * (SHAPE[0] - 1)
    assert volume.warnings == (
        f"sform (LAS, code 4) and qform (RAS, code 1) of its header place it up to {apart:.1f} mm apart: the "
        "sform was taken, as most programs take it",
    )
    moved = RIGID.copy()
    for mm, count in ((0.4, 0), (3.0, 1)):  # of a voxel of 1 mm
        moved[0, 3] = RIGID[0, 3] + mm
        assert len(read_volume(two_forms(tmp_path / "scan.nii", RIGID, moved)).warnings) == count


@pytest.mark.parametrize(
    ("shape", "found"),
    [
        ((1, 30, 20), "one sagittal slice (1 x 30 x 20 voxels, stored towards LPS)"),
        ((30, 1, 20), "one coronal slice (30 x 1 x 20 voxels, stored towards LPS)"),
        ((1, 1, 20), "a line of voxels (1 x 1 x 20 voxels, stored towards LPS)"),
        ((30, 1, 1), "one coronal slice (30 x 1 x 1 voxels, stored towards LPS)"),
    ],
)
def test_a_slice_that_is_not_axial_is_refused(tmp_path: Path, shape: tuple[int, ...], found: str) -> None:
    path = saved(tmp_path / "scan.nii", noise(shape), np.diag([-1.0, -1.0, 1.0, 1.0]))
    with pytest.raises(InputError) as result:
        read_volume(path)
    assert str(result.value) == f"{path}: holds {found}; expected a volume or an axial slice"


def test_how_an_axial_slice_is_stored_makes_no_difference(tmp_path: Path) -> None:
    """The slice's own direction comes first in the file; a volume may be stored in any order."""
    towards = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [5, 0, 0, 0], [0, 0, 0, 1]])
    assert read_volume(saved(tmp_path / "scan.nii", noise((1, 30, 20)), towards)).data.shape == (1, 30, 20)
    assert read_volume(saved(tmp_path / "scan.nii", noise((2, 30, 20)), RIGID)).data.shape == (2, 30, 20)
    with pytest.raises(InputError, match="one sagittal slice"):
        read_volume(saved(tmp_path / "scan.nii", noise((20, 1, 30)), towards))


def raw_header(path: Path) -> Any:
    with ImageOpener(path) as file:
        return nibabel.Nifti1Header.from_fileobj(file, check=False)


def complaint(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_volume(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


def test_a_volume_that_lies_kilometres_away_is_refused(tmp_path: Path) -> None:
    far = OBLIQUE.copy()
    far[1, 3] = -1e38
    assert "its first voxel lies at (" in complaint(saved(tmp_path / "scan.nii", noise(), far))


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_data_affine_and_shape_are_those_of_the_file(tmp_path: Path, name: str) -> None:
    volume = read_volume(saved(tmp_path / name, noise()))
    np.testing.assert_array_equal(volume.data, noise())
    np.testing.assert_allclose(volume.affine, OBLIQUE, atol=1e-5)
    np.testing.assert_allclose(volume.spacing, np.sqrt((OBLIQUE[:3, :3] ** 2).sum(axis=0)), rtol=1e-6)
    assert volume.shape == SHAPE
    assert volume.path == tmp_path / name
    np.testing.assert_array_equal(volume.brain, noise() > 0)


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize("endian", ["<", ">"])
def test_every_real_type_in_both_byte_orders(tmp_path: Path, dtype: str, endian: str) -> None:
    data = np.arange(np.prod(SHAPE)).reshape(SHAPE) % 120
    image = nibabel.Nifti1Image(data.astype(dtype), OBLIQUE, dtype=dtype)
    header = image.header.as_byteswapped(endian)
    (tmp_path / "scan.nii").write_bytes(nibabel.Nifti1Image(data.astype(dtype), OBLIQUE, header).to_bytes())
    volume = read_volume(tmp_path / "scan.nii")
    assert volume.data.dtype == np.dtype("=f4")
    np.testing.assert_array_equal(volume.data, data)
    write_volume(tmp_path / "out.nii", volume.data, volume)
    np.testing.assert_array_equal(read_volume(tmp_path / "out.nii").data, data)


def test_slope_and_intercept_are_applied_and_not_written_again(tmp_path: Path) -> None:
    data = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    volume = read_volume(saved(tmp_path / "scan.nii", data, scl_slope=0.5, scl_inter=-10))
    np.testing.assert_array_equal(volume.data, data * 0.5 - 10)
    write_volume(tmp_path / "out.nii", volume.data, volume)
    header = raw_header(tmp_path / "out.nii")
    assert (header["scl_slope"], header["scl_inter"], header.get_data_dtype()) == (1, 0, np.float32)
    np.testing.assert_array_equal(read_volume(tmp_path / "out.nii").data, data * 0.5 - 10)


@pytest.mark.parametrize("sform", [0, 1, 2, 4])
@pytest.mark.parametrize("qform", [0, 1, 3])
def test_place_comes_from_the_sform_then_the_qform(tmp_path: Path, sform: int, qform: int) -> None:
    image = nibabel.Nifti1Image(noise(), None)
    image.header.set_sform(OBLIQUE, sform)
    image.header.set_qform(RIGID, qform)
    image.header.set_zooms((1, 1, 1))
    nibabel.save(image, tmp_path / "scan.nii.gz")
    volume = read_volume(tmp_path / "scan.nii.gz")
    if sform:
        np.testing.assert_allclose(volume.affine, OBLIQUE, atol=1e-5)
    elif qform:
        np.testing.assert_allclose(volume.affine, RIGID, atol=1e-5)
    else:
        np.testing.assert_allclose(volume.affine[:3, :3], np.diag([-1, 1, 1]))
    write_volume(tmp_path / "out.nii.gz", volume.data, volume)
    before, after = raw_header(tmp_path / "scan.nii.gz"), raw_header(tmp_path / "out.nii.gz")
    for field in (
        "sform_code",
        "qform_code",
        "srow_x",
        "srow_y",
        "srow_z",
        "pixdim",
        "quatern_b",
        "qoffset_x",
    ):
        np.testing.assert_array_equal(before[field], after[field])


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("mask", [False, True])
def test_header_comes_back_on_request(tmp_path: Path, kind: Any, mask: bool) -> None:
    image = kind(noise(), OBLIQUE)
    header = image.header
    header.set_sform(OBLIQUE, 4)
    header.set_qform(RIGID, 1)
    header.set_xyzt_units("mm", "sec")
    header.set_dim_info(0, 1, 2)
    header["descrip"] = b"FLAIR TR=9000"
    header["cal_max"] = 255
    header.extensions.append(Nifti1Extension("comment", b"acquired upside down"))
    nibabel.save(image, tmp_path / "scan.nii.gz")
    volume = read_volume(tmp_path / "scan.nii.gz")
    write_volume(tmp_path / "out.nii.gz", volume.data, volume, mask=mask, keep_header_text=True)

    out = nibabel.load(tmp_path / "out.nii.gz")
    assert type(out) is kind
    assert out.get_data_dtype() == (np.uint8 if mask else np.float32)
    changed = {"datatype", "bitpix", "cal_max"}
    for field in set(out.header.keys()) - changed:
        np.testing.assert_array_equal(out.header[field], nibabel.load(tmp_path / "scan.nii.gz").header[field])
    assert out.header["cal_max"] == 0
    assert [extension.get_content() for extension in out.header.extensions] == [b"acquired upside down"]
    np.testing.assert_array_equal(out.get_fdata(), noise() > 0 if mask else noise())


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("endian", ["<", ">"])
def test_of_a_header_only_place_and_units_come_back(tmp_path: Path, kind: Any, endian: str) -> None:
    header = kind.header_class(endianness=endian)
    header.set_sform(OBLIQUE, 4)
    header.set_qform(RIGID, 1)
    header.set_xyzt_units("mm", "sec")
    plain = kind(noise(), OBLIQUE, header)
    texts = [
        field for field in header if header[field].dtype.kind == "S" and field not in ("magic", "descrip")
    ]
    for field in texts:
        header[field] = b"JANE DOE"
    header["descrip"] = b"JANE DOE 1970-01-01"
    header["toffset"], header["cal_max"], header["slice_end"] = 1970, 255, 255
    header.set_dim_info(0, 1, 2)
    for code in (2, 4, 6):
        header.extensions.append(Nifti1Extension(code, b"JANE DOE"))
    nibabel.save(kind(noise(), OBLIQUE, header), tmp_path / "scan.nii")
    assert (tmp_path / "scan.nii").read_bytes().count(b"JANE") >= len(texts) + 3
    volume = read_volume(tmp_path / "scan.nii")
    write_volume(tmp_path / "out.nii", volume.data, volume)

    out, before = nibabel.load(tmp_path / "out.nii"), nibabel.load(tmp_path / "scan.nii")
    assert b"JANE" not in (tmp_path / "out.nii").read_bytes()
    assert out.header["descrip"].item() == DESCRIPTION.encode()
    assert len(DESCRIPTION) < 80
    assert not out.header.extensions
    for field in set(out.header) - {"descrip", "vox_offset", "scl_slope", "scl_inter"}:
        np.testing.assert_array_equal(out.header[field], plain.header[field])
    np.testing.assert_array_equal(out.affine, before.affine)
    np.testing.assert_array_equal(out.get_fdata(), noise())


@pytest.mark.parametrize("shape", [(6, 7), (6, 7, 1), (6, 7, 5, 1), (6, 7, 1, 1), (6, 7, 5, 1, 1)])
def test_slices_and_further_axes_of_one_keep_their_shape(tmp_path: Path, shape: tuple[int, ...]) -> None:
    affine = np.diag([-1.0, -1, 4, 1])
    data = noise(shape)
    volume = read_volume(saved(tmp_path / "scan.nii", data, affine))
    assert volume.shape == shape
    assert volume.data.shape == (*shape, 1)[:3]
    np.testing.assert_array_equal(volume.data.ravel(), data.ravel())
    write_volume(tmp_path / "out.nii", volume.data, volume)
    out = nibabel.load(tmp_path / "out.nii")
    assert out.shape == shape
    np.testing.assert_array_equal(out.get_fdata(), data)


@pytest.mark.parametrize("shape", [(6, 7), (6, 7, 1)])
def test_a_slice_needs_no_thickness(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = saved(
        tmp_path / "scan.nii", noise(shape), np.diag([-1.0, -1, 1, 1]), pixdim=[1, 1, 1, 0, 1, 1, 1, 1]
    )
    assert read_volume(path).data.shape == (6, 7, 1)


def test_header_and_voxels_in_two_files(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Pair(noise(), OBLIQUE), tmp_path / "scan.img")
    for name in ("scan.hdr", "scan.img"):
        volume = read_volume(tmp_path / name)
        np.testing.assert_array_equal(volume.data, noise())
    write_volume(tmp_path / "out.nii.gz", volume.data, volume)
    np.testing.assert_array_equal(read_volume(tmp_path / "out.nii.gz").data, noise())


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder.nii").mkdir()
    (tmp_path / "empty.nii.gz").touch()
    assert "does not exist" in complaint(tmp_path / "scan.nii")
    assert "is a folder" in complaint(tmp_path / "folder.nii")
    assert "is empty (0 bytes)" in complaint(tmp_path / "empty.nii.gz")


@pytest.mark.parametrize("name", ["text.nii", "text.nii.gz", "text.txt", "text.png"])
def test_what_is_not_nifti_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("not an image\n" * 100)
    assert "is not NIfTI, or ends in its header; expected .nii or .nii.gz" in complaint(tmp_path / name)


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_files_cut_off_anywhere_are_named(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path / name, noise((30, 30, 10)))
    content = path.read_bytes()
    for share in (0.001, 0.005, 0.1, 0.5, 0.99):
        path.write_bytes(content[: round(len(content) * share)])
        message = complaint(path)
        if share >= 0.1:
            hint = " (truncated gzip?)" if name.endswith(".gz") else ""
            assert message == f"{path}: the file ends in the middle of its data{hint}; fetch it again"


@pytest.mark.parametrize("shape", [(6, 7, 5, 3), (6, 7, 1, 3), (6, 7, 5, 1, 2), (8,)])
def test_other_than_one_volume_is_named(tmp_path: Path, shape: tuple[int, ...]) -> None:
    message = complaint(saved(tmp_path / "scan.nii", noise(shape)))
    assert (
        f"has shape {shape}; expected one 3-D volume, so extract one with e.g. fslroi or nibabel" in message
    )


def test_colours_and_complex_numbers_are_named(tmp_path: Path) -> None:
    colours = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    assert "expected real numbers" in complaint(saved(tmp_path / "rgb.nii", colours))
    assert "complex64 voxels" in complaint(saved(tmp_path / "complex.nii", noise().astype(np.complex64)))


def test_nan_and_infinite_voxels_are_counted(tmp_path: Path) -> None:
    data = noise()
    data[0, 0, :3] = np.nan, np.inf, -np.inf
    message = complaint(saved(tmp_path / "scan.nii", data))
    assert message == (
        f"{tmp_path / 'scan.nii'}: 3 of 210 voxels are NaN or infinite; expected numbers, so set them to 0"
    )
    wide = noise().astype(np.float64)
    wide[0, 0, 0] = 1e300
    assert "1 of 210 voxels" in complaint(saved(tmp_path / "wide.nii", wide))


@pytest.mark.parametrize("value", [0, 7, -1.5])
def test_an_image_without_contrast_is_named(tmp_path: Path, value: float) -> None:
    path = saved(tmp_path / "scan.nii", np.full(SHAPE, value, dtype=np.float32))
    assert f"every voxel is {value:g}; expected an image" in complaint(path)


@pytest.mark.parametrize("row", [[0, 0, 0, 5], [np.nan, 0, 0, 1], [1, 0, np.inf, 0], [0, 1, 0, 0]])
def test_an_affine_that_places_nothing_is_named(tmp_path: Path, row: list[float]) -> None:
    path = saved(tmp_path / "scan.nii", noise(), np.diag([1.0, 1, 3, 1]), srow_x=row)
    message = complaint(path)
    assert "is singular or not finite; expected one that places voxels in space" in message


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"datatype": 77}, "data code 77 not recognized"),
        (
            {"sform_code": 0, "qform_code": 1, "quatern_b": 3},
            "cannot be read as NIfTI (w2 should be positive",
        ),
        ({"sform_code": 0, "qform_code": 1, "quatern_b": np.nan}, "singular or not finite"),
        ({"scl_slope": 2, "scl_inter": np.nan}, "invalid intercept nan"),
        ({"dim": [3, 32767, 32767, 32767, 1, 1, 1, 1]}, "more voxels than 1024 x 1024 x 512"),
        ({"dim": [3, 0, 7, 5, 1, 1, 1, 1]}, "has shape (0, 7, 5); expected one 3-D volume"),
        ({"vox_offset": 1e9}, "fetch it again"),
    ],
)
def test_damaged_headers_are_named(tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    assert words in complaint(saved(tmp_path / "scan.nii.gz", noise(), **fields))


def test_an_image_far_larger_than_a_head_is_refused(tmp_path: Path) -> None:
    """Resampled to 1 mm, a slice of 512 voxels of 17 mm would have 75 million pixels."""
    expected = r"12 x 1054 x 20 mm from side to side; expected a head, 1000 mm at most, so check the voxel"
    with pytest.raises(InputError, match=expected):
        read_volume(saved(tmp_path / "wide.nii", noise((6, 62, 5)), np.diag([2, 17, 4, 1])))
    with pytest.raises(InputError, match=expected):
        volume_from_array(noise((5, 62, 6)), (4.0, 17.0, 2.0))


@pytest.mark.parametrize("size", [0.0, -1.0, np.nan])
def test_voxel_sizes_that_are_none_are_named(tmp_path: Path, size: float) -> None:
    path = saved(tmp_path / "scan.nii", noise(), pixdim=[1, 1, size, 3, 1, 1, 1, 1])
    assert f"voxel sizes (pixdim) are (1, {size:.6g}, 3); expected mm above 0" in complaint(path)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_metres_and_micrometres_are_named(tmp_path: Path, scale: float) -> None:
    path = saved(tmp_path / "scan.nii", noise(), np.diag([scale, scale, 3 * scale, 1]))
    assert "check the header's units" in complaint(path)


@pytest.mark.parametrize("shape", [(7, 6), (5, 7, 6)])
def test_array_becomes_a_volume_whose_canonical_stack_it_is(tmp_path: Path, shape: tuple[int, ...]) -> None:
    array = noise(shape)
    spacing = (4.0, 1.0, 1.0)[-len(shape) :]
    volume = volume_from_array(array, spacing)
    assert nibabel.aff2axcodes(volume.affine) == ("L", "P", "S")
    assert volume.spacing == pytest.approx((1, 1, 4 if len(shape) == 3 else 1))
    assert volume.shape == shape[::-1]
    middle = volume.affine @ [*((n - 1) / 2 for n in volume.data.shape), 1]
    np.testing.assert_allclose(middle, [0, 0, 0, 1])
    grid = Grid.of(volume, Preprocessing(slice_shape=(32, 32)), volume.brain)
    stack = grid.to_canonical(volume.data)
    np.testing.assert_array_equal(stack[:, 13:20, 13:19], np.atleast_3d(array.T).T)

    write_volume(tmp_path / "out.nii.gz", volume.data, volume)
    again = read_volume(tmp_path / "out.nii.gz")
    np.testing.assert_array_equal(again.data, volume.data)
    np.testing.assert_allclose(again.affine, volume.affine, atol=1e-6)
    assert again.shape == volume.shape
    assert volume.header is None
    assert again.header is not None
    assert again.header.get_xyzt_units()[0] == "mm"


def test_arrays_that_are_no_image_are_named() -> None:
    for array in (noise((4,)), noise((4, 4, 4, 4)), noise((4, 4)).astype(complex), np.zeros((0, 4))):
        with pytest.raises(InputError, match="expected real numbers of shape"):
            volume_from_array(array, (1.0,) * array.ndim)
    for spacing in ((1.0,), (1.0, 1.0, 1.0), (1.0, 0.0), (1.0, np.nan), (-1.0, 1.0)):
        with pytest.raises(InputError, match="expected 2 voxel sizes in mm"):
            volume_from_array(noise((4, 4)), spacing)
    with pytest.raises(InputError, match="the array: 16 of 16 voxels are NaN"):
        volume_from_array(np.full((4, 4), np.nan), (1.0, 1.0))
    with pytest.raises(InputError, match="every value of the array is 3"):
        volume_from_array(np.full((4, 4), 3), (1.0, 1.0))


@pytest.mark.parametrize(
    ("shape", "found"),
    [((5, 1, 7), "one coronal slice"), ((5, 7, 1), "one sagittal slice"), ((5, 1, 1), "a line of voxels")],
)
def test_an_array_of_a_slice_that_is_not_axial_is_refused(shape: tuple[int, ...], found: str) -> None:
    with pytest.raises(InputError, match=f"^the array: holds {found} "):
        volume_from_array(noise(shape), (1.0,) * len(shape))


def test_what_is_no_file_is_called_what_it_is(tmp_path: Path) -> None:
    assert volume_from_array(noise((4, 4)), (1.0, 1.0)).name == "the array"
    assert volume_from_image(nibabel.Nifti1Image(noise(), np.eye(4))).name == "the image"
    path = saved(tmp_path / "scan.nii", noise())
    assert read_volume(path).name == str(path)


def test_equal_images_are_equal_files(tmp_path: Path) -> None:
    volume = read_volume(saved(tmp_path / "scan.nii", noise()))
    for name in ("one.nii.gz", "two.nii.gz"):
        write_volume(tmp_path / name, volume.data, volume)
    assert (tmp_path / "one.nii.gz").read_bytes() == (tmp_path / "two.nii.gz").read_bytes()


def test_what_cannot_be_written_as_asked_is_named(tmp_path: Path) -> None:
    volume = read_volume(saved(tmp_path / "scan.nii", noise()))
    with pytest.raises(InputError, match=r"ends in \.nii or \.nii\.gz"):
        write_volume(tmp_path / "out.mgz", volume.data, volume)
    with pytest.raises(InputError, match=r"\(6, 7\); expected \(6, 7, 5\)"):
        write_volume(tmp_path / "out.nii", volume.data[:, :, 0], volume)


@contextlib.contextmanager
def little_room() -> Iterator[None]:
    """No file of this process grows beyond 400 bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", ["out.nii", "out.nii.gz"])
def test_a_full_disk_leaves_what_was_there_and_nothing_else(tmp_path: Path, name: str) -> None:
    volume = read_volume(saved(tmp_path / "scan.nii", noise()))
    (tmp_path / name).write_bytes(b"as it was")
    too_large = pytest.raises(PseudohealthyError, match=r"cannot be written \(File too large\)")
    with too_large as caught, little_room():
        write_volume(tmp_path / name, volume.data, volume)
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)
    assert (tmp_path / name).read_bytes() == b"as it was"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, "scan.nii"])


def test_places_that_cannot_be_written_to_are_named(tmp_path: Path) -> None:
    volume = read_volume(saved(tmp_path / "scan.nii", noise()))
    (tmp_path / "folder.nii").mkdir()
    (tmp_path / "file").touch()
    for path in (tmp_path / "none" / "out.nii", tmp_path / "folder.nii", tmp_path / "file" / "out.nii"):
        with pytest.raises(PseudohealthyError, match="cannot be written"):
            write_volume(path, volume.data, volume)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder.nii", "scan.nii"]


def test_a_written_file_may_be_read_by_whom_the_user_lets(tmp_path: Path) -> None:
    volume = read_volume(saved(tmp_path / "scan.nii", noise()))
    write_volume(tmp_path / "out.nii", volume.data, volume)
    mask = os.umask(0)
    os.umask(mask)
    assert (tmp_path / "out.nii").stat().st_mode & 0o777 == 0o666 & ~mask


def whole(path: Path) -> Volume | None:
    """The volume, or nothing where the file is a mask."""
    return None if path.name.endswith(("seg.nii.gz", "msk.nii.gz", "mask.nii.gz")) else read_volume(path)


@pytest.mark.real_data
def test_real_volumes_are_read_and_written_back(real_data: Path, tmp_path: Path) -> None:
    paths = sorted((real_data / "volumes").rglob("*.nii.gz"))
    paths += sorted((real_data / "lgg").rglob("sub-CS*_FLAIR.nii.gz"))[:3]
    images = [image for image in map(whole, paths) if image is not None]
    assert len(images) == 9
    for image in images:
        write_volume(tmp_path / "out.nii", image.data, image)
        again = nibabel.load(tmp_path / "out.nii")
        np.testing.assert_array_equal(np.asarray(again.dataobj), image.data)
        np.testing.assert_array_equal(again.affine, image.affine)
        assert image.header is not None
        for field in ("sform_code", "qform_code", "xyzt_units"):
            np.testing.assert_array_equal(again.header[field], image.header[field])
        np.testing.assert_array_equal(again.header["pixdim"][:4], image.header["pixdim"][:4])


def test_a_qform_beyond_all_measure_is_none(tmp_path: Path) -> None:
    fields = {"sform_code": 1, "qform_code": 1, "pixdim": [1, np.inf, 1, 1, 1, 1, 1, 1]}
    fields |= {"quatern_b": 0, "quatern_c": 0, "quatern_d": 1}
    assert read_volume(saved(tmp_path / "scan.nii", noise(), RIGID, **fields)).warnings == ()
