"""Generator and segmentor on slices, by every backend that is installed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, cast, get_args

import numpy as np
import torch

from benchmarks.formulas import FIELD, forward, widened
from benchmarks.yardstick import Machine, row
from pseudohealthy.errors import InputError
from pseudohealthy.methods.factory import build
from pseudohealthy.synthesis import backends
from pseudohealthy.synthesis.model import SLICES_AT_ONCE, SLICES_ON_CPU

SLICES = 16


def rows(machine: Machine, width: int) -> Iterator[dict[str, Any]]:
    """A row a network and backend, against PyTorch in eager fp32."""
    torch.manual_seed(0)
    networks = build(widened("paired", width)).generators.to(machine.device).eval()
    on_cpu = machine.device.type == "cpu"
    at_once = SLICES_ON_CPU if on_cpu else SLICES_AT_ONCE
    x = np.random.default_rng(0).random((SLICES, 1, *FIELD), dtype=np.float32)
    parts = np.split(x, SLICES // at_once)

    def each(run: backends.Run) -> Callable[[], np.ndarray[Any, Any]]:
        return lambda: np.concatenate([run(part) for part in parts])

    for letter in "GS":
        eager = each(backends.compile_network("torch", networks[letter], machine.device.type, FIELD, 1))
        for name in get_args(backends.Name) if on_cpu else ("torch",):
            try:
                backends.validate(name, machine.device.type)
            except InputError:
                continue
            began = time.perf_counter()
            run = backends.compile_network(
                cast(backends.Name, name), networks[letter], machine.device.type, FIELD, 1
            )
            converting = time.perf_counter() - began
            measured = row(
                f"{letter}_{name}_w{width}",
                machine,
                each(run),
                flops=SLICES * forward("paired", width)[letter],
                against=None if name == "torch" else eager,
            )
            yield {
                **measured,
                **backends.describe(cast(backends.Name, name)),
                "name": measured["name"],
                "converting_seconds": round(converting, 2),
                "differs_by": float(np.abs(each(run)() - eager()).max()),
            }
