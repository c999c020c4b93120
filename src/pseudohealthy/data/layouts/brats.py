"""BraTS, 2018 and since: `<case>/<case>_flair.nii[.gz]` or `-t2f`, and the case's segmentation.

A lesion is every label above 0. The 2018 cases lie in `HGG` and `LGG`; the folder given may be one of these,
their parent, or the folder above. Since 2023 a case is named by patient and time point.
"""

from __future__ import annotations

import re
from pathlib import Path

from pseudohealthy.data.layouts import CohortVolume, at_most_one, grouped, nifti_files, stem
from pseudohealthy.errors import InputError

LOOKS_FOR = "BraTS: [HGG/ or LGG/]<case>/<case>_flair.nii[.gz] or <case>/<case>-t2f.nii[.gz]"
SEGMENTATION = re.compile(r"[_-]segm?$", re.IGNORECASE)  # one case of 2020 is spelt _Segm
TIME_POINT = re.compile(r"(BraTS-\w+-\d+)-(\d+)")


def read(folder: Path, source: str) -> list[CohortVolume]:
    """The volumes of a BraTS folder, in natural order; none where it is not one.

    Raises:
        InputError: a case with a segmentation and no FLAIR image, or with several of either.
    """
    files = nifti_files(folder, "*/*.nii*", "*/*/*.nii*", "*/*/*/*.nii*")
    images = grouped((path for path in files if _is_flair(path)), lambda path: path.parent)
    masks = grouped((path for path in files if SEGMENTATION.search(stem(path))), lambda path: path.parent)
    if images and (orphans := [case for case in masks if case not in images]):
        raise InputError(f"{orphans[0]}: a segmentation without its FLAIR image, <case>_flair.nii.gz or -t2f")
    return [_volume(folder, case, images[case], masks.get(case, []), source) for case in images]


def _is_flair(path: Path) -> bool:
    return stem(path) in (f"{path.parent.name}_flair", f"{path.parent.name}-t2f")


def _volume(folder: Path, case: Path, images: list[Path], masks: list[Path], source: str) -> CohortVolume:
    name = TIME_POINT.fullmatch(case.name)
    return CohortVolume(
        subject=name[1] if name else case.name,
        group="patient",
        image=at_most_one(images, "FLAIR image", str(case)),
        mask=at_most_one(masks, "segmentation", str(case)),
        truth=None,
        split=None,
        source=source,
        session=name[2] if name else None,
        folder=folder,
    )
