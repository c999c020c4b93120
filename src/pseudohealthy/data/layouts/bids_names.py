"""What the names of files in a BIDS data set say: whose they are, and what."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pseudohealthy.data.layouts.base import is_nifti, stem

IMAGE = re.compile(r"sub-[^/]*/(ses-[^/]*/)?anat/sub-[^/]*_FLAIR\.nii(\.gz)?")
TRUTH = re.compile(r"derivatives/.*sub-[^/]*_desc-healthy_FLAIR\.nii(\.gz)?")

Key = tuple[str, str | None]  # subject, session


def inside(path: Path, folder: Path) -> Path:
    """The path as seen from the data set's folder."""
    return Path(os.path.relpath(path, folder))


def fits(pattern: re.Pattern[str], path: Path, folder: Path) -> bool:
    """Whether it is a NIfTI file whose place in the data set is the pattern's."""
    return is_nifti(path) and pattern.fullmatch(inside(path, folder).as_posix()) is not None


def entities_of(path: Path) -> dict[str, str]:
    """`sub-01_ses-2_label-L_mask` as `{"sub": "01", "ses": "2", "label": "L"}`."""
    pairs = (part.partition("-") for part in stem(path).split("_"))
    return {key: value for key, dash, value in pairs if dash}


def key_of(path: Path) -> Key:
    """Whose file it is by its name; a session that is not in the name is the folder's."""
    entities = entities_of(path)
    folders = [name.removeprefix("ses-") for name in path.parent.parts[-2:] if name.startswith("ses-")]
    return entities["sub"], entities.get("ses") or (folders[-1] if folders else None)


def owner_of(path: Path, folder: Path) -> str | None:
    """The subject in whose folder of the data set a file lies; None where it lies in none."""
    first = inside(path, folder).parts[0]
    return first.removeprefix("sub-") if first.startswith("sub-") else None


def named(key: Key) -> str:
    """`sub-01 ses-2`."""
    return f"sub-{key[0]}" + (f" ses-{key[1]}" if key[1] else "")
