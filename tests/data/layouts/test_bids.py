from __future__ import annotations

from pathlib import Path

import pytest

from cohorts import participants, touch
from pseudohealthy.data.layouts import bids
from pseudohealthy.errors import InputError

IMAGE = "sub-01/anat/sub-01_FLAIR.nii.gz"


def test_finds_images_masks_and_truths_of_every_session(tmp_path: Path) -> None:
    touch(
        tmp_path,
        "sub-02/ses-pre/anat/sub-02_ses-pre_FLAIR.nii",
        "sub-02/ses-post/anat/sub-02_ses-post_acq-3D_FLAIR.nii.gz",
        "sub-02/ses-post/anat/sub-02_ses-post_T1w.nii.gz",
        "sub-10/anat/sub-10_FLAIR.nii.gz",
        "sub-9/anat/sub-9_FLAIR.nii.gz",
        "sub-9/anat/sub-9_FLAIR.json",
        "derivatives/rater/sub-02/ses-pre/anat/sub-02_ses-pre_space-orig_label-tumor_mask.nii.gz",
        "derivatives/made/healthy/sub-10/anat/sub-10_desc-healthy_FLAIR.nii.gz",
    )
    found = bids.read(tmp_path, "here")
    assert [(v.subject, v.session) for v in found] == [
        ("02", "post"),
        ("02", "pre"),
        ("9", None),
        ("10", None),
    ]
    post, pre, nine, ten = found
    assert pre.image == tmp_path / "sub-02/ses-pre/anat/sub-02_ses-pre_FLAIR.nii"
    assert pre.mask is not None
    assert pre.mask.name == "sub-02_ses-pre_space-orig_label-tumor_mask.nii.gz"
    assert post.mask is None
    assert nine.truth is None
    assert ten.truth == tmp_path / "derivatives/made/healthy/sub-10/anat/sub-10_desc-healthy_FLAIR.nii.gz"
    assert {(v.group, v.split, v.source, v.folder) for v in found} == {("patient", None, "here", tmp_path)}


@pytest.mark.parametrize("label", ["L", "lesion", "Lesion", "tumor"])
def test_knows_the_labels_of_lesions(tmp_path: Path, label: str) -> None:
    mask = f"derivatives/any/sub-01/anat/sub-01_label-{label}_mask.nii.gz"
    touch(tmp_path, IMAGE, mask, "derivatives/any/sub-01/anat/sub-01_label-GM_mask.nii.gz")
    assert bids.read(tmp_path, "here")[0].mask == tmp_path / mask


@pytest.mark.parametrize(
    "other",
    [
        "sub-01_space-orig_label-lesion_desc-pseudohealthy_mask.nii.gz",  # this program's own finding
        "sub-01_label-lesion_dseg.nii.gz",
        "sub-01_label-lesion_probseg.nii.gz",
        "sub-01_desc-brain_mask.nii.gz",
        "sub-01_label-lesion_mask.json",
    ],
)
def test_takes_nothing_else_for_a_lesion_mask(tmp_path: Path, other: str) -> None:
    touch(tmp_path, IMAGE, f"derivatives/any/sub-01/anat/{other}")
    assert bids.read(tmp_path, "here")[0].mask is None


@pytest.mark.parametrize("folder", ["derivatives/masks/", ""])
def test_a_folder_of_masks_alone_is_a_bank(tmp_path: Path, folder: str) -> None:
    touch(tmp_path, f"{folder}sub-07/anat/sub-07_label-lesion_mask.nii.gz")
    (volume,) = bids.read(tmp_path, "here")
    assert (volume.subject, volume.group, volume.image) == ("07", "bank", None)
    assert volume.mask is not None


