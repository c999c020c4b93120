"""A machine of a test's own: a process that has imported the programs, whose forks run them and meet faults.

A fork needs milliseconds where a fresh Python needs seconds to import torch, and what is mounted or forbidden
in it is so for nobody else.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

TESTS = Path(__file__).resolve().parents[1]
PROGRAMS = {"pseudohealthy": "main", "pseudohealthy-bids": "bids_main"}
PRELOADED = "torture.preloaded"
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
NEW_MOUNTS = 0x00020000  # CLONE_NEWNS
PROGRESS = re.compile(r"experiment \S+: |\[\d+/\d+\] |tables, figures and report: ")
OVERRIDE = 0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: what lets root ignore permissions
CAPABILITIES = 0x20080522  # version 3 of capget and capset

libc = ctypes.CDLL(None, use_errno=True)


class Missing(Exception):  # noqa: N818  (no error: the test is skipped)
    """What the machine does not allow, such as to mount."""


@dataclass(frozen=True)
class Ended:
    """How a run ended.

    Attributes:
        code: its exit code; negative: the signal that ended it.
        out: its standard output.
        err: its standard error.
    """

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """What it said on standard error, without an experiment's progress."""
        return [line for line in self.err.strip().splitlines() if not PROGRESS.match(line)]


def alone(scenario: Callable[..., T], *arguments: Any) -> T:
    """What `scenario(*arguments)` returns in a process of its own; it fails or skips the test as it fails."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOADED])
    receive, send = context.Pipe(duplex=False)
    with _environment(PYTHONPATH=f"{TESTS.parent / 'src'}:{TESTS}:{TESTS.parent}", **ONE_THREAD):
        process = context.Process(target=_answer, args=(send, scenario, arguments))
        process.start()
    send.close()
    try:
        kind, answer = receive.recv()
    except EOFError:
        kind, answer = "failed", "the process ended without an answer"
    process.join()
    if kind == "missing":
        pytest.skip(answer)
    if kind == "failed":
        pytest.fail(answer, pytrace=False)
    return answer  # type: ignore[no-any-return]


def _answer(send: Connection, scenario: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    warnings.resetwarnings()
    try:
        send.send(("done", scenario(*arguments)))
    except Missing as error:
        send.send(("missing", str(error)))
    except BaseException:
        send.send(("failed", traceback.format_exc()))


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def run(argv: list[Any], fault: Callable[[], object] | None = None) -> Ended:
    """Run a program with its arguments, the program's name first; `fault` is called in it beforehand."""
    return start(argv, fault)()


def start(argv: list[Any], fault: Callable[[], object] | None = None) -> Callable[[], Ended]:
    """Begin to run a program; returns what waits for its end."""
    out, err = (os.fdopen(os.memfd_create(name), "rb") for name in ("out", "err"))  # no disk: it may be full
    child = os.fork()
    if child == 0:
        _become(list(map(str, argv)), out.fileno(), err.fileno(), fault)

    def wait() -> Ended:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
            file.close()
        return Ended(code, *texts)

    return wait


def _become(argv: list[str], out: int, err: int, fault: Callable[[], object] | None) -> None:
    """Be that program, in a fork; this never returns."""
    code = 70
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(out, 1)
        os.dup2(err, 2)
        if fault:
            fault()
        sys.argv, sys.stdin = argv, io.StringIO()
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
        from pseudohealthy.cli import program

        code = _exit_code(getattr(program, PROGRAMS[argv[0]]))
        sys.stdout.flush()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _exit_code(main: Callable[[], object]) -> int:
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def own_mounts() -> None:
    """From now on, what this process mounts is mounted for itself and its forks alone.

    Raises:
        Missing: it must not mount.
    """
    if libc.unshare(NEW_MOUNTS) != 0:
        raise Missing("the machine does not let this user mount")
    mount("--make-rprivate", "/")


def mount(*arguments: str | Path) -> None:
    """Call `mount`.

    Raises:
        Missing: it refuses.
    """
    done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing(f"mount refuses: {done.stderr.strip()}")


def disk(place: Path, size: str) -> Path:
    """A disk of that size, such as 64k, mounted for this process in the new folder `place`."""
    place.mkdir()
    mount("-t", "tmpfs", "-o", f"size={size},mode=755", "none", place)
    return place


def obey_permissions() -> None:
    """From now on permissions hold for this process, even if it is root's."""
    header = (ctypes.c_uint32 * 2)(CAPABILITIES, 0)
    sets = (ctypes.c_uint32 * 6)()
    if libc.capget(header, sets) != 0:
        return
    for each in range(3):  # effective, permitted, inheritable; the other three are of higher numbers
        sets[each] &= ~OVERRIDE
    libc.capset(header, sets)
