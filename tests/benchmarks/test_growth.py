"""The memory of a child is its own."""

from __future__ import annotations

import subprocess
import sys

from conftest import ROOT


def test_the_memory_of_a_process_is_not_its_parents() -> None:
    code = "from benchmarks.growth import peak_memory as p; a = p(); b = bytearray(2**28); print(a, p())"
    held = bytearray(2**30)
    held[::4096] = b"x" * len(held[::4096])  # which makes the pages real
    command = [sys.executable, "-c", code.replace("2**28)", "b'x' * 2**28)")]
    output = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    before, after = map(float, output.split())
    assert before < 2**30 / 1e6
    assert after - before > 200