def test_participants_say_split_and_group(tmp_path: Path) -> None:
    touch(tmp_path, *(f"sub-{n}/anat/sub-{n}_FLAIR.nii.gz" for n in "123"))
    participants(
        tmp_path,
        "participant_id\tage\tsplit\tgroup",
        "sub-1\t30\ttest\tcontrol",
        "2\t\tval\tn/a",
        "sub-3\t\ttrain",
    )
    found = [(v.subject, v.split, v.group) for v in bids.read(tmp_path, "here")]
    assert found == [("1", "test", "control"), ("2", "val", "patient"), ("3", "train", "patient")]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["participant_id\tsplit", "sub-1\ttrain", "sub-2\tn/a"], "no split for sub-2"),
        (["participant_id\tsplit", "sub-1\ttrain"], "no split for sub-2"),
        (["participant_id\tgroup", "sub-1\tstroke"], "group 'stroke' of sub-1"),
        (["participant_id\tsplit", "sub-1\tdev", "sub-2\ttest"], "split 'dev' of sub-1"),
        (["participant_id", "sub-1", "sub-2", "sub-3", "sub-11"], "no file found for sub-3, sub-11"),
        (["participant_id", "sub-1", "sub-1"], "several for sub-1"),
        (["name", "sub-1", "sub-2"], "participant_id"),
        (["participant_id,split", "sub-1,train"], "tab-separated"),
    ],
)
def test_participants_that_do_not_fit_are_refused(tmp_path: Path, lines: list[str], told: str) -> None:
    touch(tmp_path, "sub-1/anat/sub-1_FLAIR.nii.gz", "sub-2/anat/sub-2_FLAIR.nii.gz")
    table = participants(tmp_path, *lines)
    with pytest.raises(InputError, match=told) as error:
        bids.read(tmp_path, "here")
    assert str(table) in str(error.value)


def test_a_table_that_is_no_text_is_refused(tmp_path: Path) -> None:
    touch(tmp_path, IMAGE, "participants.tsv")
    (tmp_path / "participants.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read as a table"):
        bids.read(tmp_path, "here")


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ("sub-01/anat/sub-01_run-2_FLAIR.nii.gz", "sub-01 has 2 files for its FLAIR image"),
        ("derivatives/b/sub-01/anat/sub-01_label-L_mask.nii.gz", "sub-01 has 2 files for its lesion mask"),
        (
            "derivatives/b/sub-02/anat/sub-02_label-L_mask.nii.gz",
            "no FLAIR image .* masks derivatives/b/sub-02",
        ),
        ("derivatives/b/sub-01/ses-1/anat/sub-01_ses-1_label-L_mask.nii", "no FLAIR image .* masks"),
    ],
)
def test_files_that_contradict_each_other_are_refused(tmp_path: Path, extra: str, told: str) -> None:
    touch(tmp_path, IMAGE, "derivatives/a/sub-01/anat/sub-01_label-lesion_mask.nii.gz", extra)
    with pytest.raises(InputError, match=told):
        bids.read(tmp_path, "here")


def test_a_broken_description_does_not_matter(tmp_path: Path) -> None:
    touch(tmp_path, IMAGE)
    (tmp_path / "dataset_description.json").write_text("{")
    assert len(bids.read(tmp_path, "here")) == 1


def test_agrees_with_ancpbids(tmp_path: Path) -> None:
    import ancpbids

    touch(
        tmp_path,
        IMAGE,
        "sub-02/ses-1/anat/sub-02_ses-1_acq-x_FLAIR.nii",
        "derivatives/a/sub-01/anat/sub-01_label-lesion_mask.nii.gz",
        "derivatives/b/c/sub-02/ses-1/anat/sub-02_ses-1_space-orig_label-L_mask.nii.gz",
    )
    layout = ancpbids.BIDSLayout(str(tmp_path))
    theirs = {
        kind: {(file.entities["sub"], file.entities.get("ses"), file.get_absolute_path()) for file in files}
        for kind, files in {
            "image": layout.get(suffix="FLAIR", scope="raw"),
            "mask": layout.get(suffix="mask", scope="derivatives", label=["lesion", "L"]),
        }.items()
    }
    ours = bids.read(tmp_path, "here")
    for kind, found in theirs.items():
        assert {(v.subject, v.session, str(getattr(v, kind))) for v in ours} == found
