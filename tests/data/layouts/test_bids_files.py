from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fixtures.cohorts import touch
from pseudohealthy.data.layouts import DataSet, bids, bids_files
from pseudohealthy.data.layouts.bids_files import Kind, fits, key_of, kind_of, named, owner_of

IMAGE = "sub-01/anat/sub-01_FLAIR.nii.gz"
STRICT = "derivatives/a/sub-01/anat/sub-01_label-lesion_mask.nii.gz"
HERE = Path("data")


def read(folder: Path, *names: str) -> DataSet:
    """What is found where these files are."""
    return bids.read(touch(folder, *names), "here")


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("sub-01/anat/sub-01_FLAIR.nii.gz", ("01", None)),
        ("sub-01/ses-2/anat/sub-01_ses-2_run-1_FLAIR.nii", ("01", "2")),
        ("sub-01/ses-2/anat/sub-01_FLAIR.nii", ("01", "2")),
        ("derivatives/a/sub-01/ses-2/sub-01_label-L_mask.nii", ("01", "2")),
        ("ses-9/derivatives/a/b/sub-01_label-L_mask.nii", ("01", None)),
    ],
)
def test_whose_a_file_is(path: str, key: tuple[str, str | None]) -> None:
    assert key_of(HERE / path) == key
    assert named(key) == "sub-01" + (" ses-2" if key[1] else "")


@pytest.mark.parametrize(
    ("path", "fitting", "owner"),
    [
        ("sub-01/anat/sub-01_FLAIR.nii.gz", True, "01"),
        ("sub-01/ses-2/anat/sub-01_ses-2_acq-3D_FLAIR.nii", True, "01"),
        ("sub-01/anat/sub-01_flair.nii.gz", False, "01"),
        ("sub-01/sub-01_FLAIR.nii.gz", False, "01"),
        ("derivatives/sub-01/anat/sub-01_FLAIR.nii.gz", False, None),
        ("sub-01/anat/sub-01_FLAIR.json", False, "01"),
    ],
)
def test_where_images_are_looked_for(path: str, fitting: bool, owner: str | None) -> None:
    assert fits(bids_files.IMAGE, HERE / path, HERE) == fitting
    assert owner_of(HERE / path, HERE) == owner


@pytest.mark.parametrize(
    "name",
    [
        *("label-lesion_roi", "label-L_roi", "label-tumour_mask", "label-TUMOR_mask", "label-LESION_mask"),
        *("desc-lesion_mask", "desc-Lesion_roi", "label-lesion_dseg", "label-lesion_seg", "desc-lesion_dseg"),
        *(
            "lesion_mask",
            "FLAIR_lesion_mask",
            "lesion",
            "lesions",
            "space-orig_lesion",
            "tumor_seg",
            "lesionmask",
        ),
    ],
)
@pytest.mark.parametrize("place", ["sub-01/anat", "derivatives/any/sub-01/anat", "derivatives"])
def test_other_names_that_say_lesion_and_mask_are_read_and_told(
    tmp_path: Path, place: str, name: str
) -> None:
    mask = f"{place}/sub-01_{name}.nii.gz"
    found = read(tmp_path, IMAGE, mask)
    assert found.volumes[0].mask == tmp_path / mask
    assert found.notes == (f"1 file read as lesion masks by name and place: {mask}",)


def test_the_name_of_bids_goes_first(tmp_path: Path) -> None:
    found = read(tmp_path, IMAGE, STRICT, "sub-01/anat/sub-01_label-lesion_roi.nii.gz")
    assert found.volumes[0].mask == tmp_path / STRICT
    assert found.notes == ()


def test_hyperintensities_are_lesions_where_nothing_else_is(tmp_path: Path) -> None:
    second = "sub-02/anat/sub-02_FLAIR.nii.gz"
    masks = [f"derivatives/w/sub-{n}/anat/sub-{n}_label-WMH_mask.nii.gz" for n in ("01", "02")]
    found = read(tmp_path, IMAGE, second, *masks)
    assert [v.mask for v in found.volumes] == [tmp_path / mask for mask in masks]
    assert found.notes == (f"2 files read as lesion masks by name and place: {', '.join(masks)}",)
    found = read(tmp_path, STRICT)
    assert [v.mask for v in found.volumes] == [tmp_path / STRICT, None]
    assert "2 files not read that may be lesion masks: derivatives/w/sub-01" in found.notes[0]


