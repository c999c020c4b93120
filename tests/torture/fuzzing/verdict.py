"""One input read through the command line's own error handling, and whether it kept the promises."""

from __future__ import annotations

import contextlib
import io
import os
import resource
import shutil
import sys
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pseudohealthy.cli.program import run

LONGEST_LINE = 1500  # characters of a message
MOST_MEMORY_MB = 2048
BEGINNINGS = (
    "pseudohealthy: ",
    "pseudohealthy-bids: ",
    "warning: ",
    "note: ",
    "failed: ",
    "no image: ",
    "  ",
)
SCRATCH = ("/dev/null", "/proc/self/")
STARTS = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "socket.connect")
READING = ("uname", "git", "dcm2niix")  # programs that may be asked


@dataclass(frozen=True)
class Outcome:
    """What a program did with an input.

    Attributes:
        code: its exit code; None where an exception came through.
        text: what it wrote on standard error.
        trace: of that exception.
    """

    code: int | None
    text: str
    trace: str = ""


class Watch:
    """Notes files that are changed outside of the folders where that is allowed, in this process."""

    def __init__(self, *allowed: Path) -> None:
        self.allowed = tuple(os.path.realpath(path) for path in allowed)
        self.active = False
        self.seen: list[str] = []
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.active:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
                self._expect_allowed(event, path)
        elif event in ("os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.truncate", "os.utime"):
            self._expect_allowed(event, arguments[0], arguments[-1])
        elif event in ("os.rename", "os.link", "os.symlink"):
            if event == "os.rename":
                self._expect_allowed(event, arguments[0], arguments[2])
            self._expect_allowed(event, arguments[1], arguments[-1])
        elif event in STARTS and os.path.basename(str(arguments[0])) not in READING:
            self.seen.append(f"{event} {arguments[0]!r}")

    def _expect_allowed(self, event: str, path: Any, folder: Any = -1) -> None:
        if isinstance(path, int):  # an open file, which was looked at when it was opened
            return
        name = os.fsdecode(path)
        if isinstance(folder, int) and folder >= 0 and event != "os.chmod":
            name = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), name)
        name = os.path.abspath(name)
        place = os.path.join(os.path.realpath(os.path.dirname(name)), os.path.basename(name))
        if not place.startswith((*self.allowed, *SCRATCH)):
            self.seen.append(f"{event} {place!r}")

    @contextlib.contextmanager
    def on(self) -> Any:
        """Watch for a while."""
        self.seen, self.active = [], True
        try:
            yield
        finally:
            self.active = False


def outcome(read: Callable[[], object]) -> Outcome:
    """Read an input as a program does, with everything that it writes on standard error."""
    text, words = io.StringIO(), io.StringIO()
    code: int | None = 0
    trace = ""
    with (
        contextlib.redirect_stderr(text),
        contextlib.redirect_stdout(words),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, kind, *_: print(f"{kind.__name__}: {message}", file=text)
        try:
            run("pseudohealthy", read)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException as error:
            code, trace = None, "".join(traceback.format_exception(error))
    return Outcome(code, text.getvalue(), trace)


def complaint(done: Outcome, again: Outcome | None, codes: frozenset[int], touched: list[str]) -> str | None:
    """Which promise was broken, in a line; None where all were kept."""
    if done.code is None:
        place = [line.strip() for line in done.trace.splitlines() if "/src/pseudohealthy/" in line]
        where = place[-1].partition("/src/")[2].replace('"', "") if place else "?"
        return f"traceback: {done.trace.splitlines()[-1].split(':')[0][:80]} at {where}"
    if done.code not in {0, *codes}:
        return f"exit code {done.code}: {done.text[:100]}"
    lines = done.text.splitlines()
    if odd := [line for line in lines if not line.startswith(BEGINNINGS)]:
        return f"not one of our lines: {odd[0][:100]!r}"
    if long := [line for line in lines if len(line) > LONGEST_LINE]:
        return f"a line of {len(long[0])} characters: {long[0][:100]!r}"
    if done.code and not any(line.startswith(BEGINNINGS[:2] + BEGINNINGS[4:6]) for line in lines):
        return f"exit code {done.code} and no line"
    if odd := [line for line in lines if not line.isprintable()]:
        return f"characters that control a terminal: {odd[0][:100]!r}"
    if touched:
        return f"touched outside of its folder: {touched[0]}"
    if again is not None and (again.code, again.text) != (done.code, done.text):
        return f"not the same twice: {done.code} {done.text[:80]!r} and {again.code} {again.text[:80]!r}"
    return None


def peak_memory_mb() -> float:
    """The most memory that this process has had since it was last asked to forget it."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def forget_peak() -> None:
    """Begin to measure the most memory anew."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def emptied(folder: Path) -> Path:
    """The folder, made anew where something lies in it."""
    if any(folder.iterdir()):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    return folder


def fingerprint(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Size, mode and time of every file in a folder."""
    found = {}
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            with contextlib.suppress(OSError):
                about = os.lstat(os.path.join(place, name))
                found[os.path.join(place, name)] = (about.st_size, about.st_mode, about.st_mtime_ns)
    return found
