"""The precision that a training computes in."""

from __future__ import annotations

import functools
import time
from pathlib import Path

import torch
from torch.nn.functional import conv2d

from pseudohealthy.config import Training
from pseudohealthy.devices import device_type
from pseudohealthy.processes import has_bf16
from pseudohealthy.training.run_folder import begun_in

GAIN = 1.25  # times as fast as fp32: less is not worth its digits, and would be decided by chance
REPEATS = 3
IMAGE, WEIGHT = (2, 32, 104, 80), (32, 32, 3, 3)  # of a convolution in the middle of the generator


def precision(training: Training, accelerator: str, out: Path | None = None) -> str:
    """The precision in force: "auto" is bf16 where it is clearly faster than fp32.

    A run that was begun in the folder `out`, perhaps on another machine, goes on as it was begun.
    """
    if training.precision != "auto":
        return training.precision
    if out is not None and (begun := begun_in(out)) is not None:
        return begun
    if device_type(accelerator) == "cuda":  # cards without such units only emulate it, slowly
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = has_bf16() and bf16_gain() >= GAIN
    return "bf16-mixed" if fast else "32-true"


@functools.cache
def bf16_gain() -> float:
    """How many times as fast as in fp32 a convolution and its gradients are in bf16, on this processor.

    Measured once a process, in a fraction of a second: of processors with such instructions some take half
    the time in bf16, and some longer than in fp32.
    """
    image, weight = (torch.zeros(shape, requires_grad=True) for shape in (IMAGE, WEIGHT))

    def seconds(dtype: torch.dtype) -> float:
        began = time.perf_counter()
        with torch.autocast("cpu", dtype, enabled=dtype is torch.bfloat16):
            made = conv2d(image.to(memory_format=torch.channels_last), weight, padding=1)
        made.float().sum().backward()
        return time.perf_counter() - began

    pairs = [(seconds(torch.float32), seconds(torch.bfloat16)) for _ in range(REPEATS + 1)][1:]
    return min(plain for plain, _ in pairs) / min(short for _, short in pairs)
