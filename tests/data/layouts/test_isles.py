from __future__ import annotations

from pathlib import Path

import pytest

from cohorts import isles as make_isles
from cohorts import touch
from pseudohealthy.data.layouts import isles
from pseudohealthy.errors import InputError


@pytest.mark.parametrize("root", [".", "SISS2015_Training"])
def test_cases_in_the_order_of_their_numbers(tmp_path: Path, root: str) -> None:
    make_isles(tmp_path / "SISS2015_Training", 11)
    found = isles.read(tmp_path / root, "here")
    assert [v.subject for v in found] == [str(number) for number in range(1, 12)]
    case = tmp_path / "SISS2015_Training" / "10"
    assert found[9].image == case / "VSD.Brain.XX.O.MR_Flair.70610/VSD.Brain.XX.O.MR_Flair.70610.nii"
    assert found[9].mask == case / "VSD.Brain.XX.O.OT.70710/VSD.Brain.XX.O.OT.70710.nii"
    assert {(v.group, v.truth, v.split, v.session) for v in found} == {("patient", None, None, None)}


def test_the_case_that_is_spelt_otherwise_has_its_mask(tmp_path: Path) -> None:
    make_isles(tmp_path, 2)
    mask = isles.read(tmp_path, "here")[1].mask
    assert mask == tmp_path / "2/VSD.Brain_3more.XX.XX.OT.6560/VSD.Brain_3more.XX.XX.OT.6560.nii"


def test_a_case_needs_no_mask(tmp_path: Path) -> None:
    touch(tmp_path, "1/VSD.Brain.XX.O.MR_Flair.7/VSD.Brain.XX.O.MR_Flair.7.nii")
    assert [v.mask for v in isles.read(tmp_path, "here")] == [None]


def test_incomplete_and_doubled_cases_are_refused(tmp_path: Path) -> None:
    names = (
        "1/VSD.Brain.XX.O.MR_Flair.7/VSD.Brain.XX.O.MR_Flair.7",
        "2/VSD.Brain.XX.O.OT.8/VSD.Brain.XX.O.OT.8",
    )
    touch(tmp_path, *(f"{name}.nii" for name in names))
    with pytest.raises(InputError, match=r"2: a lesion mask .* without its FLAIR image"):
        isles.read(tmp_path, "here")
    touch(tmp_path, f"{names[1].replace('OT', 'MR_Flair')}.nii", f"{names[1].replace('8', '9')}.nii")
    with pytest.raises(InputError, match="2 has 2 files for its lesion mask"):
        isles.read(tmp_path, "here")


def test_other_folders_are_none_of_its_business(tmp_path: Path) -> None:
    touch(tmp_path, "HGG/A/A_flair.nii.gz", "sub-01/anat/sub-01_FLAIR.nii.gz")
    assert isles.read(tmp_path, "here") == []
