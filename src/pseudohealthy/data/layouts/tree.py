"""The files of a data set's folder, linked folders included, each real folder once."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pseudohealthy.files import open_file

# Every kind of volume is seen, so that a mask of another kind than NIfTI can be named
VOLUMES = (".nii", ".nii.gz", ".mgz", ".mgh", ".nrrd", ".mha", ".mhd", ".img", ".mnc")
POINTERS = (b"/annex/objects/", b"version https://git-lfs")  # what stands in place of a large file
POINTER_BYTES = 1024


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


def _real(folder: Path) -> Path | None:
    """Where it really lies; None where it is no folder that can be reached."""
    try:
        return folder.resolve(strict=True) if folder.is_dir() else None
    except (OSError, RuntimeError):  # a link that leads to itself
        return None
