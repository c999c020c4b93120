"""Runs of the programs that can be killed at any moment, forked from a process that has imported all of them.

A fresh Python needs seconds to import torch; a fork of one that has done so needs milliseconds. The server is
a process of its own: it has one thread, and computes nothing.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import mmap
import os
import pkgutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

TESTS = Path(__file__).resolve().parents[1]
CHANGES = (
    "replace",
    "rename",
    "unlink",
    "remove",
    "rmdir",
)  # functions of `os` before and after which to kill
PROGRAMS = {"pseudohealthy": "main", "pseudohealthy-bids": "bids_main"}
ALSO = ("matplotlib.backends.backend_agg", "scipy.stats", "PIL.PngImagePlugin", "jinja2", "rich.progress")
EXPORT = ("onnx", "onnxscript", "torch.onnx", "torch.onnx._internal.exporter._core", "torch._dynamo")
POLL = 0.0005  # seconds


@dataclass(frozen=True)
class Moment:
    """When a run is killed: before or after its n-th change of the file system, or after so many seconds.

    Attributes:
        change: number of the change, from 1; 0: none.
        after: whether the change has been made; else it is about to be.
        seconds: since the beginning; inf: never.
    """

    change: int = 0
    after: bool = False
    seconds: float = float("inf")

    @property
    def options(self) -> str:
        """What repeats it on the command line of `torture.kills`."""
        if self.change:
            return f"--change {self.change}{' --after' if self.after else ''}"
        return f"--seconds {self.seconds:.4f}"

    def __str__(self) -> str:
        if self.change:
            return f"{'after' if self.after else 'before'} change {self.change}"
        return "never" if self.seconds == float("inf") else f"after {self.seconds:.4f} s"


NEVER = Moment()


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        code: its exit code; negative: the signal that ended it.
        changes: of the file system, that it began.
        seconds: how long it took.
        output: what it printed.
        orphan_seconds: how long its worker processes outlived it.
    """

    code: int
    changes: int
    seconds: float
    output: str
    orphan_seconds: float

    @property
    def killed(self) -> bool:
        """Whether it was killed before its end."""
        return self.code == -signal.SIGKILL


class ForkServer:
    """Starts runs of the programs; as a context manager it ends with the block."""

    def __enter__(self) -> Self:
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        source = str(TESTS.parent / "src")
        environment = {**os.environ, **threads, "MPLBACKEND": "agg", "PYTHONPATH": f"{source}:{TESTS}"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "torture.fork_server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def run(self, argv: Sequence[str | Path], moment: Moment = NEVER) -> Ended:
        """Run a program with its arguments, the program's name first, and kill it at a moment.

        What it printed is read from a file, so that a killed run's is known too.
        """
        assert self._process.stdin is not None
        request = {"argv": list(map(str, argv)), "moment": asdict(moment)}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return Ended(**self._answer())

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the fork server ended with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def main() -> None:
    """Answer each line of standard input with one of standard output."""
    _import_everything()
    say = os.fdopen(os.dup(1), "w")
    say.write("{}\n")
    say.flush()
    for line in sys.stdin:
        request = json.loads(line)
        say.write(json.dumps(asdict(_run(request["argv"], Moment(**request["moment"])))) + "\n")
        say.flush()
    os._exit(0)  # at once: there is nothing to clean up


def _import_everything() -> None:
    import torch

    torch.set_num_threads(1)
    import pseudohealthy

    names = [module.name for module in pkgutil.walk_packages(pseudohealthy.__path__, "pseudohealthy.")]
    for name in (*names, *ALSO, *EXPORT):
        if not name.endswith("__main__"):
            importlib.import_module(name)
    _remember_commit()
    if (threads := threading.active_count()) > 1:
        raise RuntimeError(f"{threads} threads after the imports, expected 1: a fork would copy one of them")


def _remember_commit() -> None:
    """Ask git for the commit once, as one campaign is of one commit."""
    from pseudohealthy import provenance

    found = provenance.commit()
    provenance.commit = lambda: found


def _run(argv: list[str], moment: Moment) -> Ended:
    counter, log = mmap.mmap(-1, 8), os.memfd_create("output")
    began = time.monotonic()
    child = os.fork()
    if not child:
        _be_the_program(argv, moment, counter, log)
    code = _wait(child, began + moment.seconds)
    seconds = time.monotonic() - began
    orphan_seconds = _await_orphans(child)
    output = os.pread(log, 1_000_000, 0).decode("utf-8", "replace")
    os.close(log)
    return Ended(code, _count(counter), seconds, output, orphan_seconds)


def _wait(child: int, deadline: float) -> int:
    """The exit code of a child, which is killed at the deadline."""
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        left = deadline - time.monotonic()
        if left <= 0:
            os.kill(child, signal.SIGKILL)
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        time.sleep(min(left, POLL) if left < 10 * POLL else POLL)


def _await_orphans(session: int) -> float:
    """Wait until no process of a session is left; returns how many seconds that took."""
    began = time.monotonic()
    while _alive(session):
        if time.monotonic() - began > 30:
            for pid in _alive(session):
                os.kill(pid, signal.SIGKILL)
            return float("inf")
        time.sleep(0.02)
    return time.monotonic() - began


def _alive(session: int) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            _, _, fields = (folder / "stat").read_text().rpartition(")")
            state, _, _, number = fields.split()[:4]
            if int(number) == session and state != "Z":
                found.append(int(folder.name))
    return found


def _be_the_program(argv: list[str], moment: Moment, counter: mmap.mmap, log: int) -> None:
    """Become the program, in a session of its own; never returns."""
    code: object = 70  # of a traceback
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        sys.stdin = os.fdopen(0)  # the server's has its next request
        _kill_at(moment, counter)
        sys.argv = argv
        program = importlib.import_module("pseudohealthy.cli.program")
        getattr(program, PROGRAMS[argv[0]])()
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def _kill_at(moment: Moment, counter: mmap.mmap) -> None:
    """Count what changes names in the file system; before or after one of these, kill this process."""
    lock = threading.Lock()

    def counted(change: Callable[..., Any]) -> Callable[..., Any]:
        def counting(path: Any, *args: Any, **kwargs: Any) -> Any:
            if kwargs.get("dir_fd") is None and not os.path.lexists(path):
                return change(path, *args, **kwargs)
            with lock:
                number = _count(counter) + 1
                counter[:8] = struct.pack("q", number)
            if number == moment.change and not moment.after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = change(path, *args, **kwargs)
            if number == moment.change:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return counting

    for name in CHANGES:
        setattr(os, name, counted(getattr(os, name)))


def _count(counter: mmap.mmap) -> int:
    return int(struct.unpack("q", counter[:8])[0])


if __name__ == "__main__":
    main()
