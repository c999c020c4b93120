"""ISLES 2015 SISS: `<n>/VSD.Brain.XX.O.MR_Flair.<id>/*.nii` and `<n>/VSD.Brain.XX.O.OT.<id>/*.nii`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pseudohealthy.data.layouts.base import (
    CohortVolume,
    DataSet,
    at_most_one,
    grouped,
    nifti_files,
    without_image,
    without_mask,
)

LOOKS_FOR = "ISLES 2015: <n>/VSD.Brain.*.MR_Flair.<id>/VSD.Brain.*.MR_Flair.<id>.nii"


def read(folder: Path, source: str, _controls: Sequence[str] = ()) -> DataSet:
    """The volumes of an ISLES folder or of the one above it, case 2 before case 10; none where it is not one.

    Cases without a FLAIR image are left out and reported.

    Raises:
        InputError: a case with several images or masks.
    """
    files = nifti_files(folder, "*/VSD.Brain*/VSD.Brain*.nii*", "*/*/VSD.Brain*/VSD.Brain*.nii*")
    images = grouped((path for path in files if ".MR_Flair" in path.name), _case)
    masks = grouped((path for path in files if ".OT" in path.name), _case)  # one case is spelt _3more...OT
    volumes = tuple(
        CohortVolume(
            subject=case.name,
            group="patient",
            image=at_most_one(paths, "FLAIR image", str(case)),
            mask=at_most_one(masks.get(case, []), "lesion mask", str(case)),
            truth=None,
            split=None,
            source=source,
            session=None,
            folder=folder,
        )
        for case, paths in images.items()
    )
    if not volumes:
        return DataSet()
    left = without_image(folder, map(_case, files), images, "VSD.Brain.*.MR_Flair.<id>.nii")
    every = nifti_files(folder, "*/**/*.nii*")
    unread = without_mask(folder, every, images.keys() - masks.keys(), "VSD.Brain.*.OT.<id>.nii")
    return DataSet(volumes, (*left, *unread))


def _case(path: Path) -> Path:
    return path.parent.parent
