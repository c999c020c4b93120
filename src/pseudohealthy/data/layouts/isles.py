"""ISLES 2015 SISS: `<n>/VSD.Brain.XX.O.MR_Flair.<id>/*.nii` and `<n>/VSD.Brain.XX.O.OT.<id>/*.nii`."""

from __future__ import annotations

from pathlib import Path

from pseudohealthy.data.layouts import CohortVolume, at_most_one, grouped, nifti_files
from pseudohealthy.errors import InputError

LOOKS_FOR = "ISLES 2015: <n>/VSD.Brain.*.MR_Flair.<id>/VSD.Brain.*.MR_Flair.<id>.nii"


def read(folder: Path, source: str) -> list[CohortVolume]:
    """The volumes of an ISLES folder or of the one above it, case 2 before case 10; none where it is not one.

    Raises:
        InputError: a case with a mask and no FLAIR image, or with several of either.
    """
    files = nifti_files(folder, "*/VSD.Brain*/VSD.Brain*.nii*", "*/*/VSD.Brain*/VSD.Brain*.nii*")
    images = grouped((path for path in files if ".MR_Flair" in path.name), _case)
    masks = grouped((path for path in files if ".OT" in path.name), _case)  # one case is spelt _3more...OT
    if images and (orphans := [case for case in masks if case not in images]):
        raise InputError(f"{orphans[0]}: a lesion mask (.OT) without its FLAIR image (.MR_Flair)")
    return [
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
    ]


def _case(path: Path) -> Path:
    return path.parent.parent
