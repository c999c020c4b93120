"""Memory that a training step gives back, kept for the next step."""

from __future__ import annotations

import contextlib
import ctypes
import platform
from collections.abc import Iterator

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # malloc.h
DEFAULTS = {M_TRIM_THRESHOLD: 128 * 2**10, M_TOP_PAD: 128 * 2**10, M_MMAP_MAX: 65536}
KEEPING = {M_TRIM_THRESHOLD: 2**31 - 1, M_TOP_PAD: 256 * 2**20, M_MMAP_MAX: 0}


@contextlib.contextmanager
def retain_freed_memory() -> Iterator[None]:
    """Inside, the process keeps memory that is freed, where its C library knows how to (glibc).

    By default every large array is taken from the system and given back to it, so that each step of a
    training on a CPU asks for the same gigabytes anew, page by page.
    """
    library = ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None

    def ask(for_what: dict[int, int]) -> None:
        if library is not None:
            for key, value in for_what.items():
                library.mallopt(key, value)

    ask(KEEPING)
    try:
        yield
    finally:
        ask(DEFAULTS)
        if library is not None:
            library.malloc_trim(0)
