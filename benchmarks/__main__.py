"""Networks and a training step as fractions of this machine's fp32 matrix-multiply peak."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pseudohealthy.config import settings
from pseudohealthy.data.slices import Batch
from pseudohealthy.experiment.evaluate import provenance
from pseudohealthy.files import write_json
from pseudohealthy.methods.catalogue import build
from pseudohealthy.training.run import Run

SIDE, REPEATS, BATCH, FIELD = 2048, 5, 4, (208, 160)


def seconds(work: Callable[[], object]) -> list[float]:
    """Times of repeats, after one that is not counted."""
    times = []
    for _ in range(REPEATS + 1):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return times[1:]


def forward_flops(network: nn.Module, *inputs: torch.Tensor) -> float:
    """Floating-point operations of one forward pass, counted by the shapes of its convolutions."""
    with FlopCounterMode(display=False) as counter:
        network(*inputs)
    return float(counter.get_total_flops())


def row(name: str, flops: float, times: list[float], peak: float) -> dict[str, Any]:
    """One measurement: the median's fraction of the peak, and those of the slowest and fastest repeat."""
    fractions = [flops / each / peak for each in times]
    return {
        "name": name,
        "fraction_of_peak": statistics.median(fractions),
        "lowest": min(fractions),
        "highest": max(fractions),
    }


def measure(width: int) -> dict[str, Any]:
    """The peak, then G, S and a paired training step of batch 4 at `width`."""
    a, b = torch.randn(SIDE, SIDE), torch.randn(SIDE, SIDE)
    peak = 2 * SIDE**3 / statistics.median(seconds(lambda: a @ b))
    widths = [f"networks.{name}={width}" for name in ("width", "segmentor_width", "discriminator_width")]
    chosen = settings("paired", "midl2019", overrides=[*widths, "training.precision=32-true"])
    run = Run(Fabric(accelerator="cpu", devices=1), build(chosen), chosen, total=1_000_000)
    x, m = torch.rand(BATCH, 1, *FIELD), (torch.rand(BATCH, 1, *FIELD) > 0.9).float()
    networks = {**run.method.generators, **run.method.discriminators}
    flops = {
        name: forward_flops(network, *([x, m] if name == "R" else [x])) for name, network in networks.items()
    }
    rows = []
    with torch.inference_mode():
        for name in "GS":
            times = seconds(lambda name=name: networks[name](x))  # type: ignore[misc]
            rows.append(row(f"forward_{name}_w{width}_b{BATCH}", flops[name], times, peak))
    # Forward, and twice that backward, of both cycles; D on two fakes for G (through, not into, its weights),
    # then on one real and two fakes for itself.
    cycles = 3 * 2 * sum(flops[name] for name in "GRS")
    step = cycles + (2 * 2 + 3 * 3) * flops["D_x"]
    batch = Batch(x, m, x)
    rows.append(row(f"train_step_paired_w{width}_b{BATCH}", step, seconds(lambda: run.step(batch, 0)), peak))
    return {**provenance(), "peak_gflops": {"fp32": peak / 1e9}, "rows": rows}


def main() -> None:
    """Measure and print; with `--out`, write JSON too."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--width", type=int, default=32, help="of every network (the paper: 32)")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    arguments = parser.parse_args()
    result = measure(arguments.width)
    print(json.dumps(result, indent=1))
    if arguments.out is not None:
        write_json(arguments.out, result)


if __name__ == "__main__":
    main()
