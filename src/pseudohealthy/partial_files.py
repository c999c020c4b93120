"""Parts: files and folders that are not whole yet; their names, their locks, and what killed runs left."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

if sys.platform != "win32":
    import fcntl

# The name of what is not whole yet: a mark, see `_mark`, a number of its own, and the file's ending
_PART = re.compile(r"\.part-([0-9a-f]{8}-)?[0-9a-f]{8}(\..*)?", re.DOTALL)
_ABANDONED = 24 * 3600.0  # seconds


def part_in(folder: Path, name: str = "", ending: str = "") -> Path:
    """The path of a new part in a folder: for `name`, see `remove_leftovers`; `ending`: of a file's name."""
    return folder / f"{_mark(name)}{uuid4().hex[:8]}{ending}"


@contextlib.contextmanager
def held(part: Path, make: Callable[[], object]) -> Iterator[None]:
    """Make a part, and lock it until the block ends: nobody takes it for one that a killed run has left.

    Where the system has no such locks, those of killed runs are known by their age alone.
    """
    if sys.platform == "win32":
        make()
        yield
        return
    while True:
        make()
        with contextlib.suppress(FileNotFoundError):  # taken for one, before it was locked
            handle = _open_to_lock(part)
            with contextlib.suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX)
            if lies_at(part, handle):
                break
            os.close(handle)
    try:
        yield
    finally:
        os.close(handle)


def remove_leftovers(folder: Path, name: str = "") -> None:
    """Remove the files and folders for parts that killed runs have left in `folder`.

    Those are the ones made on this machine whose lock is free, those that nobody has written to for a day,
    and all for `name`, if one is given, which nobody else writes.
    """
    with contextlib.suppress(OSError):  # a folder that must not be listed, or goes away just now
        for path in list(folder.iterdir()):
            if not _PART.fullmatch(path.name) or path.is_symlink():
                continue
            if (name and path.name.startswith(_mark(name))) or _is_abandoned(path):
                _remove(path)
            elif path.name.startswith(_mark()):
                _remove_if_free(path)


def _remove_if_free(path: Path) -> None:
    """Remove a part unless it is locked, or there are no locks."""
    if sys.platform == "win32":
        return
    with contextlib.suppress(OSError):
        handle = _open_to_lock(path)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if lies_at(path, handle):  # and not another of the same name, made since it was opened
                _remove(path)
        finally:
            os.close(handle)


def _is_abandoned(path: Path) -> bool:
    """Whether nobody has written to a file, or to anything in a folder, for a day."""
    try:
        times = [each.lstat().st_mtime for each in (path, *path.rglob("*"))]
    except OSError:  # it goes away just now
        return False
    return max(times) < time.time() - _ABANDONED


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _mark(name: str = "") -> str:
    """What the names of parts for `name` begin with; of those for nothing in particular, on this machine."""
    thing = name or f"/{platform.node()}"  # which is no name of a file
    return f".part-{hashlib.sha256(os.fsencode(thing)).hexdigest()[:8]}-"


def _open_to_lock(path: Path) -> int:
    # some file systems lock only what may be written to
    return os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)


def lies_at(path: Path, handle: int) -> bool:
    """Whether a path is still that of the file or folder that was opened from it."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False
