"""How fast convolutions alone are: what is around them could at best cost nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.formulas import FIELD, forward, step, widened
from benchmarks.training import BATCH, stepping
from benchmarks.yardstick import Beside, Machine, spread
from pseudohealthy.errors import InputError
from pseudohealthy.methods.base import Method
from pseudohealthy.methods.factory import build
from pseudohealthy.synthesis import backends
from pseudohealthy.synthesis.bundled_weights import bundled_weights
from pseudohealthy.synthesis.model import SLICES_ON_CPU, Model
from pseudohealthy.training.weights import read_config

LAYOUTS = (torch.contiguous_format, torch.channels_last)


def rows(machine: Machine, width: int) -> Iterator[dict[str, Any]]:
    """Generator and segmentor, as wide as the paper's and the package's, by OpenVINO's own clocks.

    On a CPU that has it.
    """
    try:
        backends.validate("openvino", machine.device.type)
    except InputError:
        return
    paper = build(widened("paired", width)).generators.eval()
    package = Model.load(bundled_weights(), "cpu").networks
    widths = read_config(bundled_weights())["settings"]["networks"]
    for letter, key in (("G", "width"), ("S", "segmentor_width")):
        for name, network, wide in (("", paper[letter], width), ("_embedded", package[letter], widths[key])):
            measured = _row(machine, network, forward("paired", wide)[letter])
            yield {"name": f"convolutions_{letter}{name}_w{wide}", **measured}


def training_rows(machine: Machine, width: int) -> Iterator[dict[str, Any]]:
    """The convolutions of a paired training step by themselves, forward and backward, by PyTorch's kernels.

    Each as the step asks for it (whose gradients), in the memory layout in which it is the fastest: no order
    of operations and no fusion around these kernels could make a step faster than their sum.
    """
    calls = _convolutions(machine, width)
    measured: list[Beside] = []
    products = machine.products()
    plain: list[float] = []
    for repeat in range(machine.repeats + 1):
        seconds: dict[Call, list[float]] = {}

        def all_of_them(seconds: dict[Call, list[float]] = seconds) -> None:
            seconds.update({call: [_alone(machine, call, layout) for layout in LAYOUTS] for call in calls})

        beside = machine.beside(all_of_them, products)
        if repeat:
            best = sum(count * min(seconds[call]) for call, count in calls.items())
            measured.append(replace(beside, seconds=best))
            plain.append(sum(count * seconds[call][0] for call, count in calls.items()) / best)
    flops = step("paired", width, BATCH)
    yield {
        "name": f"kernels_paired_w{width}_b{BATCH}",
        "gflop": round(flops / 1e9, 3),
        "convolutions": sum(calls.values()),
        "different": len(calls),
        "kernels_of_peak": spread([flops / each.seconds / each.peak for each in measured]),
        "kernels_of_bf16_peak": spread([flops / each.seconds / each.bf16_peak for each in measured]),
        "contiguous_over_fastest": spread(plain),
    }


@dataclass(frozen=True)
class Call:
    """A convolution as a step does it: shapes, and whose gradients are computed."""

    image: tuple[int, ...]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: str | tuple[int, ...]
    of_image: bool
    of_kernel: bool


def _convolutions(machine: Machine, width: int) -> Counter[Call]:
    """How often a paired step does each."""
    calls: Counter[Call] = Counter()

    def called(layer: nn.Module, arguments: tuple[Any, ...], _: object) -> None:
        assert isinstance(layer, nn.Conv2d)
        image, kernel = arguments[0], layer.weight
        of_kernel = kernel.requires_grad and torch.is_grad_enabled()
        shapes = (tuple(image.shape), tuple(kernel.shape), layer.stride, layer.padding)
        calls[Call(*shapes, of_image=image.requires_grad, of_kernel=of_kernel)] += 1

    def hooked(method: Method) -> None:
        for layer in method.modules():
            if isinstance(layer, nn.Conv2d):
                layer.register_forward_hook(called)

    stepping(machine, widened("paired", width), hooked)()
    return calls


def _alone(machine: Machine, call: Call, layout: torch.memory_format) -> float:
    """Seconds of one of them, forward and back as far as gradients are computed; the better of two."""
    image = torch.rand(call.image, device=machine.device).to(memory_format=layout)
    kernel = torch.rand(call.kernel, device=machine.device).to(memory_format=layout)
    image.requires_grad_(call.of_image)
    kernel.requires_grad_(call.of_kernel)
    wanted = [each for each in (image, kernel) if each.requires_grad]
    with torch.no_grad():
        back = torch.rand_like(nn.functional.conv2d(image, kernel, None, call.stride, call.padding))

    def work() -> None:
        made = nn.functional.conv2d(image, kernel, None, call.stride, call.padding)
        if wanted:
            torch.autograd.grad(made, wanted, back)

    return min(machine.timed(work) for _ in range(2))


def _row(machine: Machine, network: nn.Module, flops_a_slice: float) -> dict[str, Any]:
    precision = backends.precision_of("openvino", has_ranges=False)
    request = backends.to_openvino(network, FIELD, 1, precision, PERF_COUNT=True).create_infer_request()
    x = np.random.default_rng(0).random((SLICES_ON_CPU, 1, *FIELD), dtype=np.float32)
    flops, products = SLICES_ON_CPU * flops_a_slice, machine.products()
    alone: list[float] = []
    whole: list[float] = []
    spent: Counter[str] = Counter()
    for repeat in range(machine.repeats + 1):
        peak = machine.beside(lambda: request.infer([x]), products).peak
        seconds: Counter[str] = Counter()
        for node in request.profiling_info:
            seconds[str(node.node_type)] += node.real_time.total_seconds()
        if repeat:
            alone.append(flops / seconds["Convolution"] / peak)
            whole.append(flops / sum(seconds.values()) / peak)
            spent += seconds
    total = sum(spent.values())
    return {
        "gflop": round(flops / 1e9, 3),
        "convolutions_of_peak": spread(alone),
        "network_of_peak": spread(whole),
        "shares": {kind: float(f"{time / total:.2g}") for kind, time in spent.most_common(3)},
    }
