"""The folder of DICOM files that are made of a scan, known without the libraries of the extra."""

from __future__ import annotations

import re
from pathlib import Path

from pseudohealthy.errors import InputError

LESION = "lesion.dcm"
_OURS = re.compile(r"healthy_\d+\.dcm|lesion\.dcm")


def healthy_name(instance: int) -> str:
    """The name of the file of a slice."""
    return f"healthy_{instance:04d}.dcm"


def expect_ours(folder: Path) -> None:
    """Refuse to replace anything but the folder of an earlier run.

    Raises:
        InputError: there is something else.
    """
    if folder.is_dir() and all(_OURS.fullmatch(path.name) for path in folder.iterdir()):
        return
    if folder.exists():
        raise InputError(f"{folder}: holds something that was not made here; choose another folder")
