"""What is remembered of each image."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from fixtures.cohorts import touch
from fixtures.full_disk import full_disk
from pseudohealthy.bids_app.records import (
    InputFingerprint,
    Record,
    as_name,
    find_name_clash,
    outputs_of,
    read_record,
    records,
    remove_record,
    subject_lock,
    write_if_possible,
    write_status_table,
)
from pseudohealthy.bids_app.selection import Subject

IMAGE = "sub-1/ses-a/anat/sub-1_ses-a_acq-3d_FLAIR.nii.gz"
MADE = InputFingerprint(input="i", weights="w", blend=False, header_text=False)
DONE = Record(
    subject="sub-1", image=IMAGE, status="done", made_from=MADE, files=outputs_of(IMAGE, blend=False)
)
NONE = Record(subject="sub-2", image=None, status="no_image", reason="no FLAIR\timage")
LOG = f"logs/{IMAGE}.json"
OLD_LOG = "logs/sub-1_ses-a_acq-3d_FLAIR.json"


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    for record in (DONE, NONE):
        record.write(tmp_path)
        assert read_record(tmp_path, record.name) == record
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.json")) == [
        LOG,
        "logs/sub-2.json",
    ]


def test_a_missing_or_damaged_record_is_none(tmp_path: Path) -> None:
    assert read_record(tmp_path, IMAGE) is None
    DONE.write(tmp_path)
    (tmp_path / LOG).write_text('{"subject": "sub-1"')
    assert read_record(tmp_path, IMAGE) is None
    for content in ('{"subject": "sub-1"}', "", "[]", "[" * 100_000, '{"seconds": ' + "9" * 5000 + "}"):
        (tmp_path / LOG).write_text(content)
        assert read_record(tmp_path, IMAGE) is None
    DONE.write(tmp_path)
    infinite = re.sub(r'"seconds": [0-9.]+', '"seconds": Infinity', (tmp_path / LOG).read_text())
    (tmp_path / LOG).write_text(infinite)
    assert "Infinity" in infinite
    assert read_record(tmp_path, IMAGE) is None


def test_finished_is_what_is_done_and_there(tmp_path: Path) -> None:
    assert not DONE.is_complete(tmp_path)
    touch(tmp_path, *DONE.files.values())
    assert DONE.is_complete(tmp_path)
    assert not DONE.model_copy(update={"files": {}}).is_complete(tmp_path)
    assert not DONE.model_copy(update={"status": "failed"}).is_complete(tmp_path)


def test_how_two_differ_is_said_in_words() -> None:
    assert MADE.differences(MADE) == ""
    assert (
        MADE.differences(InputFingerprint(input="j", weights="v", blend=True, header_text=False))
        == "another input, other weights, --blend"
    )
    assert (
        InputFingerprint(input="i", weights="w", blend=True, header_text=False).differences(MADE)
        == "no --blend"
    )
    before = InputFingerprint.model_validate({"input": "i", "weights": "w", "blend": False})
    assert MADE.differences(before) == "--keep-header-text"  # version 0.1 kept it, and did not say so
    assert before.differences(MADE) == "no --keep-header-text"


def test_the_table_has_a_row_for_every_image_and_everybody_without(tmp_path: Path) -> None:
    other = IMAGE.replace("acq-3d", "acq-2d")
    subjects = [Subject("sub-1", (IMAGE, other)), Subject("sub-2", ())]
    DONE.write(tmp_path)
    NONE.write(tmp_path)
    assert records(tmp_path, subjects) == {IMAGE: DONE, other: None, "sub-2": NONE}
    table = pd.read_csv(write_status_table(tmp_path, subjects), sep="\t", keep_default_na=False)
    assert table["participant_id"].tolist() == ["sub-1", "sub-1", "sub-2"]
    assert table["session_id"].tolist() == ["ses-a", "ses-a", "n/a"]
    assert table["image"].tolist() == [IMAGE, other, "n/a"]
    assert table["status"].tolist() == ["done", "not tried yet", "no_image"]
    assert table["reason"].tolist() == ["n/a", "n/a", "no FLAIR image"]


def test_removing_a_record_and_one_that_cannot_be_written(tmp_path: Path) -> None:
    NONE.write(tmp_path)
    remove_record(tmp_path, "sub-2")
    remove_record(tmp_path, "sub-2")
    assert read_record(tmp_path, "sub-2") is None
    with full_disk(10):
        write_if_possible(tmp_path, NONE)
    write_if_possible(tmp_path / "elsewhere", NONE)
    assert not (tmp_path / "elsewhere").exists()
    assert read_record(tmp_path, "sub-2") is None


def other(image: str, **more: object) -> Record:
    """The same of another image."""
    return DONE.model_copy(update={"image": image, "files": outputs_of(image, blend=False), **more})


def test_images_of_one_name_have_records_of_their_own(tmp_path: Path) -> None:
    names = [f"sub-1/{folder}anat/sub-1_FLAIR.nii" for folder in ("", "ses-1/", "ses-2/")]
    names.append(f"{names[0]}.gz")
    for name in names:
        other(name, seconds=float(len(name))).write(tmp_path)
    for name in names:
        assert read_record(tmp_path, name) == other(name, seconds=float(len(name)))
    remove_record(tmp_path, names[1])
    assert [read_record(tmp_path, name) is None for name in names] == [False, True, False, False]


def test_a_record_of_the_old_kind_is_its_image_s_and_no_other_s(tmp_path: Path) -> None:
    """Earlier versions called it by the image's name alone, so that images of one name shared one."""
    same = IMAGE.replace("ses-a/", "ses-b/", 1)
    (tmp_path / "logs").mkdir()
    (tmp_path / OLD_LOG).write_text(DONE.model_dump_json())
    assert read_record(tmp_path, IMAGE) == DONE
    assert read_record(tmp_path, same) is None
    remove_record(tmp_path, same)
    other(same).write(tmp_path)
    assert read_record(tmp_path, IMAGE) == DONE
    DONE.write(tmp_path)
    assert not (tmp_path / OLD_LOG).exists()
    assert read_record(tmp_path, IMAGE) == DONE


