"""Work shared among threads: its results, its errors, and interruptions."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from pseudohealthy.threads import in_threads


def test_results_come_in_the_order_of_the_things() -> None:
    assert in_threads(lambda thing: thing * 2, [3, 1, 2], 2) == [6, 2, 4]
    assert in_threads(str, [], 2) == []


def test_the_first_thing_s_error_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        in_threads(lambda thing: 1 / thing, [1, 0, 2], 2)


@pytest.mark.skipif(os.name == "nt", reason="signals of this kind are a matter of Linux and macOS")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_comes_when_no_thread_is_at_work(sent: signal.Signals) -> None:
    """In a process of its own, which is sent the signal."""
    script = f"""
import os, signal, sys, time
from pseudohealthy.threads import in_threads

done = []

def interrupt(*_):
    sys.exit(f"interrupted after {{sorted(done)}}")

def do(thing):
    if thing == 0:
        os.kill(os.getpid(), {int(sent)})
    time.sleep(0.05)
    done.append(thing)

signal.signal({int(sent)}, interrupt)
try:
    in_threads(do, range(4), 2)
finally:
    assert signal.getsignal({int(sent)}) is interrupt
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, "interrupted after [0, 1, 2, 3]\n")


def test_a_thread_may_share_its_work_too() -> None:
    found: list[list[int]] = []
    thread = threading.Thread(target=lambda: found.append(in_threads(abs, [-1, -2], 2)))
    thread.start()
    thread.join()
    assert found == [[1, 2]]