@pytest.mark.parametrize(
    "name",
    [
        "derivatives/m/sub-01/anat/sub-01_mask.nii.gz",
        "derivatives/m/sub-01/anat/sub-01_label-lesion_probseg.nii.gz",
        "derivatives/m/sub-01/anat/sub-01_roi.nii",
        "derivatives/m/sub-01/anat/sub-01_desc-manual_mask.nii.gz",
        "derivatives/m/sub-01/anat/sub-01_msk.nii.gz",
        "derivatives/lesions/sub-01/anat/sub-01_dseg.nii.gz",
        "derivatives/m/sub-01/anat/lesion.nii.gz",
        "derivatives/m/sub-01/anat/sub-01_label-lesion_mask.nrrd",
        "masks/sub-01_label-lesion_mask.nii.gz",
        "Derivatives/a/sub-01/anat/sub-01_label-lesion_mask.nii.gz",
        "sub-01_lesion_mask.nii.gz",
    ],
)
def test_what_may_be_a_mask_is_told_where_a_patient_has_none(tmp_path: Path, name: str) -> None:
    found = read(tmp_path, IMAGE, name)
    assert found.volumes[0].mask is None
    assert found.notes == (
        f"1 file not read that may be lesion masks: {name}; expected sub-*_label-lesion_mask.nii.gz under "
        "derivatives/ or in the subject's folder",
    )
    assert read(tmp_path, STRICT).notes == ()


@pytest.mark.parametrize(
    "name",
    [
        "derivatives/f/sub-01/anat/sub-01_desc-brain_mask.nii.gz",
        "derivatives/f/sub-01/anat/sub-01_label-GM_probseg.nii.gz",
        "derivatives/f/sub-01/anat/sub-01_desc-aseg_dseg.nii.gz",
        "derivatives/f/sub-01/mri/brainmask.mgz",
        "derivatives/f/sub-01/anat/sub-01_desc-lesionfilled_T1w.nii.gz",
        "derivatives/p/sub-01/anat/sub-01_label-lesion_desc-pseudohealthy_probseg.nii.gz",
        "derivatives/p/sub-01/anat/sub-01_desc-pseudohealthy_FLAIR.nii.gz",
    ],
)
def test_masks_of_other_things_are_passed_over(tmp_path: Path, name: str) -> None:
    assert kind_of(Path(name)) == Kind.OTHER
    assert read(tmp_path, IMAGE, name).notes == ()


def test_masks_without_their_image_are_left_out_and_told(tmp_path: Path) -> None:
    orphans = [
        "derivatives/a/sub-01/ses-1/anat/sub-01_ses-1_label-L_mask.nii",
        "derivatives/b/sub-02/anat/sub-02_label-L_mask.nii.gz",
    ]
    found = read(tmp_path, IMAGE, STRICT, *orphans)
    assert [v.mask for v in found.volumes] == [tmp_path / STRICT]
    whose = "no FLAIR image of the same subject and session for the masks"
    assert found.notes == (f"{whose} {', '.join(orphans)}; left out",)


def test_a_mask_without_session_is_that_of_the_only_one(tmp_path: Path) -> None:
    images = [
        f"sub-{s}/ses-{n}/anat/sub-{s}_ses-{n}_FLAIR.nii.gz" for s, n in (("01", 1), ("02", 1), ("02", 2))
    ]
    masks = [f"derivatives/a/sub-{s}/anat/sub-{s}_label-lesion_mask.nii.gz" for s in ("01", "02")]
    found = read(tmp_path, *images, *masks)
    assert [v.mask for v in found.volumes] == [tmp_path / masks[0], None, None]
    assert found.notes == (
        "masks without session taken for that of sub-01 ses-1",
        f"no FLAIR image of the same subject and session for the masks {masks[1]}; left out",
    )


@pytest.mark.parametrize("linked", ["derivatives", "derivatives/lesions", "derivatives/lesions/sub-01"])
def test_links_to_folders_of_masks_are_followed(tmp_path: Path, linked: str) -> None:
    mask = "derivatives/lesions/sub-01/anat/sub-01_label-lesion_mask.nii.gz"
    data = touch(tmp_path / "data", IMAGE, mask)
    (data / linked).rename(tmp_path / "elsewhere")
    (data / linked).symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    found = bids.read(data, "here")
    assert [v.mask for v in found.volumes] == [data / mask]
    assert found.notes == ()


def test_derivatives_beside_the_raw_data(tmp_path: Path) -> None:
    raw = touch(tmp_path / "study/rawdata", IMAGE)
    touch(tmp_path / "study", STRICT)
    found = bids.read(raw, "here")
    assert found.volumes[0].mask == (tmp_path / "study" / STRICT).resolve()
    assert found.notes == (f"1 file read as lesion masks by name and place: ../{STRICT}",)
    touch(tmp_path / "study/controls", IMAGE)
    found = bids.read(raw, "here")
    assert found.volumes[0].mask is None
    assert found.notes == (
        f"1 lesion mask beside the data set not read: ../{STRICT}; other data sets lie there too (controls): "
        "move or link them into rawdata/derivatives",
    )
    shutil.copytree(tmp_path / "study/derivatives", raw / "derivatives")
    found = bids.read(raw, "here")
    assert found.volumes[0].mask == raw / STRICT
    assert found.notes == ()


def test_controls_need_no_mask(tmp_path: Path) -> None:
    touch(tmp_path, "participants.tsv")
    (tmp_path / "participants.tsv").write_text("participant_id\tgroup\nsub-01\tcontrol\n")
    assert read(tmp_path, IMAGE, "derivatives/m/sub-01/anat/sub-01_mask.nii.gz").notes == ()
