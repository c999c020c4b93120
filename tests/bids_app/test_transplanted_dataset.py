"""Names of transplanted images in a data set, and the table of its subjects."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.brains import SHAPE, brain, write
from fixtures.cohorts import participants
from pseudohealthy.bids_app.transplanted_dataset import (
    check_place,
    describe,
    participants_of,
    planned,
    write_participants,
)
from pseudohealthy.errors import RESEARCH_USE, InputError


@pytest.mark.parametrize(
    ("image", "count", "folders"),
    [
        ("sub-01_FLAIR.nii.gz", 1, ["sub-01/anat/sub-01"]),
        ("scan 7.nii", 1, ["sub-scan7/anat/sub-scan7"]),
        ("sub-01_ses-b_acq-x_FLAIR.nii.gz", 1, ["sub-01/ses-b/anat/sub-01_ses-b"]),
        ("sub-01/ses-3/anat/sub-01_FLAIR.nii.gz", 1, ["sub-01/ses-3/anat/sub-01_ses-3"]),
        (
            "sub-01_FLAIR.nii.gz",
            2,
            ["sub-01/ses-lesion1/anat/sub-01_ses-lesion1", "sub-01/ses-lesion2/anat/sub-01_ses-lesion2"],
        ),
        ("sub-01_ses-b_FLAIR.nii.gz", 1, ["sub-01/ses-b/anat/sub-01_ses-b"]),
    ],
)
def test_names(image: str, count: int, folders: list[str]) -> None:
    outputs = planned([Path("study") / image], Path("out"), count)
    assert [output.number for output in outputs] == list(range(1, count + 1))
    for output, begin in zip(outputs, folders, strict=True):
        assert output.paths == {
            "image": Path(f"out/{begin}_desc-transplanted_FLAIR.nii.gz"),
            "mask": Path(f"out/{begin}_label-lesion_desc-transplanted_mask.nii.gz"),
        }


def test_names_that_cannot_be_told_apart() -> None:
    with pytest.raises(InputError, match="are both of 01_2; expected one image a subject and session"):
        planned([Path("sub-01_ses-2_run-1_FLAIR.nii"), Path("sub-01_ses-2_run-2_FLAIR.nii")], Path(), 1)
    with pytest.raises(InputError, match="no letters or digits in its name"):
        planned([Path("--.nii")], Path(), 1)


@pytest.mark.parametrize("place", [".", "derivatives/healthy"])
def test_subjects_are_added_and_keep_the_split_of_their_own_data_set(tmp_path: Path, place: str) -> None:
    image = write(tmp_path / "study" / place / "sub-02" / "anat" / "sub-02_FLAIR.nii.gz", brain())
    alone = write(tmp_path / "sub-01_FLAIR.nii.gz", brain())
    out = tmp_path / "out"
    describe(out)
    write_participants(out, participants_of([alone]).values())
    assert (out / "participants.tsv").read_text() == "participant_id\tgroup\nsub-01\tpatient\n"
    participants(tmp_path / "study", "participant_id\tsplit", "sub-02\ttraining")
    write_participants(out, participants_of([image]).values())
    assert (out / "participants.tsv").read_text() == (
        "participant_id\tgroup\tsplit\nsub-01\tpatient\tn/a\nsub-02\tpatient\ttrain\n"
    )


def test_a_data_set_is_added_to_and_nothing_else_is(tmp_path: Path) -> None:
    for folder in (tmp_path / "new", tmp_path):
        check_place(folder, bids=True)
    (tmp_path / "made").mkdir()
    describe(tmp_path / "made")
    check_place(tmp_path / "made", bids=True)
    assert RESEARCH_USE in (tmp_path / "made" / "README.md").read_text()
    write(tmp_path / "else" / "sub-01_FLAIR.nii.gz", brain()[: SHAPE[0] // 2])
    check_place(tmp_path / "else", bids=False)
    with pytest.raises(InputError, match="holds something else"):
        check_place(tmp_path / "else", bids=True)


@pytest.mark.parametrize("bids", [True, False])
@pytest.mark.parametrize("session", ["", "ses-1/"])
def test_masks_do_not_come_between_those_of_a_data_set(tmp_path: Path, session: str, bids: bool) -> None:
    write(tmp_path / "study" / f"sub-01/{session}anat/sub-01_FLAIR.nii.gz", brain())
    check_place(tmp_path / "made", bids=bids)
    for inside in ("derivatives/made", "made", "sub-01/anat"):
        with pytest.raises(InputError, match=r"lies inside the data set .*study, where the masks"):
            check_place(tmp_path / "study" / inside, bids=bids)
