"""What a layout's reader returns, and what readers share."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from pseudohealthy.errors import InputError
from pseudohealthy.files import open_file

if TYPE_CHECKING:  # the command line reads the names of layouts at its start
    from pseudohealthy.config import Split

Group = Literal["patient", "control", "library"]
MASK = re.compile(r"mask|lesion|tumou?r|label|roi|seg", re.IGNORECASE)  # in the name of what may be one
# Every kind of volume is seen, so that a mask of another kind than NIfTI can be named
VOLUMES = (".nii", ".nii.gz", ".mgz", ".mgh", ".nrrd", ".mha", ".mhd", ".img", ".mnc")
POINTERS = (b"/annex/objects/", b"version https://git-lfs")  # what stands in place of a large file
POINTER_BYTES = 1024
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


@dataclass
class Tree:
    """What lies under a folder.

    Attributes:
        volumes: files named as volumes, by the path under the folder through which they were first reached.
        dead: links that lead nowhere, and folders that cannot be opened.
    """

    volumes: list[Path] = field(default_factory=list)
    dead: list[Path] = field(default_factory=list)
    _seen: set[Path] = field(default_factory=set)

    def add(self, roots: Iterable[Path], above: Path) -> None:
        """Walk down the `roots`; links that lead to `above` or over it are not followed.

        A folder that is reached twice, as through a link beside it or in a circle, counts once: by its real
        path where that lies under the roots.
        """
        top = above.resolve()
        self._seen |= {top, *top.parents}
        pending, linked = list(roots)[::-1], list[Path]()
        while pending or linked:
            here = pending.pop() if pending else linked.pop(0)
            if (real := _real(here)) is None:
                self.dead.append(here)
            elif real not in self._seen:
                self._seen.add(real)
                folders = self._open(here)
                pending += [path for path in folders if not path.is_symlink()][::-1]
                linked += [path for path in folders if path.is_symlink()]

    def _open(self, folder: Path) -> list[Path]:
        """The folders in a folder, and links to nothing; its volumes are recorded."""
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            self.dead.append(folder)
            return []
        shown = [Path(entry.path) for entry in entries if not entry.name.startswith(".")]
        names = [path for path in shown if path.name.lower().endswith(VOLUMES) and not path.is_dir()]
        self.volumes += names
        return [path for path in shown if path.is_dir() or (path.is_symlink() and not path.suffix)]


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


def is_absent(path: Path) -> bool:
    """Whether a file's content was not fetched: a link to nothing, or a pointer of git-annex or git-lfs."""
    if path.is_symlink() and not path.exists():
        return True
    try:
        if path.stat().st_size >= POINTER_BYTES:
            return False
        with open_file(path) as content:
            return content.read(POINTER_BYTES).startswith(POINTERS)
    except (OSError, ValueError):
        return False


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


def _real(folder: Path) -> Path | None:
    """Where it really lies; None where it is no folder that can be reached."""
    try:
        return folder.resolve(strict=True) if folder.is_dir() else None
    except (OSError, RuntimeError):  # a link that leads to itself
        return None
