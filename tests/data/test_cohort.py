from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest

from fixtures.cohorts import bids, brats, controls, isles, library, participants, touch
from pseudohealthy.data.cohort import Cohort, CohortVolume, Layout, chosen, read_cohort
from pseudohealthy.data.layouts import READERS
from pseudohealthy.errors import InputError


@pytest.mark.parametrize(("make", "layout"), [(bids, "bids"), (brats, "brats"), (isles, "isles")])
def test_auto_recognises_each_layout(tmp_path: Path, make: Any, layout: Any) -> None:
    make(tmp_path / "set", 3)
    found = read_cohort([tmp_path / "set"])
    assert found == read_cohort([tmp_path / "set"], layout)
    assert found.name == "set"
    assert len(found.volumes) == 3
    assert all(v.image and v.image.exists() and v.mask and v.mask.exists() for v in found.volumes)


def test_a_layout_that_was_asked_for_is_the_only_one_looked_for(tmp_path: Path) -> None:
    bids(tmp_path / "set", 1)
    with pytest.raises(InputError, match="looked for BraTS") as error:
        read_cohort([tmp_path / "set"], "brats")
    assert "BIDS" not in str(error.value)


def test_patients_controls_and_a_library_come_together(tmp_path: Path) -> None:
    folders = [
        bids(tmp_path / "ours", 2, masks=False),
        controls(tmp_path / "healthy", 2),
        library(tmp_path / "masks", 2),
    ]
    cohort = read_cohort(folders)
    assert cohort.name == "ours+healthy+masks"
    assert [(v.source, v.subject, v.group, v.image is None, v.mask is None) for v in cohort.volumes] == [
        ("ours", "01", "patient", False, True),
        ("ours", "02", "patient", False, True),
        ("healthy", "H01", "control", False, True),
        ("healthy", "H02", "control", False, True),
        ("masks", "B01", "library", True, False),
        ("masks", "B02", "library", True, False),
    ]


def test_subjects_of_one_name_are_told_apart_by_their_source(tmp_path: Path) -> None:
    cohort = read_cohort([bids(tmp_path / "a", 2), bids(tmp_path / "b", 2, first=2)])
    assert [v.subject for v in cohort.volumes] == ["01", "a-02", "b-02", "03"]


def test_sources_of_one_name_are_refused(tmp_path: Path) -> None:
    folders = [bids(tmp_path / "a/set", 1), bids(tmp_path / "b/set", 1)]
    with pytest.raises(InputError, match="several data sets are called set"):
        read_cohort(folders)


def test_numbers_used_twice_inside_a_folder_are_refused(tmp_path: Path) -> None:
    isles(tmp_path / "ISLES/SISS2015_Training", 1)
    isles(tmp_path / "ISLES/SISS2015_Testing", 1)
    with pytest.raises(InputError, match="several volumes of 1; give the folders inside one by one"):
        read_cohort([tmp_path / "ISLES"])
    both = read_cohort([tmp_path / "ISLES/SISS2015_Training", tmp_path / "ISLES/SISS2015_Testing"])
    assert [v.subject for v in both.volumes] == ["SISS2015_Training-1", "SISS2015_Testing-1"]


def test_a_folder_that_is_none_is_refused_in_one_line(tmp_path: Path) -> None:
    touch(tmp_path, "file", "other/scan.nii.gz")
    (tmp_path / "empty").mkdir()
    for name, result in {
        "missing": "no such folder",
        "file": "no such folder",
        "empty": "no images or masks found; looked for BIDS: .*; or BraTS: .*; or ISLES 2015: ",
        "other": "no images or masks found",
    }.items():
        with pytest.raises(InputError, match=result) as error:
            read_cohort([tmp_path / name])
        assert str(error.value).startswith(str(tmp_path / name))
        assert "\n" not in str(error.value)


