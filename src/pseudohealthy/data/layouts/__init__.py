"""The folder layouts in which cohorts arrive, and what each layout's reader returns."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from pseudohealthy.config import Split
from pseudohealthy.errors import InputError

Group = Literal["patient", "control", "bank"]
T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class CohortVolume:
    """The files of one acquisition of one subject.

    Attributes:
        subject: whose it is; the volumes of one subject never part between splits.
        group: patient, healthy control, or bank (a lesion mask from elsewhere, without image).
        image: the skull-stripped FLAIR image; None in a bank.
        mask: the lesion mask; None where there is none.
        truth: the image without its lesion, which only phantoms have.
        split: the data set's own split; None where it leaves that open.
        source: name of the data set.
        session: the subject's time point; None where there is only one.
        folder: the data set's folder, which holds the files above.
    """

    subject: str
    group: Group
    image: Path | None
    mask: Path | None
    truth: Path | None
    split: Split | None
    source: str
    session: str | None
    folder: Path


def nifti_files(folder: Path, *patterns: str) -> list[Path]:
    """NIfTI files under `folder` that match any of the glob patterns, in natural order."""
    found = {path for pattern in patterns for path in folder.glob(pattern)}
    files = (path for path in found if path.name.endswith((".nii", ".nii.gz")))
    return sorted((path for path in files if not path.name.startswith(".")), key=natural)


def stem(path: Path) -> str:
    """The name of a NIfTI file without its extension."""
    return path.name.removesuffix(".gz").removesuffix(".nii")


def natural(name: str | Path) -> tuple[list[tuple[int, str]], str]:
    """A sorting key under which case 2 comes before case 10."""
    parts = re.split(r"(\d+)", str(name))
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts], str(name)


def grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """The items by what `key` says of each, in the order of their coming."""
    groups: dict[K, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def at_most_one(paths: Sequence[Path], what: str, whose: str) -> Path | None:
    """The only one of `paths`, or None where there is none.

    Raises:
        InputError: there are several.
    """
    if len(paths) > 1:
        raise InputError(f"{whose} has {len(paths)} files for its {what}, expected one: {listed(paths)}")
    return paths[0] if paths else None


def listed(names: Iterable[object], most: int = 5) -> str:
    """The names with commas; where there are more than `most`, the first of them and how many follow."""
    every = [str(name) for name in names]
    rest = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + rest
