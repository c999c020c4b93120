"""Memory that a training step frees stays with the process for the next step."""

from __future__ import annotations

import contextlib
import ctypes
import platform
from collections.abc import Iterator, Mapping

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # malloc.h
DEFAULTS = {M_TRIM_THRESHOLD: 128 * 2**10, M_TOP_PAD: 128 * 2**10, M_MMAP_MAX: 65536}
RETAINING = {M_TRIM_THRESHOLD: 2**31 - 1, M_TOP_PAD: 256 * 2**20, M_MMAP_MAX: 0}


@contextlib.contextmanager
def retain_freed_memory() -> Iterator[None]:
    """Inside, the process retains memory that is freed; with other C libraries than glibc, nothing changes.

    By default glibc takes every large array from the system and returns it when it is freed, so that each
    training step on a CPU gets the same gigabytes anew, page by page.
    """
    library = ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None

    def set_options(options: Mapping[int, int]) -> None:
        if library is not None:
            for key, value in options.items():
                library.mallopt(key, value)

    set_options(RETAINING)
    try:
        yield
    finally:
        set_options(DEFAULTS)
        if library is not None:
            library.malloc_trim(0)
