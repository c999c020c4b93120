"""What is made of a scan, as DICOM files in a folder of their own."""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pseudohealthy.dicom.derived_series import complete, derived_series, series_number
from pseudohealthy.dicom.folder import LESION, expect_ours, healthy_name
from pseudohealthy.dicom.headers import frame_count, silent, value
from pseudohealthy.dicom.patient import anonymous
from pseudohealthy.dicom.read import Scan
from pseudohealthy.dicom.scale import Scale
from pseudohealthy.dicom.segmentation import lesion_segmentation
from pseudohealthy.errors import InputError, PseudohealthyError
from pseudohealthy.files import whole_folder

_SHARED = ("StudyInstanceUID", "FrameOfReferenceUID")


def expect_writable(scan: Scan) -> None:
    """Refuse, before any work, what cannot be written as DICOM.

    Raises:
        InputError: the headers lack what a derived series must have in common with them, or hold what cannot
            be written; or the slices are some of the frames of a file.
    """
    for name in (*_SHARED, "SOPInstanceUID"):
        found = {value(each.header, name) for each in scan.slices}
        if None in found or (name in _SHARED and len(found) > 1):
            raise InputError(
                f"--dicom: an image without {name}, or of another; export the series again, or leave it out"
            )
    files = {each.file for each in scan.slices}
    several = any("NumberOfFrames" in each.header for each in scan.slices)
    if several and (len(files) > 1 or frame_count(scan.slices[0].header) != len(scan.slices)):
        raise InputError(
            f"--dicom: {len(scan.slices)} slices in {len(files)} multi-frame files; expected one, whole"
        )
    nothing = np.zeros(scan.volume.data.shape, bool)
    try:
        for _ in _contents(scan, scan.volume.data, nothing, weights=""):
            pass
    except PseudohealthyError as error:
        raise InputError(str(error)) from error


def write_dicom(
    scan: Scan,
    healthy: NDArray[np.float32],
    mask: NDArray[np.bool_],
    out: str | Path,
    *,
    weights: str | Mapping[str, Any] = "",
) -> Path:
    """Write the healthy image as a derived MR series and the lesion map as a segmentation.

    Both belong to the scan's patient and study, and lie exactly on its slices.

    Args:
        scan: what they were made of.
        healthy: (I, J, K), as the scan's volume.
        mask: (I, J, K), True in the lesion.
        out: the folder, a new one, or one of an earlier run, which is replaced.
        weights: what made them, in words, or as a run report holds it.

    Returns:
        The folder.

    Raises:
        InputError: the folder holds something else.
        PseudohealthyError: the disk is full, or a header holds what cannot be written.
    """
    folder = Path(out)
    expect_ours(folder)
    if not isinstance(weights, str):
        weights = f"{weights.get('method')}, weights {str(weights.get('sha256'))[:12]}"
    with whole_folder(folder) as part:
        for name, content in _contents(scan, healthy, mask, weights=weights):
            (part / name).write_bytes(content)
        if folder.exists():
            shutil.rmtree(folder)
    return folder


def _contents(
    scan: Scan, healthy: NDArray[np.float32], mask: NDArray[np.bool_], *, weights: str
) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file.

    Raises:
        PseudohealthyError: a header holds what cannot be written.
    """
    voxels, lesion = scan.order.slices(healthy), scan.order.slices(mask)
    source = scan.slices[0].header
    with silent(), _one_line(source):
        complete(scan.slices)
        scale = scan.scale or Scale.of(voxels)
        images = derived_series(
            scan.slices, voxels, scale, number_of=series_number(source, 1), weights=weights
        )
        for image in images:
            yield healthy_name(int(image.InstanceNumber)), _encoded(image)
        yield LESION, _encoded(lesion_segmentation(scan.slices, lesion, number_of=series_number(source, 2)))


def _encoded(dataset: Dataset) -> bytes:
    content = io.BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    return content.getvalue()


@contextlib.contextmanager
def _one_line(header: Dataset) -> Iterator[None]:
    """What the libraries raise of a header's content, without what tells the patient."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        reason = anonymous(" ".join(str(error).split()), header)
        raise PseudohealthyError(
            f"--dicom: no DICOM can be made of the headers of the input ({reason}); leave it out"
        ) from error
