"""What is remembered of each image."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cohorts import touch
from disk import full_disk
from pseudohealthy.experiment.records import MadeFrom, Record, forget, keep, read_record, records, write_table
from pseudohealthy.experiment.selection import Subject

IMAGE = "sub-1/ses-a/anat/sub-1_ses-a_acq-3d_FLAIR.nii.gz"
MADE = MadeFrom(input="i", weights="w", blend=False)
DONE = Record(
    subject="sub-1", image=IMAGE, status="done", made_from=MADE, files={"healthy": "sub-1/a.nii.gz"}
)
NONE = Record(subject="sub-2", image=None, status="failed", reason="no FLAIR\timage")


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    for record in (DONE, NONE):
        record.write(tmp_path)
        assert read_record(tmp_path, record.name) == record
    assert sorted(path.name for path in (tmp_path / "logs").iterdir()) == [
        "sub-1_ses-a_acq-3d_FLAIR.json",
        "sub-2.json",
    ]


def test_a_missing_or_damaged_record_is_none(tmp_path: Path) -> None:
    assert read_record(tmp_path, IMAGE) is None
    DONE.write(tmp_path)
    (tmp_path / "logs/sub-1_ses-a_acq-3d_FLAIR.json").write_text('{"subject": "sub-1"')
    assert read_record(tmp_path, IMAGE) is None
    (tmp_path / "logs/sub-1_ses-a_acq-3d_FLAIR.json").write_text('{"subject": "sub-1"}')
    assert read_record(tmp_path, IMAGE) is None


def test_finished_is_what_is_done_and_there(tmp_path: Path) -> None:
    assert not DONE.finished(tmp_path)
    touch(tmp_path, "sub-1/a.nii.gz")
    assert DONE.finished(tmp_path)
    assert not DONE.model_copy(update={"status": "failed"}).finished(tmp_path)


def test_how_two_differ_is_said_in_words() -> None:
    assert MADE.unlike(MADE) == ""
    assert (
        MADE.unlike(MadeFrom(input="j", weights="v", blend=True)) == "another input, other weights, --blend"
    )
    assert MadeFrom(input="i", weights="w", blend=True).unlike(MADE) == "no --blend"


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
    assert table["status"].tolist() == ["done", "not tried yet", "failed"]
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
