"""One process at a time has a lock, and nobody is locked out by one that was killed."""

from __future__ import annotations

import contextlib
import errno
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pseudohealthy.errors import PseudohealthyError
from pseudohealthy.locks import locked

HOLD = """
import sys, time
from pathlib import Path
from pseudohealthy.locks import locked
with locked(Path(sys.argv[1]), "sub-01"):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@contextlib.contextmanager
def holding(path: Path, seconds: float) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the lock."""
    command = list(map(str, [sys.executable, "-c", HOLD, path, seconds]))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as held:
        assert held.stdout is not None
        assert held.stdout.readline() == "held\n"
        yield held


def test_who_wants_a_lock_says_so_and_waits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with holding(tmp_path / ".lock", 0.5) as held:
        with locked(tmp_path / ".other"):
            assert held.poll() is None
        with locked(tmp_path / ".lock", "sub-01"):
            result = capsys.readouterr().err
            assert (tmp_path / ".lock").read_text() == f"{platform.node()}:{os.getpid()}"
    assert result == f"sub-01: another run ({platform.node()}:{held.pid}) is at work on it; waiting\n"
    assert held.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_a_killed_holder_locks_nobody_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with holding(tmp_path / ".lock", 600) as held:
        held.kill()
    assert (tmp_path / ".lock").exists()
    with locked(tmp_path / ".lock", "sub-01"):
        pass
    assert capsys.readouterr().err == ""
    assert list(tmp_path.iterdir()) == []


def test_only_one_at_a_time_has_a_lock(tmp_path: Path) -> None:
    inside_now, most = [0], [0]

    def work(_: int) -> None:
        with locked(tmp_path / ".lock"):
            inside_now[0] += 1
            most[0] = max(most[0], inside_now[0])
            time.sleep(0.001)
            inside_now[0] -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(200)))
    assert most == [1]
    assert list(tmp_path.iterdir()) == []


def test_where_there_are_no_locks_nobody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("pseudohealthy.locks.fcntl.flock", unknown)
    with locked(tmp_path / ".lock"), locked(tmp_path / ".lock"):
        pass


def test_a_lock_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    with pytest.raises(PseudohealthyError, match="cannot be locked"), locked(tmp_path / "none/.lock"):
        pass
