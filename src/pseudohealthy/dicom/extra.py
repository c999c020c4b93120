"""The libraries of the extra `dicom`, and what is recognised as DICOM without them."""

from __future__ import annotations

import contextlib
import importlib.util
from pathlib import Path

from pseudohealthy.errors import InputError, install_command

EXTRA = "dicom"
PACKAGES = ("pydicom", "highdicom", "dcm2niix")
ARCHIVES = (b"PK\3\4", b"PK\5\6")  # how a zip archive begins, and an empty one
MAGIC, MAGIC_PLACE = b"DICM", 128


def is_dicom(path: Path) -> bool:
    """Whether what is given is to be read as DICOM: a folder, a zip archive or a DICOM file."""
    with contextlib.suppress(OSError):
        if path.is_file():
            with path.open("rb") as file:
                return file.read(132)[MAGIC_PLACE:] == MAGIC or is_archive(path)
        return path.is_dir()
    return False


def is_archive(path: Path) -> bool:
    """Whether a file is a zip archive, sound or damaged."""
    with path.open("rb") as file:
        return file.read(4) in ARCHIVES


def is_installed() -> bool:
    """Whether the extra is."""
    return not _missing()


def _missing() -> list[str]:
    return [name for name in PACKAGES if not importlib.util.find_spec(name)]


def require_extra(path: Path) -> None:
    """Refuse DICOM where the extra is not installed.

    Raises:
        InputError: it names what is missing and the command that installs it.
    """
    missing = _missing()
    if missing:
        what = "a folder" if path.is_dir() else "DICOM, or a zip archive"
        verb = "is" if len(missing) == 1 else "are"
        raise InputError(
            f"{path} is {what}: to read DICOM, {', '.join(missing)} {verb} needed and not installed; "
            f"{install_command(EXTRA)}, or give a NIfTI file"
        )
