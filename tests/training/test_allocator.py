"""Memory that one step frees is there for the next."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

CODE = """
import resource, torch
from pseudohealthy.training.allocator import retain_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(2**24)  # 64 MiB, of 16,384 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.set_num_threads(1)
print(faults())
with retain_freed_memory():
    faults()
    print(faults())
    array = torch.ones(2**24)
print(faults(), int(array.sum()))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have no such options")
def test_pages_are_taken_once_and_returned_at_the_end() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True)
    before, inside, after, total = map(int, done.stdout.split())
    assert before > 10 * 16000
    assert inside < 1000
    assert after > 10 * 16000
    assert total == 2**24
