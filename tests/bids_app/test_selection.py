"""Who is asked for: labels, sessions, parts; and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.cohorts import touch
from pseudohealthy.bids_app.selection import Shard, Subject, mask_of, select, session
from pseudohealthy.errors import InputError


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """sub-1: two sessions, two acquisitions in one of them; sub-2: one; sub-10: none; sub-X: no FLAIR."""
    return touch(
        tmp_path,
        "sub-1/ses-a/anat/sub-1_ses-a_acq-3d_FLAIR.nii.gz",
        "sub-1/ses-a/anat/sub-1_ses-a_run-2_FLAIR.nii",
        "sub-1/ses-b/anat/sub-1_ses-b_FLAIR.nii.gz",
        "sub-2/ses-a/anat/sub-2_ses-a_FLAIR.nii.gz",
        "sub-10/anat/sub-10_FLAIR.nii.gz",
        "sub-X/anat/sub-X_T1w.nii.gz",
        "derivatives/other/sub-1/anat/sub-1_desc-other_FLAIR.nii.gz",
    )


def labels(subjects: list[Subject]) -> list[str]:
    return [subject.label for subject in subjects]


def test_every_flair_image_of_every_subject_in_natural_order(study: Path) -> None:
    found = select(study)
    assert labels(found) == ["sub-1", "sub-2", "sub-10", "sub-X"]
    assert found[0].images == (
        "sub-1/ses-a/anat/sub-1_ses-a_acq-3d_FLAIR.nii.gz",
        "sub-1/ses-a/anat/sub-1_ses-a_run-2_FLAIR.nii",
        "sub-1/ses-b/anat/sub-1_ses-b_FLAIR.nii.gz",
    )
    assert found[2].images == ("sub-10/anat/sub-10_FLAIR.nii.gz",)
    assert found[3].images == ()
    assert [session(image) for image in (*found[0].images, *found[2].images)] == [
        "ses-a",
        "ses-a",
        "ses-b",
        None,
    ]


def test_labels_with_and_without_their_prefix(study: Path) -> None:
    assert labels(select(study, ["sub-10", "1"])) == ["sub-1", "sub-10"]


def test_a_session_leaves_out_those_who_have_not_got_it(study: Path) -> None:
    (only,) = select(study, sessions=["b"])
    assert only == Subject("sub-1", ("sub-1/ses-b/anat/sub-1_ses-b_FLAIR.nii.gz",))
    assert labels(select(study, sessions=["ses-a", "b"])) == ["sub-1", "sub-2"]


def test_a_session_without_flair_is_somebody_who_has_none(study: Path) -> None:
    touch(study, "sub-3/ses-b/anat/sub-3_ses-b_T1w.nii.gz")
    assert select(study, sessions=["b"])[1] == Subject("sub-3", ())


def test_somebody_asked_for_who_has_no_flair_is_there_beside_one_who_has(study: Path) -> None:
    assert select(study, ["X", "10"])[1] == Subject("sub-X", ())
    assert select(study, ["X", "10"], shard=Shard(2, 2)) == [Subject("sub-X", ())]
    with pytest.raises(InputError, match=r"no FLAIR image there of sub-X; expected sub-\*"):
        select(study, ["X"])
    touch(study, "sub-3/ses-c/anat/sub-3_ses-c_T1w.nii.gz")
    with pytest.raises(InputError, match="no FLAIR image there of sub-3; "):
        select(study, sessions=["c"])


@pytest.mark.parametrize("extra", ["", "_FLAIR", "_space-orig"])
def test_a_mask_is_named_after_its_image(tmp_path: Path, extra: str) -> None:
    images = {"sub-1_acq-1.5T": "sub-1_acq-1.5T", "sub-1_acq-1": "sub-1_acq-1", "sub-1_desc-a": "sub-1"}
    for stem in images.values():
        touch(tmp_path, f"sub-1/anat/{stem}{extra}_desc-brain_mask.nii.gz")
    for stem, mask in images.items():
        found = mask_of("brain", tmp_path, f"sub-1/anat/{stem}_FLAIR.nii.gz")
        assert found == tmp_path / f"sub-1/anat/{mask}{extra}_desc-brain_mask.nii.gz"


def test_no_lesion_mask_is_told_with_the_file_that_was_expected(tmp_path: Path) -> None:
    said = (
        "sub-1/anat/sub-1_FLAIR.nii.gz: no lesion mask in .*; expected one "
        "sub-1_label-lesion_mask.nii.gz, empty where there is no lesion$"
    )
    with pytest.raises(InputError, match=said):
        mask_of("lesion", tmp_path, "sub-1/anat/sub-1_FLAIR.nii.gz")


def test_the_parts_of_a_data_set_are_the_whole(study: Path) -> None:
    for count in (1, 2, 3, 7):
        parts = [labels(select(study, shard=Shard(index, count))) for index in range(1, count + 1)]
        assert sorted(label for part in parts for label in part) == sorted(labels(select(study)))
    assert labels(select(study, ["1", "2", "10"], shard=Shard(2, 2))) == ["sub-2"]


def test_a_part_is_written_as_a_fraction() -> None:
    assert Shard.of("3/10") == Shard(3, 10)
    for text in ("0/3", "4/3", "3", "a/b", "1/0", "-1/3", "1/3/5", "", f"1/{'9' * 5000}"):
        with pytest.raises(InputError, match=f"--shard {text}: expected I/N"):
            Shard.of(text)


def test_what_is_not_there_is_refused_with_what_is(study: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"has no sub-3, sub-11; expected some of sub-1, sub-2, sub-10, sub-X$"
    ):
        select(study, ["3", "11", "1"])
    with pytest.raises(InputError, match="has no sub-x; "):
        select(study, ["x"])
    with pytest.raises(InputError, match=r"--session-label: .* has no ses-c; expected some of ses-a, ses-b$"):
        select(study, sessions=["c"])
    with pytest.raises(InputError, match=r"has no ses-c; expected some of its ses-\*, and it has none"):
        select(study, ["10"], ["c"])
    with pytest.raises(InputError, match="none: no such folder"):
        select(tmp_path / "none")
    with pytest.raises(InputError, match=r"no folder sub-\* there"):
        select(study / "derivatives")
    with pytest.raises(InputError, match="no FLAIR image there"):
        select(touch(tmp_path / "T1", "sub-1/anat/sub-1_T1w.nii.gz"))
