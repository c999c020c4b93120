"""The precision that a training computes in."""

from __future__ import annotations

from pathlib import Path

import torch

from pseudohealthy.config import Training
from pseudohealthy.cpu import trains_faster_in_bf16
from pseudohealthy.devices import device_type
from pseudohealthy.training.run_folder import begun_in


def precision(training: Training, accelerator: str, out: Path | None = None) -> str:
    """The precision in force: "auto" is bf16 where a training step is known to be faster in it.

    A run that was begun in the folder `out`, perhaps on another machine, goes on as it was begun.
    """
    if training.precision != "auto":
        return training.precision
    if out is not None and (begun := begun_in(out)) is not None:
        return begun
    if device_type(accelerator) == "cuda":  # cards without such units only emulate it, slowly
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = trains_faster_in_bf16()
    return "bf16-mixed" if fast else "32-true"
