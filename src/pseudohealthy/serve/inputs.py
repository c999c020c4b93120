"""The kinds of input that the page takes, how one is read, and the name that its files get."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING

from pseudohealthy.dicom.extra import is_dicom, is_installed, require_extra
from pseudohealthy.dicom.folding import without_accents
from pseudohealthy.errors import printable

if TYPE_CHECKING:
    from pseudohealthy.data.volume import Volume
    from pseudohealthy.dicom.read import Scan

NIFTI = {"NIfTI (.nii, .nii.gz)": (".nii", ".gz")}  # what a person reads, what the browser's dialogue offers
DICOM = {"DICOM files in a zip (.zip)": (".zip",)}
MOST_CHARACTERS = 120  # of a name; the names of the outputs are longer


def kinds() -> dict[str, tuple[str, ...]]:
    """The kinds of files that are taken; DICOM where its extra is installed."""
    return {**NIFTI, **(DICOM if is_installed() else {})}


def shown_name(given: str) -> str:
    """A browser's name of a file as one line of text to be shown, at most `MOST_CHARACTERS` long."""
    name = _visible(given)
    cut = MOST_CHARACTERS // 2
    return (name if len(name) <= MOST_CHARACTERS else f"{name[:cut]}…{name[-cut:]}") or "image"


def stored_name(given: str) -> str:
    """A name for files inside a job's own folder, made of letters, digits, dots, hyphens and underscores.

    The names of BIDS stay what they are, so that what is made is named as `synthesize` names it. Of a long
    name the end is kept, where its extension stands. Letters lose their accents alone, so that a patient's
    name is still known for one.
    """
    plain = re.sub(r"[^A-Za-z0-9._+-]+", "_", without_accents(_visible(given)))
    return plain[-MOST_CHARACTERS:].lstrip("._-+") or "image"


def _visible(given: str) -> str:
    """Without characters that control something, such as the direction of writing."""
    return printable("".join(each for each in given if unicodedata.category(each)[0] != "C").strip())


def read_input(path: Path) -> tuple[Volume, Scan | None]:
    """The image in an uploaded file, whatever its kind, and of DICOM the series.

    Raises:
        InputError: it cannot be used, or is DICOM and the extra `dicom` is not installed.
    """
    # The server's own process reads no image
    from pseudohealthy.data.volume import read_volume  # noqa: PLC0415

    if not is_dicom(path):
        return read_volume(path), None
    require_extra(path)
    from pseudohealthy.dicom.read import read_scan  # noqa: PLC0415

    scan = read_scan(path)
    return scan.volume, scan
