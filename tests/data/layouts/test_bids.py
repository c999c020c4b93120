from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.cohorts import participants, touch
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
    found = bids.read(tmp_path, "here").volumes
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
    assert bids.read(tmp_path, "here").volumes[0].mask == tmp_path / mask


@pytest.mark.parametrize(
    "other",
    [
        "sub-01_space-orig_label-lesion_desc-pseudohealthy_mask.nii.gz",  # this program's own finding
        "sub-01_dseg.nii.gz",
        "sub-01_hemi-L_roi.nii.gz",
        "sub-01_desc-perilesion_mask.nii.gz",
        "sub-01_label-lesion_probseg.nii.gz",
        "sub-01_desc-brain_mask.nii.gz",
        "sub-01_label-lesion_mask.json",
    ],
)
def test_takes_nothing_else_for_a_lesion_mask(tmp_path: Path, other: str) -> None:
    touch(tmp_path, IMAGE, f"derivatives/any/sub-01/anat/{other}")
    assert bids.read(tmp_path, "here").volumes[0].mask is None


@pytest.mark.parametrize("folder", ["derivatives/masks/", ""])
def test_a_folder_of_masks_alone_is_a_library(tmp_path: Path, folder: str) -> None:
    touch(tmp_path, f"{folder}sub-07/anat/sub-07_label-lesion_mask.nii.gz")
    (volume,) = bids.read(tmp_path, "here").volumes
    assert (volume.subject, volume.group, volume.image) == ("07", "library", None)
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
    found = [(v.subject, v.split, v.group) for v in bids.read(tmp_path, "here").volumes]
    assert found == [("1", "test", "control"), ("2", "val", "patient"), ("3", "train", "patient")]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("sub-01/anat/sub-01_run-2_FLAIR.nii.gz", "sub-01 has 2 files for its FLAIR image"),
        ("derivatives/b/sub-01/anat/sub-01_label-L_mask.nii.gz", "sub-01 has 2 files for its lesion mask"),
        (
            "sub-01/anat/sub-02_FLAIR.nii.gz",
            "sub-02_FLAIR.nii.gz named as of sub-02 in the folder of another",
        ),
    ],
)
def test_files_that_contradict_each_other_are_refused(tmp_path: Path, extra: str, message: str) -> None:
    touch(tmp_path, IMAGE, "derivatives/a/sub-01/anat/sub-01_label-lesion_mask.nii.gz", extra)
    with pytest.raises(InputError, match=message):
        bids.read(tmp_path, "here")


def test_a_clean_data_set_has_nothing_to_be_told(tmp_path: Path) -> None:
    touch(tmp_path, *(f"sub-{n}/anat/sub-{n}_FLAIR.nii.gz" for n in "123"))
    touch(tmp_path, *(f"derivatives/a/sub-{n}/anat/sub-{n}_label-lesion_mask.nii.gz" for n in "12"))
    touch(tmp_path, *(f"derivatives/fmriprep/sub-{n}/anat/sub-{n}_desc-brain_mask.nii.gz" for n in "123"))
    touch(tmp_path, *(f"derivatives/fmriprep/sub-{n}/anat/sub-{n}_dseg.nii.gz" for n in "123"))
    touch(tmp_path, "derivatives/own/sub-3/anat/sub-3_label-lesion_desc-pseudohealthy_mask.nii.gz")
    participants(tmp_path, "participant_id\tage\tsplit\tgroup", "sub-1\t30\ttrain\tpatient")
    with (tmp_path / "participants.tsv").open("a") as table:
        table.write("sub-2\t40\tval\tpatient\nsub-3\tn/a\ttest\tcontrol\n")
    found = bids.read(tmp_path, "here")
    assert [(v.subject, v.mask is None) for v in found.volumes] == [("1", False), ("2", False), ("3", True)]
    assert found.notes == ()


def test_subjects_and_sessions_without_flair_are_left_out_and_told(tmp_path: Path) -> None:
    touch(tmp_path, IMAGE, "sub-05/anat/sub-05_T1w.nii.gz", "sub-07/anat/sub-07_flair.nii.gz")
    touch(tmp_path, "sub-02/ses-1/anat/sub-02_ses-1_FLAIR.nii", "sub-02/ses-2/anat/sub-02_ses-2_T1w.nii")
    participants(tmp_path, "participant_id", *(f"sub-{n}" for n in ("01", "02", "05", "06")))
    found = bids.read(tmp_path, "here")
    assert [(v.subject, v.session) for v in found.volumes] == [("01", None), ("02", "1")]
    assert found.notes == (
        "no FLAIR image, left out: sub-02 ses-2, sub-05, sub-06, sub-07",
        "1 file not read that may be FLAIR images: sub-07/anat/sub-07_flair.nii.gz; "
        "expected sub-*/[ses-*/]anat/sub-*_FLAIR.nii[.gz]",
    )


def test_subjects_without_a_split_are_left_out_where_others_have_one(tmp_path: Path) -> None:
    touch(tmp_path, *(f"sub-{n}/anat/sub-{n}_FLAIR.nii.gz" for n in "1234"))
    participants(tmp_path, "participant_id\tsplit", "sub-1\ttrain", "sub-2\tn/a", "sub-4\ttest")
    found = bids.read(tmp_path, "here")
    assert [v.subject for v in found.volumes] == ["1", "4"]
    result = "participants.tsv: no split for sub-2, sub-3, left out; give every subject one, or none"
    assert found.notes == (result,)


def test_a_session_that_only_the_folder_names_is_the_file_s(tmp_path: Path) -> None:
    touch(tmp_path, *(f"sub-01/ses-{n}/anat/sub-01_FLAIR.nii.gz" for n in "12"))
    touch(tmp_path, "derivatives/a/sub-01/ses-2/anat/sub-01_label-lesion_mask.nii.gz")
    found = bids.read(tmp_path, "here").volumes
    assert [(v.subject, v.session, v.mask is not None) for v in found] == [
        ("01", "1", False),
        ("01", "2", True),
    ]


def test_linked_subjects_are_read_and_dead_links_told(tmp_path: Path) -> None:
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    touch(elsewhere, "sub-02/anat/sub-02_FLAIR.nii.gz")
    touch(data, IMAGE)
    (data / "sub-02").symlink_to("../elsewhere/sub-02")
    (data / "sub-03").symlink_to("../gone")
    (data / "derivatives").symlink_to("../gone")
    found = bids.read(data, "here")
    assert [v.subject for v in found.volumes] == ["01", "02"]
    assert found.notes == (
        "no FLAIR image, left out: sub-03",
        "links or folders that cannot be opened: sub-03, derivatives",
    )


def test_a_library_with_other_images_is_told(tmp_path: Path) -> None:
    touch(tmp_path, "sub-07/anat/sub-07_label-lesion_mask.nii.gz", "sub-07/anat/sub-07_T2-flair.nii.gz")
    found = bids.read(tmp_path, "here")
    assert [v.group for v in found.volumes] == ["library"]
    assert found.notes[0] == "no FLAIR image, so 1 mask taken for a lesion-mask library without image"
    assert "may be FLAIR images: sub-07/anat/sub-07_T2-flair.nii.gz" in found.notes[1]


def test_a_broken_description_does_not_matter(tmp_path: Path) -> None:
    touch(tmp_path, IMAGE)
    (tmp_path / "dataset_description.json").write_text("{")
    assert len(bids.read(tmp_path, "here").volumes) == 1


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
    ours = bids.read(tmp_path, "here").volumes
    for kind, found in theirs.items():
        assert {(v.subject, v.session, str(getattr(v, kind))) for v in ours} == found
