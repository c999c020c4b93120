from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from fixtures.cohorts import FITTING, bids, library
from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.data.prepare import prepare
from pseudohealthy.data.prepared import COLUMNS, Prepared
from pseudohealthy.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three patients of 18 slices and two masks of a library."""
    cohort = read_cohort([bids(tmp_path / "data", 3), library(tmp_path / "masks", 2)])
    prepare(cohort, tmp_path / "prepared", FITTING)
    return tmp_path / "prepared"


def test_opens_as_read_only_maps_of_what_the_manifest_says(folder: Path) -> None:
    prepared = Prepared.open(folder)
    assert prepared.manifest["arrays"] == {
        "images": [54, 64, 48],
        "masks": [54, 64, 48],
        "library": [8, 64, 48],
    }
    assert isinstance(prepared.images, np.memmap)
    assert prepared.images.dtype == np.float32
    assert prepared.masks.dtype == np.uint8
    with pytest.raises(ValueError, match="read-only"):
        prepared.images[0] = 0
    assert prepared.truth is None
    assert prepared.mask_library is not None
    assert prepared.mask_library_slices is not None
    assert prepared.mask_library.shape == (8, 64, 48)
    assert prepared.mask_library_slices["row"].tolist() == list(range(8))


def test_the_preprocessing_is_that_of_the_cohort(folder: Path) -> None:
    assert Prepared.open(folder).preprocessing == FITTING


def test_names_that_look_like_numbers_stay_names(folder: Path) -> None:
    slices = Prepared.open(folder).slices
    assert list(slices.columns) == list(COLUMNS)
    assert sorted(set(slices["subject"])) == ["01", "02", "03"]
    assert set(slices["session"]) == {"n/a"}
    assert slices["row"].tolist() == list(range(54))
    assert slices["has_mask"].dtype == bool


@pytest.mark.parametrize(
    "name", ["images.npy", "masks.npy", "library.npy", "slices.tsv", "library.tsv", "manifest.json"]
)
def test_a_missing_or_damaged_file_is_told_by_name(folder: Path, name: str) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=name):
        Prepared.open(folder)
    path.unlink()
    with pytest.raises(InputError, match=name):
        Prepared.open(folder)


def test_arrays_of_another_shape_or_type_are_refused(folder: Path) -> None:
    masks = np.load(folder / "masks.npy")
    np.save(folder / "masks.npy", masks[:-1])
    with pytest.raises(InputError, match=r"masks.npy: uint8 \[53, 64, 48\], expected uint8 \[54, 64, 48\]"):
        Prepared.open(folder)
    np.save(folder / "masks.npy", masks.astype(np.int16))
    with pytest.raises(InputError, match="int16"):
        Prepared.open(folder)


def test_pickled_arrays_are_refused(folder: Path) -> None:
    np.save(folder / "masks.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"masks.npy: cannot be opened"):
        Prepared.open(folder)


def test_a_table_of_other_columns_is_refused(folder: Path) -> None:
    table = folder / "slices.tsv"
    table.write_text(table.read_text().replace("lesion_voxels", "lesions", 1))
    with pytest.raises(InputError, match=r"slices.tsv: expected 54 rows of row, subject"):
        Prepared.open(folder)


def test_a_manifest_without_its_arrays_is_refused(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "arrays": {}}))
    with pytest.raises(InputError, match=r"manifest.json"):
        Prepared.open(folder)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a prepared cohort"):
        Prepared.open(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "header",
    [
        "{" * 50,
        "{'descr': '<f4', 'fortran_order': False, 'shape': f(), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 10**30), }",
        "{'descr': '<f4', 'fortran_order': True, 'shape': (-1, 64, 48), }",
    ],
)
def test_an_array_with_a_broken_header_is_named(prepared_folder: Path, tmp_path: Path, header: str) -> None:
    shutil.copytree(prepared_folder, tmp_path / "prepared")
    path = tmp_path / "prepared/images.npy"
    path.write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(header) + 1) + header.encode() + b"\n")
    with pytest.raises(InputError, match=r"images\.npy: .*prepare the cohort again"):
        Prepared.open(tmp_path / "prepared")
