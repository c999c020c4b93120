from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.cohorts import touch
from pseudohealthy.data.layouts import brats
from pseudohealthy.errors import InputError

TOP = "MICCAI_BraTS_2018_Data_Training"


def case(folder: str, name: str, *endings: str) -> list[str]:
    return [f"{folder}/{name}/{name}{ending}" for ending in endings]


@pytest.mark.parametrize("root", [".", TOP, f"{TOP}/HGG"])
def test_2018_from_any_of_its_folders(tmp_path: Path, root: str) -> None:
    high = case(
        f"{TOP}/HGG", "Brats18_CBICA_AAB_1", "_flair.nii.gz", "_t1.nii.gz", "_t2.nii.gz", "_seg.nii.gz"
    )
    low = case(f"{TOP}/LGG", "Brats18_TCIA09_177_1", "_flair.nii.gz", "_t1ce.nii.gz", "_seg.nii.gz")
    touch(tmp_path, *high, *low)
    found = brats.read(tmp_path / root, "here").volumes
    expected = [high] if root.endswith("HGG") else [high, low]
    assert [(v.image, v.mask) for v in found] == [
        (tmp_path / files[0], tmp_path / files[-1]) for files in expected
    ]
    assert found[0].subject == "Brats18_CBICA_AAB_1"
    assert {(v.group, v.truth, v.split, v.session) for v in found} == {("patient", None, None, None)}


def test_2020_with_the_case_that_is_spelt_otherwise(tmp_path: Path) -> None:
    names = case(".", "BraTS20_Training_001", "_flair.nii.gz", "_seg.nii.gz")
    odd = [*case(".", "BraTS20_Training_355", "_flair.nii"), "BraTS20_Training_355/W39_1998.09.19_Segm.nii"]
    touch(tmp_path, *names, *odd)
    assert [v.mask for v in brats.read(tmp_path, "here").volumes] == [tmp_path / names[1], tmp_path / odd[1]]


def test_2023_keeps_the_time_points_of_a_patient_together(tmp_path: Path) -> None:
    for name in ("BraTS-GLI-00002-000", "BraTS-GLI-00002-001", "BraTS-GLI-00010-000"):
        touch(tmp_path, *case("Train", name, "-t1c.nii.gz", "-t2f.nii.gz", "-seg.nii.gz"))
    found = brats.read(tmp_path, "here").volumes
    assert [(v.subject, v.session) for v in found] == [
        ("BraTS-GLI-00002", "000"),
        ("BraTS-GLI-00002", "001"),
        ("BraTS-GLI-00010", "000"),
    ]
    assert found[1].image == tmp_path / "Train/BraTS-GLI-00002-001/BraTS-GLI-00002-001-t2f.nii.gz"
    assert found[1].mask == tmp_path / "Train/BraTS-GLI-00002-001/BraTS-GLI-00002-001-seg.nii.gz"


def test_a_case_needs_no_segmentation(tmp_path: Path) -> None:
    touch(tmp_path, *case("HGG", "Brats18_A_1", "_flair.nii.gz"), "HGG/Brats18_A_1/._Brats18_A_1_seg.nii.gz")
    assert [v.mask for v in brats.read(tmp_path, "here").volumes] == [None]


def test_cases_without_flair_are_left_out_and_told(tmp_path: Path) -> None:
    touch(tmp_path, *case("HGG", "A", "_flair.nii.gz"), *case("HGG", "B", "_seg.nii.gz", "_t1.nii.gz"))
    touch(tmp_path, *case("HGG", "C", "_FLAIR.nii.gz", "_tumour.nii.gz"), *case("LGG", "D", "_t1.nii.gz"))
    found = brats.read(tmp_path, "here")
    assert [(v.subject, v.mask) for v in found.volumes] == [("A", None), ("C", None)]
    assert found.notes == (
        "no FLAIR image, left out: HGG/B, LGG/D; expected <case>_flair.nii.gz or <case>-t2f.nii.gz",
        "1 file not read that may be lesion masks: HGG/C/C_tumour.nii.gz; expected <case>_seg.nii.gz",
    )


def test_doubled_cases_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, *case("HGG", "B", "_flair.nii.gz", "_flair.nii"))
    with pytest.raises(InputError, match="HGG/B has 2 files for its FLAIR image"):
        brats.read(tmp_path, "here")


def test_other_folders_are_none_of_its_business(tmp_path: Path) -> None:
    touch(tmp_path, "sub-01/anat/sub-01_FLAIR.nii.gz", "scans/flair.nii.gz", "scans/scans_seg.nii.gz")
    assert brats.read(tmp_path, "here").volumes == ()
