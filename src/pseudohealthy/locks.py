"""Locks between processes: one at a time works on something, and the others say so and wait."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path

from pseudohealthy.errors import PseudohealthyError, printable
from pseudohealthy.files import make_folder
from pseudohealthy.partial_files import lies_at

if sys.platform != "win32":
    import fcntl


@contextlib.contextmanager
def locked(path: Path, work: str = "") -> Iterator[None]:
    """Hold the lock that the file `path` stands for; another process that wants it waits.

    The system takes the lock from a process that ends, however it ends, so a file that is left behind locks
    nothing. Where the file system has no locks, nobody waits.

    Args:
        path: in a folder that is there; the file is removed at the end.
        work: what is locked, in words, for a line on standard error of a process that waits; "": no line.

    Raises:
        PseudohealthyError: the file cannot be made.
    """
    try:
        handle = _lock(path, work)
    except OSError as error:
        raise PseudohealthyError(
            f"{path}: cannot be locked ({error.strerror}); choose a folder that can be written to"
        ) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(handle)


@contextlib.contextmanager
def folder_lock(out: Path) -> Iterator[None]:
    """Be the only run that writes to the folder `out`, made if absent; another one says so and waits.

    Raises:
        PseudohealthyError: it cannot be made, or not be written to.
    """
    make_folder(out)
    with locked(out / ".lock", str(out)):
        yield


def _lock(path: Path, work: str) -> int:
    """Open and lock the file that lies at `path`, not one that its last holder has removed meanwhile."""
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _wait(handle, work)
            if lies_at(path, handle):
                with contextlib.suppress(OSError):  # a full disk: the lock holds, and its holder has no name
                    os.truncate(handle, 0)
                    os.write(handle, f"{platform.node()}:{os.getpid()}".encode())
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _wait(handle: int, work: str) -> None:
    if sys.platform == "win32":
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if work:
            holder = os.pread(handle, 200, 0).decode("utf-8", "replace") or "a moment ago"
            print(printable(f"{work}: another run ({holder}) is at work on it; waiting"), file=sys.stderr)
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:
        return  # no locks here, as on some network file systems
