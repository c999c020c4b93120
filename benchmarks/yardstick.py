"""The reference of every measurement, in the same process at the same moment: matrix products."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

COPY_BYTES = 256 * 2**20
SMALLEST, LONG = 256, 2.0  # side of matrices; seconds
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Beside:
    """A duration, and the speed of matrix products just before and after it.

    Attributes:
        seconds: of the work.
        peak: FLOP/s of the fastest matrix product, before the work or after it, whichever was faster.
        bf16_peak: of the product in bf16.
    """

    seconds: float
    peak: float
    bf16_peak: float


@dataclass(frozen=True)
class Product:
    """A matrix product, and how many floating-point operations it is."""

    work: Callable[[], object]
    flops: float


@dataclass(frozen=True)
class Machine:
    """The device of a measurement, and its repeats.

    Attributes:
        device: "cpu" or "cuda".
        side: of the square matrices, at most.
        repeats: of every measurement, after one that is not counted.
    """

    device: torch.device
    side: int
    repeats: int

    @classmethod
    def of(cls, name: str, *, quick: bool = False) -> Machine:
        """The device of that name ("auto": a graphics card where there is one); `quick` measures badly."""
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        side = 256 if quick else 2048 if name == "cpu" else 8192
        return cls(torch.device(name), side, 2 if quick else 7)

    def has_bf16(self) -> bool:
        """Whether there are instructions for bf16."""
        return self.device.type == "cuda" or bool(torch.cpu.get_capabilities().get("avx512_bf16"))

    def timed(self, work: Callable[[], object]) -> float:
        """Seconds that `work` takes until the device is done."""
        self._wait()
        began = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - began

    def repeated(self, work: Callable[[], object]) -> list[float]:
        """Seconds of each repeat."""
        return [self.timed(work) for _ in range(self.repeats + 1)][1:]

    def products(self) -> dict[str, Product]:
        """Matrix products in fp32 and in bf16; small ones where large ones would take `LONG` or longer.

        A processor without instructions for bf16 takes a hundred times as long as in fp32.
        """
        return {name: self._product(dtype) for name, dtype in DTYPES.items()}

    def beside(self, work: Callable[[], object], products: Mapping[str, Product]) -> Beside:
        """Time `work` with the products of `products` before and after it."""
        before = [self.timed(product.work) for product in products.values()]
        seconds = self.timed(work)
        after = [self.timed(product.work) for product in products.values()]
        speeds = {
            name: product.flops / min(times)
            for (name, product), *times in zip(products.items(), before, after, strict=True)
        }
        return Beside(seconds, max(speeds.values()), speeds["bf16"])

    def peaks(self) -> dict[str, float]:
        """GFLOP/s of matrix products in fp32 and bf16, and GB/s (read and written) of a copy in memory."""
        speeds = {
            name: product.flops / min(self.repeated(product.work)) / 1e9
            for name, product in self.products().items()
        }
        source = torch.ones(COPY_BYTES // 4, device=self.device)
        target = torch.empty_like(source)
        copied = min(self.repeated(lambda: target.copy_(source)))
        return {**speeds, "copy_gb_per_s": 2 * COPY_BYTES / copied / 1e9}

    def _product(self, dtype: torch.dtype) -> Product:
        side = SMALLEST
        while True:
            a, b = (torch.randn(side, side, device=self.device).to(dtype) for _ in range(2))
            work = partial(torch.matmul, a, b)
            if side == self.side or 8 * min(self.timed(work) for _ in range(2)) >= LONG:
                return Product(work, 2.0 * side**3)
            side *= 2

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()


def row(
    name: str,
    machine: Machine,
    work: Callable[[], object],
    *,
    flops: float,
    against: Callable[[], object] | None = None,
) -> dict[str, Any]:
    """One measurement: in every repeat matrix products, the work, products again, and the work to compare.

    Args:
        name: of the row.
        machine: where.
        work: what is measured.
        flops: of the work, by formula.
        against: the eager fp32 version; None: the work is that.

    Returns:
        `fraction_of_peak` (of the faster of the machine's matrix products, measured beside each repeat),
        `fraction_of_bf16_peak` (of the bf16 product) and `vs_eager_fp32` (how many times as fast), medians
        with lowest and highest; `seconds`, which say little on another machine.
    """
    products = machine.products()
    timings: list[Beside] = []
    ratios: list[float] = []
    for repeat in range(machine.repeats + 1):
        beside = machine.beside(work, products)
        other = beside.seconds if against is None else machine.timed(against)
        if repeat:
            timings.append(beside)
            ratios.append(other / beside.seconds)
    return {
        "name": name,
        "gflop": round(flops / 1e9, 3),
        "fraction_of_peak": spread([flops / each.seconds / each.peak for each in timings]),
        "fraction_of_bf16_peak": spread([flops / each.seconds / each.bf16_peak for each in timings]),
        "vs_eager_fp32": spread(ratios),
        "seconds": spread([each.seconds for each in timings]),
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, lowest and highest, to four digits."""
    summary = {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}
    return {name: float(f"{value:.4g}") for name, value in summary.items()}
