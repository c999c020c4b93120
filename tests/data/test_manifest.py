from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pseudohealthy.config import Preprocessing
from pseudohealthy.data.layouts import CohortVolume
from pseudohealthy.data.manifest import FILE, FORMAT, decisive, input_record, key_of, read_manifest
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import InputError

SETTINGS = Preprocessing().model_dump(mode="json")


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
        (tmp_path / FILE).write_text(content)
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
    (tmp_path / FILE).write_text(json.dumps(of_version_0_1))
    with pytest.raises(InputError) as refused:
        Prepared.open(tmp_path)
    expected = f"format 2 (pseudohealthy 0.1.0), expected {FORMAT}; prepare the cohort again"
    assert str(refused.value) == f"{tmp_path / FILE}: {expected}"


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
    (tmp_path / FILE).write_text(json.dumps(whole))
    assert read_manifest(tmp_path) == whole
    (tmp_path / FILE).write_text(json.dumps({**whole, **change}))
    with pytest.raises(InputError, match=rf"manifest\.json: {message}; prepare the cohort again"):
        read_manifest(tmp_path)
