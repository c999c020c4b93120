"""Only what was written here is ever replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from pseudohealthy.dicom.folder import LESION, expect_ours, healthy_name
from pseudohealthy.errors import InputError


def test_a_folder_of_our_own_files_may_be_replaced(tmp_path: Path) -> None:
    expect_ours(tmp_path / "absent")
    expect_ours(tmp_path)
    for name in (healthy_name(7), healthy_name(12345), LESION):
        (tmp_path / name).touch()
    expect_ours(tmp_path)


@pytest.mark.parametrize("name", ["IM1", "healthy_1.dcm.txt", "healthy.dcm", "notes"])
def test_anything_else_may_not(tmp_path: Path, name: str) -> None:
    (tmp_path / LESION).touch()
    (tmp_path / name).touch()
    for place in (tmp_path, tmp_path / name):
        with pytest.raises(InputError, match="holds something that was not made here"):
            expect_ours(place)
