"""Names of transplanted images in a data set, and the table of its subjects."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.brains import SHAPE, brain, write
from fixtures.cohorts import participants
from pseudohealthy.bids_app.transplanted_dataset import (
    check_place,
    describe,
    drop_without_data,
    participants_with,
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
    write_participants(out, participants_with(out, [alone]))
    assert (out / "participants.tsv").read_text() == "participant_id\tgroup\nsub-01\tpatient\n"
    participants(tmp_path / "study", "participant_id\tsplit", "sub-02\ttraining")
    write_participants(out, participants_with(out, [image]))
    assert (out / "participants.tsv").read_text() == (
        "participant_id\tgroup\tsplit\nsub-01\tpatient\tn/a\nsub-02\tpatient\ttrain\n"
    )


def test_what_a_person_added_to_the_subjects_stays(tmp_path: Path) -> None:
    out, rows = tmp_path / "out", "sub-02\t007\t\tpatient\tval\nsub-x\tNA\t1.50\tcontrol\tn/a\n"
    header = "participant_id\tcode\tage\tgroup\tsplit\n"
    describe(out)
    (out / "participants.tsv").write_text(header + rows)
    write_participants(out, participants_with(out, [Path("sub-02_FLAIR.nii"), Path("sub-01_FLAIR.nii")]))
    added = "sub-01\tn/a\tn/a\tpatient\tn/a\n"
    assert (out / "participants.tsv").read_text() == header + added + rows


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "No columns to parse"),
        (b"name\tgroup\nsub-01\tpatient\n", "no column participant_id"),
        (b"damaged\n", "no column participant_id"),
        (b"participant_id\tgroup\nsub-01\tpatient\tmore\n", "more cells than there are columns"),
        (b"participant_id\tgroup\nsub-01\tpatient\ta\tb\tc\nsub-02\tpatient\n", "cannot be read"),
        (b"participant_id\tgroup\nsub-01\t\xff\n", "can't decode byte 0xff"),
        (b"participant_id\tgroup\nsub-01\tpatient\nsub-01\tpatient\n", "expected one row a subject"),
        (b"participant_id\tgroup\nn/a\tpatient\n", "expected one row a subject"),
    ],
)
def test_a_damaged_table_of_subjects_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "participants.tsv").write_bytes(content)
    with pytest.raises(InputError, match=words) as refused:
        participants_with(tmp_path, [Path("sub-01_FLAIR.nii")])
    assert len(str(refused.value).splitlines()) == 1
    assert (tmp_path / "participants.tsv").read_bytes() == content


def test_subjects_without_data_are_taken_out_again(tmp_path: Path) -> None:
    images = [tmp_path / f"sub-0{n}_FLAIR.nii" for n in (1, 2, 3)]
    outputs = planned(images[:2], tmp_path, 2)
    write_participants(tmp_path, participants_with(tmp_path, images))
    write(outputs[3].paths["image"], brain())
    drop_without_data(tmp_path, outputs)
    table = tmp_path / "participants.tsv"
    assert table.read_text() == "participant_id\tgroup\nsub-02\tpatient\nsub-03\tpatient\n"
    drop_without_data(tmp_path, planned(images[2:], tmp_path, 1))
    outputs[3].paths["image"].unlink()
    drop_without_data(tmp_path, outputs)
    assert not table.exists()


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
    for name, target in (("link", "study/derivatives/made"), ("loop", "loop")):
        (tmp_path / name).symlink_to(tmp_path / target)
    with pytest.raises(InputError, match=r"link: lies inside the data set .*study, where the masks"):
        check_place(tmp_path / "link", bids=bids)
    with pytest.raises(InputError, match=r"made: lies inside the data set .*study, where the masks"):
        check_place(tmp_path / "link" / "made", bids=bids)
    check_place(tmp_path / "loop", bids=False)
