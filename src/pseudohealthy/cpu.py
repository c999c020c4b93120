"""What the processor can do, and how many threads compute; asked without loading torch where that is not.

Loading torch takes longer than processing a slice does.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

CPUINFO = Path("/proc/cpuinfo")
THREAD_VARIABLES = (
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
)  # that torch heeds as it is loaded, in this order, but for more than cores


def multiplies_bf16() -> bool:
    """Whether the processor has a matrix unit for bf16 (AMX)."""
    return _has("amx_bf16")


def has_bf16() -> bool:
    """Whether the processor has instructions for bf16 of any kind."""
    return multiplies_bf16() or _has("avx512_bf16")


def trains_faster_in_bf16() -> bool:
    """Whether a training step in bf16 takes less time than in fp32: with AMX, or AMD's AVX-512 for bf16.

    Decided by the kind of processor, as runs of one machine are to be alike; to measure it at the start would
    depend on what else runs. Another processor with AVX-512 for bf16, without AMX, was slower in it; its make
    was not recorded.
    """
    return multiplies_bf16() or (has_bf16() and _said("vendor_id")[:1] == ["AuthenticAMD"])


def multiplies_int8() -> bool:
    """Whether the processor sums products of 8-bit integers at once (VNNI)."""
    return _has("avx512_vnni") or _has("avx_vnni")


def threads() -> int:
    """How many threads compute in this process: as torch says, or would say once it is loaded."""
    if torch := sys.modules.get("torch"):
        return int(torch.get_num_threads())
    given = [int(value) for name in THREAD_VARIABLES if (value := os.environ.get(name, "")).isdecimal()]
    wanted = max(1, given[0]) if given else usable_cores()
    return min(wanted, _physical_cores() or wanted)


def set_threads(count: int) -> None:
    """Have this process, and those that it starts, compute in so many threads."""
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(count)))
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(count)


def usable_cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _physical_cores() -> int:
    """Without the second threads of each; 0 where the system does not tell."""
    return len(set(zip(_said("physical id"), _said("core id"), strict=False)))


def _has(feature: str) -> bool:
    """As the system says it, in torch's names; elsewhere as torch does, where it is new enough to know."""
    if flags := _said("flags") or _said("Features"):  # as ARM's are called
        return feature in flags[0].split()
    import torch  # noqa: PLC0415  (see above)

    capabilities: Callable[[], Mapping[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    return bool(capabilities().get(feature, False))


def _said(name: str) -> list[str]:
    """What the system says of each processor; nothing where it does not tell."""
    found = []
    with contextlib.suppress(OSError):
        for line in CPUINFO.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == name:
                found.append(value.strip())
    return found