def test_an_unknown_layout_and_no_folder_are_refused(tmp_path: Path) -> None:
    unknown: Any = "dicom"
    with pytest.raises(InputError, match="layout 'dicom' is not known; expected auto, bids, brats, isles"):
        read_cohort([tmp_path], unknown)
    with pytest.raises(InputError, match="no folder of data given"):
        read_cohort([])


@pytest.mark.real_data
def test_the_real_cohort(real_data: Path) -> None:
    volumes = read_cohort([real_data / "lgg"]).volumes
    splits = [v.split for v in volumes]
    assert {split: splits.count(split) for split in splits} == {"train": 68, "val": 12, "test": 30}
    assert all(v.mask for v in volumes)
    assert len(read_cohort([real_data / "volumes" / "brats2018"]).volumes) == 3


def subjects(cohort: Cohort) -> list[str]:
    return [volume.subject for volume in cohort.volumes]


def hgg(count: int) -> Cohort:
    """The HGG cases of BraTS 2018 by their names."""
    names = [f"Brats18_TCIA_{number}_1" for number in range(count)]
    flair = Path("flair.nii.gz")
    return Cohort(
        "HGG", tuple(CohortVolume(n, "patient", flair, None, None, None, "HGG", None, Path()) for n in names)
    )


def test_of_210_subjects_79_are_chosen_by_the_seed_alone() -> None:
    every = hgg(210)
    first = chosen(every, 79, seed=0)
    assert len(set(subjects(first))) == 79
    backwards = chosen(Cohort("HGG", every.volumes[::-1]), 79, seed=0)
    assert subjects(backwards) == subjects(first)[::-1]
    assert subjects(first) == [name for name in subjects(every) if name in subjects(first)]
    others = set(subjects(chosen(every, 79, seed=1)))
    assert 15 < len(others & set(subjects(first))) < 45  # by chance 79 * 79 / 210 = 30
    assert first.name == "HGG"


def test_a_chosen_subject_keeps_its_volumes_and_a_library_stays_whole(tmp_path: Path) -> None:
    for name in ("sub-1/ses-1/anat/sub-1_ses-1", "sub-1/ses-2/anat/sub-1_ses-2", "sub-2/anat/sub-2"):
        touch(tmp_path / "data", f"{name}_FLAIR.nii.gz")
    cohort = read_cohort([tmp_path / "data", library(tmp_path / "masks", 2)])
    found = {tuple(subjects(chosen(cohort, 1, seed))) for seed in range(8)}
    assert found == {("1", "1", "B01", "B02"), ("2", "B01", "B02")}
    assert chosen(cohort, 2, 0) == cohort


@pytest.mark.parametrize("count", [0, 4])
def test_more_subjects_than_there_are_cannot_be_chosen(count: int) -> None:
    with pytest.raises(InputError, match=rf"HGG: {count} subjects to choose, expected 1 to 3"):
        chosen(hgg(3), count, 0)


def test_notes_bear_the_name_of_their_data_set(tmp_path: Path) -> None:
    folders = [bids(tmp_path / "a", 2), bids(tmp_path / "b", 2, first=3)]
    (folders[1] / "sub-09").mkdir()
    assert read_cohort(folders).notes == ("b: no FLAIR image, left out: sub-09",)
    assert chosen(read_cohort(folders), 1, 0).notes == ("b: no FLAIR image, left out: sub-09",)


def unfetched(path: Path) -> None:
    """Put a link to nothing in the file's place, as git-annex does before the content is fetched."""
    path.unlink()
    path.symlink_to(f"../.git/annex/objects/{path.name}")


@pytest.mark.parametrize("make", [bids, brats, isles])
@pytest.mark.parametrize("which", ["image", "mask"])
def test_volumes_whose_files_were_not_fetched_are_left_out(tmp_path: Path, make: Any, which: str) -> None:
    before = read_cohort([make(tmp_path / "set", 3)])
    absent = getattr(before.volumes[1], which)
    unfetched(absent)
    cohort = read_cohort([tmp_path / "set"])
    assert cohort.volumes == before.volumes[::2]
    assert cohort.notes == (
        f"set: 1 volume whose files are links without content: {absent.relative_to(tmp_path / 'set')}; "
        "left out; fetch them (datalad get, git annex get)",
    )


