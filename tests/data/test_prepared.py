from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.cohorts import FITTING, bids, library
from pseudohealthy.config import Preprocessing
from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.data.layouts import CohortVolume
from pseudohealthy.data.prepare import prepare
from pseudohealthy.data.prepared import (
    COLUMNS,
    FORMAT,
    MANIFEST,
    Prepared,
    decisive,
    input_record,
    key_of,
    read_manifest,
)
from pseudohealthy.errors import InputError

SETTINGS = Preprocessing().model_dump(mode="json")


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


@pytest.fixture
def volume(tmp_path: Path) -> CohortVolume:
    (tmp_path / "anat").mkdir()
    image, mask = tmp_path / "anat" / "image.nii", tmp_path / "mask.nii"
    image.write_bytes(b"image")
    mask.write_bytes(b"mask")
    return CohortVolume("01", "patient", image, mask, None, "val", "here", "pre", tmp_path)


def test_inputs_are_named_within_their_folder_and_hashed(volume: CohortVolume) -> None:
    assert input_record(volume) == {
        "subject": "01",
        "session": "pre",
        "source": "here",
        "group": "patient",
        "split": "val",
        "inputs": {
            "image": {"path": "anat/image.nii", "sha256": hashlib.sha256(b"image").hexdigest()},
            "mask": {"path": "mask.nii", "sha256": hashlib.sha256(b"mask").hexdigest()},
        },
    }


def test_a_mask_beside_the_data_set_is_named_from_its_folder(volume: CohortVolume) -> None:
    assert volume.mask
    inside = replace(volume, folder=volume.folder / "anat")
    assert input_record(inside)["inputs"]["mask"]["path"] == "../mask.nii"


def test_a_file_that_is_not_there_has_no_hash(volume: CohortVolume) -> None:
    assert volume.mask
    volume.mask.unlink()
    assert input_record(volume)["inputs"]["mask"]["sha256"] == ""


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"seed": 1}, "seed"),
        ({"fractions": (0.5, 0.25, 0.25)}, "split fractions"),
        ({"settings": {**SETTINGS, "clip_region": "brain"}}, "clip_region"),
        ({"group": "control"}, "files of here 01 pre"),
        ({"split": "test"}, "files of here 01 pre"),
        ({"inputs": {}}, "files of here 01 pre"),
    ],
)
def test_what_decides_changes_the_key_by_name(
    volume: CohortVolume, change: dict[str, Any], name: str
) -> None:
    base: dict[str, Any] = {"settings": SETTINGS, "seed": 0, "fractions": (0.6, 0.15, 0.25)}
    record: dict[str, Any] = {**input_record(volume)}
    changed: Any = {key: change.get(key, value) for key, value in record.items()}
    before = decisive(**base, volumes=[input_record(volume)])
    after = decisive(**{key: change.get(key, value) for key, value in base.items()}, volumes=[changed])
    assert [part for part in before if before[part] != after[part]] == [name]
    assert key_of(before) != key_of(after)
    assert key_of(before) == key_of(decisive(**base, volumes=[input_record(volume)]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "not a prepared cohort"),
        ("{", "not a prepared cohort"),
        ("[]", "expected a mapping, found a list"),
        (json.dumps({"format": FORMAT + 1}), f"format {FORMAT + 1}, expected {FORMAT}"),
        (json.dumps({"format": FORMAT, "seed": 0}), "no arrays, cohort, fractions"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(InputError, match=message):
        read_manifest(tmp_path)


def test_a_cohort_of_version_0_1_is_answered_in_one_line(tmp_path: Path) -> None:
    of_version_0_1 = {
        "format": 2,
        "version": "0.1.0",
        "settings": {"field": [208, 160], "spacing": 1.0, "clip": "brain", "slices": "half_area"},
        "arrays": {"images": [4, 208, 160], "masks": [4, 208, 160], "bank": [2, 208, 160]},
        "volumes": [{"group": "bank", "facts": {"slices": {"end": 2}}}],
    }
    (tmp_path / MANIFEST).write_text(json.dumps(of_version_0_1))
    with pytest.raises(InputError) as refused:
        Prepared.open(tmp_path)
    expected = f"format 2 (pseudohealthy 0.1.0), expected {FORMAT}; prepare the cohort again"
    assert str(refused.value) == f"{tmp_path / MANIFEST}: {expected}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"settings": None}, "settings: Input should be a valid dictionary"),
        ({"arrays": {"images": None}}, r"arrays\.images: Input should be a valid list"),
        ({"volumes": [None]}, r"volumes\.0: Input should be a valid dictionary"),
        ({"totals": []}, "totals: Input should be a valid dictionary"),
    ],
)
def test_a_part_of_another_kind_is_refused_by_name(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    whole = {"version": "1", "research_use": "", "key": "k", "cohort": "c", "settings": SETTINGS, "seed": 0}
    whole |= {"fractions": [0.6, 0.15, 0.25], "arrays": {"images": [4, 208, 160]}, "totals": {}, "notes": []}
    whole |= {"format": FORMAT, "volumes": []}
    (tmp_path / MANIFEST).write_text(json.dumps(whole))
    assert read_manifest(tmp_path) == whole
    (tmp_path / MANIFEST).write_text(json.dumps({**whole, **change}))
    with pytest.raises(InputError, match=rf"manifest\.json: {message}; prepare the cohort again"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("name", ["images.npy", "slices.tsv", "manifest.json"])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(folder: Path, name: str) -> None:
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(InputError, match=r"expected a file, found a folder, pipe or device"):
        Prepared.open(folder)


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


@pytest.mark.parametrize("value", ["9" * 30, "1e300", "nan"])
def test_a_table_with_numbers_that_no_row_can_have_is_named(folder: Path, value: str) -> None:
    lines = (folder / "slices.tsv").read_text().splitlines()
    cells = lines[1].split("\t")
    cells[list(COLUMNS).index("lesion_voxels")] = value
    (folder / "slices.tsv").write_text("\n".join([lines[0], "\t".join(cells), *lines[2:]]) + "\n")
    with pytest.raises(InputError, match=r"slices\.tsv: cannot be read .*prepare the cohort again"):
        Prepared.open(folder)
