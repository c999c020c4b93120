"""DICOM for `synthesize`: the series is read before the work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pseudohealthy.cli.program import progress_bar, say
from pseudohealthy.dicom.extra import is_dicom, require_extra
from pseudohealthy.errors import InputError

if TYPE_CHECKING:
    from pseudohealthy.dicom.read import Scan


def read_if_dicom(image: Path, series: str | None, *, writes: bool) -> Scan | None:
    """The series of a folder, an archive or a DICOM file; None where the image is something else.

    Args:
        image: what was given.
        series: which of the series; None: the one FLAIR.
        writes: whether DICOM is to be written too.

    Raises:
        InputError: nothing is there; the extra is not installed; there is no such series; or an option is for
            DICOM alone.
    """
    if not (image.exists() or image.is_symlink()):
        raise InputError(f"{image} does not exist; expected a NIfTI file, or a folder or zip of DICOM files")
    if not is_dicom(image):
        option = "--series" if series is not None else "--dicom" if writes else None
        if option:
            raise InputError(
                f"{option}: {image} is no DICOM; expected a folder, a zip archive or a DICOM file"
            )
        if image.suffix.lower() == ".zip":
            raise InputError(f"{image} is no zip archive, whatever its name says; fetch it again")
        return None
    require_extra(image)
    from pseudohealthy.dicom.output import expect_writable
    from pseudohealthy.dicom.read import read_scan

    with progress_bar("headers") as progress:
        scan = read_scan(image, series, progress)
    if writes:
        expect_writable(scan)
    return scan


def expect_outside(image: Path, out: Path) -> None:
    """Refuse to write DICOM among the series that are read.

    Raises:
        InputError: the folder `out` lies in the folder `image`.
    """
    if image.is_dir() and out.resolve().is_relative_to(image.resolve()):
        raise InputError(
            f"{out} is in {image}, whose series are read; choose a folder outside it for --dicom"
        )


def report_series(scan: Scan) -> None:
    """Say which series was taken, and what was left out."""
    chosen = scan.report
    number = "without number" if chosen["number"] is None else chosen["number"]
    say(f"series: {number}, {chosen['description'] or 'no description'}, {chosen['slices']} slices")
    for note in scan.notes:
        say(f"note: {note}", err=True)
