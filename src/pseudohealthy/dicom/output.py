"""What is made of a scan, as DICOM files in a folder of their own."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pseudohealthy.dicom import derived_series
from pseudohealthy.dicom.derived_series import complete, series_number
from pseudohealthy.dicom.folder import LESION, expect_ours
from pseudohealthy.dicom.headers import anonymous, silent, value
from pseudohealthy.dicom.read import Scan
from pseudohealthy.dicom.scale import Scale
from pseudohealthy.dicom.segmentation import lesion_segmentation
from pseudohealthy.errors import InputError, PseudohealthyError
from pseudohealthy.files import whole_folder

_NEEDED = ("StudyInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID")


def expect_writable(scan: Scan) -> None:
    """Refuse, before any work, what cannot be written as DICOM.

    Raises:
        InputError: the headers lack what a derived series must have in common with them, or the slices are
            some of the frames of a file.
    """
    for name in _NEEDED:
        if any(not value(each.header, name) for each in scan.slices):
            raise InputError(f"--dicom: an image without {name}; export the series again, or leave it out")
    files = {each.file for each in scan.slices}
    several = any("NumberOfFrames" in each.header for each in scan.slices)
    if several and (len(files) > 1 or int(scan.slices[0].header.NumberOfFrames) != len(scan.slices)):
        raise InputError(
            f"--dicom: {len(scan.slices)} slices in {len(files)} multi-frame files; expected one, whole"
        )


def write_dicom(
    scan: Scan, healthy: NDArray[np.float32], mask: NDArray[np.bool_], out: str | Path, *, weights: str = ""
) -> Path:
    """Write the healthy image as a derived MR series and the lesion map as a segmentation.

    Both belong to the scan's patient and study, and lie exactly on its slices.

    Args:
        scan: what they were made of.
        healthy: (I, J, K), as the scan's volume.
        mask: (I, J, K), True in the lesion.
        out: the folder, a new one, or one of an earlier run, which is replaced.
        weights: what made them, in words.

    Returns:
        The folder.

    Raises:
        InputError: the folder holds something else.
        PseudohealthyError: the disk is full, or a header holds what cannot be written.
    """
    folder = Path(out)
    expect_ours(folder)
    voxels, lesion = scan.order.slices(healthy), scan.order.slices(mask)
    source = scan.slices[0].header
    for each in scan.slices:
        complete(each.header)
    with whole_folder(folder) as part:
        with silent(), _one_line(folder, scan):
            images = derived_series.derived_series(
                scan.slices,
                voxels,
                scan.scale or Scale.of(voxels),
                number_of=series_number(source, 1),
                weights=weights,
            )
            derived_series.write(part, images)
            lesion_segmentation(scan.slices, lesion, number_of=series_number(source, 2)).save_as(
                part / LESION
            )
        if folder.exists():
            shutil.rmtree(folder)
    return folder


@contextlib.contextmanager
def _one_line(folder: Path, scan: Scan) -> Iterator[None]:
    """What the libraries raise of a header's content, without the patient's name and ids."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        reason = anonymous(" ".join(str(error).split()), scan.slices[0].header)
        raise PseudohealthyError(
            f"{folder}: cannot be made of the headers of the input ({reason}); leave out --dicom"
        ) from error