def test_removing_takes_the_old_kind_too(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / OLD_LOG).write_text(DONE.model_dump_json())
    DONE.model_copy(update={"seconds": 1.0}).write(tmp_path)
    (tmp_path / OLD_LOG).write_text(DONE.model_dump_json())
    remove_record(tmp_path, IMAGE)
    assert read_record(tmp_path, IMAGE) is None


@pytest.mark.parametrize("path", ["/etc/passwd", "../x.nii.gz", "sub-1/ses-a/anat/sub-1_FLAIR.nii.gz", ""])
def test_a_record_of_other_files_than_its_image_s_is_none(tmp_path: Path, path: str) -> None:
    files = {**DONE.files, "healthy": path}
    touch(tmp_path, *DONE.files.values())
    DONE.model_copy(update={"files": files}).write(tmp_path)
    assert read_record(tmp_path, IMAGE) is None
    DONE.model_copy(update={"files": {**DONE.files, "more": path}}).write(tmp_path)
    assert read_record(tmp_path, IMAGE) is None
    NONE.model_copy(update={"files": {"healthy": path}}).write(tmp_path)
    assert read_record(tmp_path, "sub-2") is None


def test_whose_files_an_image_would_replace(tmp_path: Path) -> None:
    image, gone = "sub-1/anat/sub-1_FLAIR.nii.gz", "sub-1/anat/sub-1_FLAIR.nii"
    other(gone).write(tmp_path)
    assert find_name_clash(tmp_path, image) is None  # its files are not there
    touch(tmp_path, *outputs_of(gone, blend=False).values())
    assert find_name_clash(tmp_path, image) == other(gone)
    assert find_name_clash(tmp_path, gone) is None
    assert find_name_clash(tmp_path, "sub-1/anat/sub-1_run-1_FLAIR.nii") is None
    assert find_name_clash(tmp_path, "sub-1/ses-1/anat/sub-1_FLAIR.nii") is None
    remove_record(tmp_path, gone)
    (tmp_path / "logs/sub-1_FLAIR.json").write_text(other(gone).model_dump_json())
    assert find_name_clash(tmp_path, image) == other(gone)


@pytest.mark.parametrize("label", ["é" * 120, "a" * 240])
def test_a_record_of_a_long_name_can_be_written(tmp_path: Path, label: str) -> None:
    image = f"sub-1/anat/sub-1_acq-{label}_FLAIR.nii"
    record = Record(subject="sub-1", image=image, status="failed", reason="too long")
    record.write(tmp_path)
    assert read_record(tmp_path, image) == record


def test_names_that_are_not_text_have_rows_and_records(tmp_path: Path) -> None:
    image = "sub-1/anat/sub-1_acq-\udcea_FLAIR.nii"
    shown = r"sub-1/anat/sub-1_acq-\xea_FLAIR.nii"
    record = Record(subject="sub-1", image=shown, status="failed", reason="is no\ttext\n")
    write_if_possible(tmp_path, record)
    assert records(tmp_path, [Subject("sub-1", (image,))]) == {shown: record}
    table = pd.read_csv(
        write_status_table(tmp_path, [Subject("sub-1", (image,))]), sep="\t", keep_default_na=False
    )
    assert list(table.loc[0, ["image", "status", "reason"]]) == [shown, "failed", r"is no text\n"]
    assert as_name(shown) != image
    assert as_name("sub-1/anat/sub-1_acq-é_FLAIR.nii") == "sub-1/anat/sub-1_acq-é_FLAIR.nii"


def test_only_one_run_is_subject_lock_a_subject(tmp_path: Path) -> None:
    with subject_lock(tmp_path, "sub-1"), subject_lock(tmp_path, "sub-10"):
        assert len(list((tmp_path / "logs").iterdir())) == 2
    assert list((tmp_path / "logs").iterdir()) == []


def test_a_record_of_version_0_1_for_no_image_is_named(tmp_path: Path) -> None:
    """Its word for no image was "skipped", which means finished by an earlier run now."""
    subjects = [Subject("sub-2", ()), Subject("sub-3", ())]
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/sub-2.json").write_text(NONE.model_copy(update={"status": "skipped"}).model_dump_json())
    assert read_record(tmp_path, "sub-2") is None
    table = pd.read_csv(write_status_table(tmp_path, subjects), sep="\t", keep_default_na=False)
    assert table["status"].tolist() == [
        "recorded by version 0.1; run the level participant again",
        "not tried yet",
    ]
    NONE.write(tmp_path)
    assert read_record(tmp_path, "sub-2") == NONE
