"""What is remembered of each image."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from fixtures.cohorts import touch
from fixtures.full_disk import full_disk
from pseudohealthy.bids_app.records import (
    InputFingerprint,
    Record,
    as_name,
    at_work_on,
    forget,
    keep,
    namesake,
    outputs_of,
    read_record,
    records,
    write_table,
)
from pseudohealthy.bids_app.selection import Subject

IMAGE = "sub-1/ses-a/anat/sub-1_ses-a_acq-3d_FLAIR.nii.gz"
MADE = InputFingerprint(input="i", weights="w", blend=False)
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
    (tmp_path / LOG).write_text('{"subject": "sub-1"}')
    assert read_record(tmp_path, IMAGE) is None


def test_finished_is_what_is_done_and_there(tmp_path: Path) -> None:
    assert not DONE.finished(tmp_path)
    touch(tmp_path, *DONE.files.values())
    assert DONE.finished(tmp_path)
    assert not DONE.model_copy(update={"files": {}}).finished(tmp_path)
    assert not DONE.model_copy(update={"status": "failed"}).finished(tmp_path)


def test_how_two_differ_is_said_in_words() -> None:
    assert MADE.unlike(MADE) == ""
    assert (
        MADE.unlike(InputFingerprint(input="j", weights="v", blend=True))
        == "another input, other weights, --blend"
    )
    assert InputFingerprint(input="i", weights="w", blend=True).unlike(MADE) == "no --blend"


def test_the_table_has_a_row_for_every_image_and_everybody_without(tmp_path: Path) -> None:
    other = IMAGE.replace("acq-3d", "acq-2d")
    subjects = [Subject("sub-1", (IMAGE, other)), Subject("sub-2", ())]
    DONE.write(tmp_path)
    NONE.write(tmp_path)
    assert records(tmp_path, subjects) == {IMAGE: DONE, other: None, "sub-2": NONE}
    table = pd.read_csv(write_table(tmp_path, subjects), sep="\t", keep_default_na=False)
    assert table["participant_id"].tolist() == ["sub-1", "sub-1", "sub-2"]
    assert table["session_id"].tolist() == ["ses-a", "ses-a", "n/a"]
    assert table["image"].tolist() == [IMAGE, other, "n/a"]
    assert table["status"].tolist() == ["done", "not tried yet", "no_image"]
    assert table["reason"].tolist() == ["n/a", "n/a", "no FLAIR image"]


def test_forgetting_and_what_cannot_be_kept(tmp_path: Path) -> None:
    NONE.write(tmp_path)
    forget(tmp_path, "sub-2")
    forget(tmp_path, "sub-2")
    assert read_record(tmp_path, "sub-2") is None
    with full_disk(10):
        keep(tmp_path, NONE)
    keep(tmp_path / "elsewhere", NONE)
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
    forget(tmp_path, names[1])
    assert [read_record(tmp_path, name) is None for name in names] == [False, True, False, False]


def test_a_record_of_the_old_kind_is_its_image_s_and_no_other_s(tmp_path: Path) -> None:
    """Earlier versions called it by the image's name alone, so that images of one name shared one."""
    same = IMAGE.replace("ses-a/", "ses-b/", 1)
    (tmp_path / "logs").mkdir()
    (tmp_path / OLD_LOG).write_text(DONE.model_dump_json())
    assert read_record(tmp_path, IMAGE) == DONE
    assert read_record(tmp_path, same) is None
    forget(tmp_path, same)
    other(same).write(tmp_path)
    assert read_record(tmp_path, IMAGE) == DONE
    DONE.write(tmp_path)
    assert not (tmp_path / OLD_LOG).exists()
    assert read_record(tmp_path, IMAGE) == DONE


def test_forgetting_takes_the_old_kind_too(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / OLD_LOG).write_text(DONE.model_dump_json())
    DONE.model_copy(update={"seconds": 1.0}).write(tmp_path)
    (tmp_path / OLD_LOG).write_text(DONE.model_dump_json())
    forget(tmp_path, IMAGE)
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
    assert namesake(tmp_path, image) is None  # its files are not there
    touch(tmp_path, *outputs_of(gone, blend=False).values())
    assert namesake(tmp_path, image) == other(gone)
    assert namesake(tmp_path, gone) is None
    assert namesake(tmp_path, "sub-1/anat/sub-1_run-1_FLAIR.nii") is None
    assert namesake(tmp_path, "sub-1/ses-1/anat/sub-1_FLAIR.nii") is None
    forget(tmp_path, gone)
    (tmp_path / "logs/sub-1_FLAIR.json").write_text(other(gone).model_dump_json())
    assert namesake(tmp_path, image) == other(gone)


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
    keep(tmp_path, record)
    assert records(tmp_path, [Subject("sub-1", (image,))]) == {shown: record}
    table = pd.read_csv(write_table(tmp_path, [Subject("sub-1", (image,))]), sep="\t", keep_default_na=False)
    assert list(table.loc[0, ["image", "status", "reason"]]) == [shown, "failed", r"is no text\n"]
    assert as_name(shown) != image
    assert as_name("sub-1/anat/sub-1_acq-é_FLAIR.nii") == "sub-1/anat/sub-1_acq-é_FLAIR.nii"


def test_only_one_run_is_at_work_on_a_subject(tmp_path: Path) -> None:
    with at_work_on(tmp_path, "sub-1"), at_work_on(tmp_path, "sub-10"):
        assert len(list((tmp_path / "logs").iterdir())) == 2
    assert list((tmp_path / "logs").iterdir()) == []