def test_a_cohort_of_which_nothing_was_fetched_is_refused(tmp_path: Path) -> None:
    for volume in read_cohort([bids(tmp_path / "set", 3)]).volumes:
        assert volume.image
        unfetched(volume.image)
    with pytest.raises(InputError, match="every volume has files that are links without content; fetch them"):
        read_cohort([tmp_path / "set"])


def test_masks_given_as_a_folder_of_their_own_are_told_of(tmp_path: Path) -> None:
    study = bids(tmp_path / "study", 2)
    (study / "derivatives/lesions").rename(tmp_path / "lesions")
    cohort = read_cohort([study, tmp_path / "lesions"])
    assert [v.group for v in cohort.volumes] == ["patient", "patient", "library", "library"]
    assert cohort.notes == (
        "lesions: masks without image, taken for a library; 2 named as patients of study who have none: to "
        "use them so, put them into study/derivatives",
    )
    assert read_cohort([study, library(tmp_path / "masks", 2)]).notes == ()


def test_words_for_controls_hold_for_all_folders_and_are_to_be_found(tmp_path: Path) -> None:
    one, two = bids(tmp_path / "one", 2), controls(tmp_path / "two", 2)
    participants(one, "participant_id\tgroup", "sub-01\t1", "sub-02\t0")
    cohort = read_cohort([one, two], controls=["0", "Control"])
    assert [v.group for v in cohort.volumes] == ["patient", "control", "control", "control"]
    with pytest.raises(InputError, match="--controls: no group is called HCC; found 1, 0, control"):
        read_cohort([one, two], controls=["0", "HCC"])
    with pytest.raises(InputError, match="--controls: no group is called HC; found no column group"):
        read_cohort([brats(tmp_path / "three", 1)], controls=["HC"])


def test_images_that_are_named_otherwise_are_told_where_none_is_found(tmp_path: Path) -> None:
    touch(tmp_path / "set", *(f"sub-0{n}/anat/sub-0{n}_flair.nii.gz" for n in range(1, 8)))
    with pytest.raises(
        InputError, match=r"7 files not read that may be FLAIR images: sub-01/anat/.* and 2 more"
    ):
        read_cohort([tmp_path / "set"])


def test_masks_of_the_images_are_no_library_as_well(tmp_path: Path) -> None:
    study = bids(tmp_path / "study", 2)
    library(study / "derivatives", 1)
    cohort = read_cohort([study, study / "derivatives/lesions"])
    assert [(v.subject, v.group) for v in cohort.volumes] == [("01", "patient"), ("02", "patient")]
    assert cohort.notes[-1] == "lesions: 2 masks that belong to images of the cohort left out of the library"


def test_a_folder_of_derivatives_alone_is_told_what_it_holds(tmp_path: Path) -> None:
    study = bids(tmp_path / "study", 2)
    with pytest.raises(InputError, match="2 files not read that may be lesion masks: lesions/sub-01/anat/"):
        read_cohort([study, study / "derivatives"])


def test_names_that_are_not_utf_8_are_text_in_tables(tmp_path: Path) -> None:
    touch(tmp_path, "t\udcea/sub-0\udcea/ses-\udcea/anat/sub-0\udcea_ses-\udcea_FLAIR.nii")
    (volume,) = read_cohort([tmp_path / "t\udcea"]).volumes
    assert (volume.subject, volume.session, volume.source) == (r"0\xea", r"\xea", r"t\xea")
    assert volume.image
    assert volume.image.exists()


def test_every_layout_that_can_be_named_has_a_reader() -> None:
    assert get_args(Layout) == ("auto", *READERS)
