"""Weights folders of tiny models whose output is known beforehand."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from cohorts import FITTING
from pseudohealthy.config import MethodName
from pseudohealthy.methods.factory import build
from pseudohealthy.training.checkpoint import save_weights
from tiny import tiny


def saved(
    folder: Path,
    method: MethodName = "paired",
    *,
    copying: bool = False,
    finds: bool | None = None,
    mirrored: bool = False,
    **preprocessing: Any,
) -> Path:
    """Fresh weights for slices of 64 x 48, which change the image a little and find lesions anywhere.

    Args:
        folder: where to.
        method: as in the settings.
        copying: G gives its input back.
        finds: S finds a lesion in every pixel, or in none.
        mirrored: G sees its input mirrored, too.
        preprocessing: what differs from `FITTING`.
    """
    settings = tiny(method, "networks.output_mode=residual", f"networks.mirrored_input={mirrored}")
    torch.manual_seed(0)
    networks = build(settings).generators
    if copying:
        _constant(networks["G"], 0.0)
    if finds is not None:
        _constant(networks["S"], 20.0 if finds else -20.0)
    config = {
        "settings": settings.model_dump(mode="json"),
        "preprocessing": FITTING.model_copy(update=preprocessing).model_dump(mode="json"),
        "data": {"key": "none", "cohort": "none", "train": 0},
        "images": 0,
        "averaged": False,
    }
    save_weights(folder, networks, config)
    return folder


def _constant(network: nn.Module, value: float) -> None:
    """Let the last convolution give `value` whatever comes in."""
    output = cast(nn.Conv2d, network.output)
    nn.init.zeros_(output.weight)
    nn.init.constant_(cast(nn.Parameter, output.bias), value)
