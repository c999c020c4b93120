from __future__ import annotations

from pathlib import Path

import pytest

from fixtures.cohorts import isles as make_isles
from fixtures.cohorts import touch
from pseudohealthy.data.layouts import isles
from pseudohealthy.errors import InputError


@pytest.mark.parametrize("root", [".", "SISS2015_Training"])
def test_cases_in_the_order_of_their_numbers(tmp_path: Path, root: str) -> None:
    make_isles(tmp_path / "SISS2015_Training", 11)
    found = isles.read(tmp_path / root, "here").volumes
    assert [v.subject for v in found] == [str(number) for number in range(1, 12)]
    case = tmp_path / "SISS2015_Training" / "10"
    assert found[9].image == case / "VSD.Brain.XX.O.MR_Flair.70610/VSD.Brain.XX.O.MR_Flair.70610.nii"
    assert found[9].mask == case / "VSD.Brain.XX.O.OT.70710/VSD.Brain.XX.O.OT.70710.nii"
    assert {(v.group, v.truth, v.split, v.session) for v in found} == {("patient", None, None, None)}


def test_the_case_that_is_spelt_otherwise_has_its_mask(tmp_path: Path) -> None:
    make_isles(tmp_path, 2)
    mask = isles.read(tmp_path, "here").volumes[1].mask
    assert mask == tmp_path / "2/VSD.Brain_3more.XX.XX.OT.6560/VSD.Brain_3more.XX.XX.OT.6560.nii"


def test_a_case_needs_no_mask(tmp_path: Path) -> None:
    touch(tmp_path, "1/VSD.Brain.XX.O.MR_Flair.7/VSD.Brain.XX.O.MR_Flair.7.nii")
    assert [v.mask for v in isles.read(tmp_path, "here").volumes] == [None]


def test_cases_without_flair_are_left_out_and_told(tmp_path: Path) -> None:
    make_isles(tmp_path, 3)
    for image in tmp_path.glob("1/*MR_Flair*/*.nii"):
        image.unlink()
    for mask in tmp_path.glob("3/*OT*/*.nii"):
        mask.rename(mask.parent.parent / "lesion_by_hand.nii")
    found = isles.read(tmp_path, "here")
    assert [(v.subject, v.mask is None) for v in found.volumes] == [("2", False), ("3", True)]
    assert found.notes == (
        "no FLAIR image, left out: 1; expected VSD.Brain.*.MR_Flair.<id>.nii",
        "1 file not read that may be lesion masks: 3/lesion_by_hand.nii; expected VSD.Brain.*.OT.<id>.nii",
    )


def test_doubled_cases_are_refused(tmp_path: Path) -> None:
    names = ("MR_Flair.8/VSD.Brain.XX.O.MR_Flair.8", "OT.8/VSD.Brain.XX.O.OT.8", "OT.8/VSD.Brain.XX.O.OT.9")
    touch(tmp_path, *(f"2/VSD.Brain.XX.O.{name}.nii" for name in names))
    with pytest.raises(InputError, match="2 has 2 files for its lesion mask"):
        isles.read(tmp_path, "here")


def test_other_folders_are_none_of_its_business(tmp_path: Path) -> None:
    touch(tmp_path, "HGG/A/A_flair.nii.gz", "sub-01/anat/sub-01_FLAIR.nii.gz")
    assert isles.read(tmp_path, "here").volumes == ()
