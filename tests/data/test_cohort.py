from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cohorts import bank, bids, brats, controls, isles, touch
from pseudohealthy.data.cohort import Cohort, CohortVolume, chosen, read_cohort
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


def test_patients_controls_and_a_bank_come_together(tmp_path: Path) -> None:
    folders = [
        bids(tmp_path / "ours", 2, masks=False),
        controls(tmp_path / "healthy", 2),
        bank(tmp_path / "masks", 2),
    ]
    cohort = read_cohort(folders)
    assert cohort.name == "ours+healthy+masks"
    assert [(v.source, v.subject, v.group, v.image is None, v.mask is None) for v in cohort.volumes] == [
        ("ours", "01", "patient", False, True),
        ("ours", "02", "patient", False, True),
        ("healthy", "H01", "control", False, True),
        ("healthy", "H02", "control", False, True),
        ("masks", "B01", "bank", True, False),
        ("masks", "B02", "bank", True, False),
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
    for name, told in {
        "missing": "no such folder",
        "file": "no such folder",
        "empty": "no images or masks found; looked for BIDS: .*; or BraTS: .*; or ISLES 2015: ",
        "other": "no images or masks found",
    }.items():
        with pytest.raises(InputError, match=told) as error:
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


def test_a_chosen_subject_keeps_its_volumes_and_a_bank_stays_whole(tmp_path: Path) -> None:
    for name in ("sub-1/ses-1/anat/sub-1_ses-1", "sub-1/ses-2/anat/sub-1_ses-2", "sub-2/anat/sub-2"):
        touch(tmp_path / "data", f"{name}_FLAIR.nii.gz")
    cohort = read_cohort([tmp_path / "data", bank(tmp_path / "masks", 2)])
    found = {tuple(subjects(chosen(cohort, 1, seed))) for seed in range(8)}
    assert found == {("1", "1", "B01", "B02"), ("2", "B01", "B02")}
    assert chosen(cohort, 2, 0) == cohort


@pytest.mark.parametrize("count", [0, 4])
def test_more_subjects_than_there_are_cannot_be_chosen(count: int) -> None:
    with pytest.raises(InputError, match=rf"HGG: {count} subjects to choose, expected 1 to 3"):
        chosen(hgg(3), count, 0)
