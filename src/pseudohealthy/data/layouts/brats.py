"""BraTS, 2018 and since: `<case>/<case>_flair.nii[.gz]` or `-t2f`, and the case's segmentation.

A lesion is every label above 0. The 2018 cases lie in `HGG` and `LGG`; the folder given may be one of these,
their parent, or the folder above. Since 2023 a case is named by patient and time point.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pseudohealthy.data.layouts.base import (
    CohortVolume,
    DataSet,
    at_most_one,
    grouped,
    nifti_files,
    stem,
    without_image,
    without_mask,
)

LOOKS_FOR = "BraTS: [HGG/ or LGG/]<case>/<case>_flair.nii[.gz] or <case>/<case>-t2f.nii[.gz]"
SEGMENTATION = re.compile(r"[_-]segm?$", re.IGNORECASE)  # one case of 2020 is spelt _Segm
TIME_POINT = re.compile(r"(BraTS-\w+-\d+)-(\d+)")


def read(folder: Path, source: str, _controls: Sequence[str] = ()) -> DataSet:
    """The volumes of a BraTS folder, in natural order; none where it is not one.

    Cases without a FLAIR image are left out and reported.

    Raises:
        InputError: a case with several images or segmentations.
    """
    files = nifti_files(folder, "*/*.nii*", "*/*/*.nii*", "*/*/*/*.nii*")
    images = grouped((path for path in files if _is_flair(path)), lambda path: path.parent)
    masks = grouped((path for path in files if SEGMENTATION.search(stem(path))), lambda path: path.parent)
    cases = [path.parent for path in files if stem(path).startswith(path.parent.name)]
    volumes = tuple(_volume(folder, case, images[case], masks.get(case, []), source) for case in images)
    if not volumes:
        return DataSet()
    left = without_image(folder, [*cases, *masks], images, "<case>_flair.nii.gz or <case>-t2f.nii.gz")
    unread = without_mask(folder, files, images.keys() - masks.keys(), "<case>_seg.nii.gz")
    return DataSet(volumes, (*left, *unread))


def _is_flair(path: Path) -> bool:
    case = path.parent.name
    return stem(path).lower() in (f"{case}_flair".lower(), f"{case}-t2f".lower())


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
