"""What a layout's reader returns, and what readers share."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from pseudohealthy.errors import InputError

if TYPE_CHECKING:  # the command line reads the names of layouts at its start
    from pseudohealthy.config import Split

Group = Literal["patient", "control", "library"]
MASK = re.compile(r"mask|lesion|tumou?r|label|roi|seg", re.IGNORECASE)  # in the name of what may be one
T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class CohortVolume:
    """The files of one acquisition of one subject.

    Attributes:
        subject: whose it is; the volumes of one subject never part between splits.
        group: patient, healthy control, or library (a lesion mask from elsewhere, without image).
        image: the skull-stripped FLAIR image; None in a library.
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


@dataclass(frozen=True)
class DataSet:
    """What a layout's reader returns of a folder.

    Attributes:
        volumes: in natural order; none where the folder is not of that layout.
        notes: what was left out, taken for something or not understood, a line each, for a person.
        groups: the words by which the data set itself calls its groups.
    """

    volumes: tuple[CohortVolume, ...] = ()
    notes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


def nifti_files(folder: Path, *patterns: str) -> list[Path]:
    """NIfTI files under `folder` that match any of the glob patterns, in natural order."""
    matching = {path for pattern in patterns for path in folder.glob(pattern)}
    return sorted(filter(is_nifti, matching), key=natural)


def stem(path: Path) -> str:
    """The name of a NIfTI file without its extension."""
    return path.name.removesuffix(".gz").removesuffix(".nii")


def is_nifti(path: Path) -> bool:
    """Whether a file is named as NIfTI, and not as what macOS leaves beside it."""
    return path.name.endswith((".nii", ".nii.gz")) and not path.name.startswith(".")


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


def count_of(number: int, what: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number} {what}" + ("" if number == 1 else "s")


def within(folder: Path, paths: Iterable[Path]) -> str:
    """The paths as seen from the folder, with commas, the first of them."""
    return listed(Path(os.path.relpath(path, folder)).as_posix() for path in paths)


def without_image(
    folder: Path, cases: Iterable[Path], images: Collection[Path], expected: str
) -> tuple[str, ...]:
    """A line for the cases that have no image and are left out."""
    if not (lacking := sorted({case for case in cases if case not in images}, key=natural)):
        return ()
    return (f"no FLAIR image, left out: {within(folder, lacking)}; expected {expected}",)


def without_mask(
    folder: Path, files: Iterable[Path], cases: AbstractSet[Path], expected: str
) -> tuple[str, ...]:
    """A line for files that look like lesion masks, in the folders of cases that have none."""
    unread = [path for path in files if MASK.search(stem(path)) and not cases.isdisjoint(path.parents)]
    if not unread:
        return ()
    count = count_of(len(unread), "file")
    return (f"{count} not read that may be lesion masks: {within(folder, unread)}; expected {expected}",)
