from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pseudohealthy.config import Preprocessing
from pseudohealthy.data.layouts import CohortVolume
from pseudohealthy.data.manifest import FILE, FORMAT, Manifest, decisive, input_record, key_of, read_manifest
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
        ({"settings": {**SETTINGS, "clip_region": "brain"}}, "clip"),
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
    ("content", "told"),
    [
        (None, "not a prepared cohort"),
        ("{", "not a prepared cohort"),
        ("[]", "format None, expected"),
        (json.dumps({"format": FORMAT + 1}), f"format {FORMAT + 1}, expected {FORMAT}"),
        (json.dumps({"format": FORMAT, "seed": 0}), "no arrays, cohort, fractions"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, content: str | None, told: str) -> None:
    if content is not None:
        (tmp_path / FILE).write_text(content)
    with pytest.raises(InputError, match=told):
        read_manifest(tmp_path)


def test_a_cohort_prepared_before_there_were_notes_is_opened(tmp_path: Path) -> None:
    assert "notes" not in Manifest.__required_keys__
    manifest = dict.fromkeys(Manifest.__required_keys__, 0) | {"format": FORMAT}
    (tmp_path / FILE).write_text(json.dumps(manifest))
    assert dict(read_manifest(tmp_path)) == manifest
