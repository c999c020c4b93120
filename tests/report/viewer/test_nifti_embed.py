"""A volume comes back from a page's text as it is stored in its file, or rounded by a known step."""

from __future__ import annotations

import base64
import gzip
from pathlib import Path
from typing import Any, Literal

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from fixtures.page_visits import affine
from pseudohealthy.errors import InputError
from pseudohealthy.report.viewer.nifti_embed import Embedded

SHAPE = (7, 6, 5)


def values(dtype: Any = np.float32) -> NDArray[Any]:
    return np.random.default_rng(0).uniform(-90, 400, SHAPE).astype(dtype)


def saved(path: Path, data: NDArray[Any], scale: tuple[float, float] | None = None) -> Path:
    image = nibabel.Nifti1Image(data, affine(), dtype=data.dtype)
    if scale:
        image.header.set_slope_inter(*scale)
    nibabel.save(image, path)
    return path


def decoded(embedded: Embedded) -> nibabel.Nifti1Image:
    return nibabel.Nifti1Image.from_bytes(gzip.decompress(base64.b64decode(embedded.text)))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32])
def test_a_volume_of_32_bits_or_fewer_is_embedded_as_stored(tmp_path: Path, dtype: Any) -> None:
    data = np.abs(values()).clip(0, 200).astype(dtype)
    embedded = Embedded.of(saved(tmp_path / "a.nii.gz", data))
    image = decoded(embedded)
    assert image.get_data_dtype() == dtype
    np.testing.assert_array_equal(image.dataobj.get_unscaled(), data)
    np.testing.assert_array_equal(embedded.values(), data.astype(np.float32), strict=True)
    assert embedded.step is None


def test_a_wider_volume_is_embedded_as_float32(tmp_path: Path) -> None:
    data = values(np.float64) / 3
    embedded = Embedded.of(saved(tmp_path / "a.nii", data))
    assert decoded(embedded).get_data_dtype() == np.float32
    np.testing.assert_array_equal(embedded.values(), data.astype(np.float32), strict=True)
    np.testing.assert_array_equal(decoded(embedded).get_fdata(dtype=np.float32), embedded.values())


def test_slope_and_intercept_of_the_file_are_kept(tmp_path: Path) -> None:
    stored = values(np.int16)
    embedded = Embedded.of(saved(tmp_path / "a.nii", stored, (0.5, -3.0)))
    image = decoded(embedded)
    np.testing.assert_array_equal(image.dataobj.get_unscaled(), stored)
    assert (image.dataobj.slope, image.dataobj.inter) == (0.5, -3)
    np.testing.assert_array_equal(embedded.values(), stored * np.float32(0.5) - 3)


@pytest.mark.parametrize("levels", [10, 1000, 32767])
def test_rounding_is_to_so_many_parts_of_the_largest_absolute_value(tmp_path: Path, levels: int) -> None:
    data = values()
    data[0, 0, 0] = -800  # the largest in size
    embedded = Embedded.of(saved(tmp_path / "a.nii", data), levels)
    image = decoded(embedded)
    assert embedded.step == 800 / levels
    assert image.get_data_dtype() == np.int16
    np.testing.assert_allclose(embedded.values(), data, rtol=0, atol=0.5001 * embedded.step)
    np.testing.assert_allclose(image.get_fdata(), embedded.values(), rtol=1e-6)
    assert image.dataobj.get_unscaled().min() == -levels


def test_a_volume_of_16_bits_is_not_rounded(tmp_path: Path) -> None:
    data = values(np.int16)
    embedded = Embedded.of(saved(tmp_path / "a.nii", data), 10)
    assert embedded.step is None
    np.testing.assert_array_equal(decoded(embedded).get_fdata(), data)


def test_a_volume_of_zeros_can_be_rounded_too(tmp_path: Path) -> None:
    embedded = Embedded.of(saved(tmp_path / "a.nii", np.zeros(SHAPE, np.float32)), 1000)
    assert embedded.step == 1
    assert not decoded(embedded).get_fdata().any()


@pytest.mark.parametrize("shape", [(7, 6), (7, 6, 5, 1), (7, 6, 5, 1, 1)])
def test_any_volume_is_embedded_with_three_axes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    data = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    embedded = Embedded.of(saved(tmp_path / "a.nii", data))
    expected = (*shape, 1)[:3]
    assert embedded.values().shape == decoded(embedded).shape == expected
    np.testing.assert_array_equal(embedded.values(), data.reshape(expected))


def test_the_header_holds_the_grid_and_no_text(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(values(), affine())
    image.header["descrip"] = b"Jane Doe"
    image.header["aux_file"] = b"/home/jane"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"born 1970"))
    nibabel.save(image, tmp_path / "a.nii")
    embedded = Embedded.of(tmp_path / "a.nii")
    content = gzip.decompress(base64.b64decode(embedded.text))
    for text in (b"Jane Doe", b"/home/jane", b"born 1970"):
        assert text not in content
    np.testing.assert_allclose(decoded(embedded).affine, affine(), atol=1e-5)
    assert decoded(embedded).header.get_xyzt_units()[0] == "mm"
    np.testing.assert_allclose(embedded.affine, affine(), atol=1e-5)


def test_the_text_of_a_volume_is_always_the_same(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.nii", values())
    assert Embedded.of(path).text == Embedded.of(path).text


@pytest.mark.parametrize("levels", [None, 1000])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_image_in_memory_is_embedded_as_its_file_is(
    tmp_path: Path, order: Literal["C", "F"], levels: int | None
) -> None:
    data = np.array(values(), order=order)
    path = saved(tmp_path / "a.nii", data)
    image = nibabel.Nifti1Image(data, nibabel.load(path).affine)
    assert Embedded.of(image, levels).text == Embedded.of(path, levels).text
    assert (image.get_fdata(dtype=np.float32) == values()).all()


def test_voxels_are_found_and_taken_by_their_values(tmp_path: Path) -> None:
    stored = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    embedded = Embedded.of(saved(tmp_path / "a.nii", stored, (0.5, -3.0)))
    found = embedded.where(lambda x: x > 7)
    np.testing.assert_array_equal(found, stored > 20)
    np.testing.assert_array_equal(embedded.values(found), stored[stored > 20] * 0.5 - 3)


@pytest.mark.parametrize("content", [None, b"", b"no NIfTI volume"])
def test_a_file_that_holds_no_volume_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.nii"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.nii: cannot be read \(.*\); expected a NIfTI volume"):
        Embedded.of(path)
