from __future__ import annotations

from pathlib import Path

import pytest

from pseudohealthy.data.layouts.bids_names import IMAGE, fits, key_of, named, owner_of

HERE = Path("data")


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
    assert fits(IMAGE, HERE / path, HERE) == fitting
    assert owner_of(HERE / path, HERE) == owner
