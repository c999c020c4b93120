"""Reads a network's layers as the rows of the paper's tables."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Row(NamedTuple):
    """One convolution: where it leads, its kernel and stride, the norm and activation behind it."""

    output: tuple[int, int, int]  # rows, columns, channels
    kernel: int
    stride: int
    norm: str | None
    activation: str | None


IN = "InstanceNorm2d"

TABLE_2 = [
    Row((208, 160, 32), 7, 1, IN, "ReLU"),
    Row((104, 80, 64), 3, 2, IN, "ReLU"),
    Row((52, 40, 128), 3, 2, IN, "ReLU"),
    # six residual blocks: conv-IN-LeakyReLU-conv-IN
    *[Row((52, 40, 128), 3, 1, IN, "LeakyReLU"), Row((52, 40, 128), 3, 1, IN, None)] * 6,
    Row((104, 80, 64), 3, 1, IN, "ReLU"),
    Row((208, 160, 32), 3, 1, IN, "ReLU"),
    Row((208, 160, 1), 3, 1, None, None),
]


def rows(network: nn.Module, *inputs: Tensor) -> list[Row]:
    """The convolutions of a forward pass in the order in which they run, with what follows each."""
    events: list[tuple[nn.Module, tuple[int, ...]]] = []
    watched = (nn.Conv2d, nn.InstanceNorm2d, nn.GroupNorm, nn.ReLU, nn.LeakyReLU)
    hooks = [
        module.register_forward_hook(lambda module, _, out: events.append((module, tuple(out.shape))))
        for module in network.modules()
        if isinstance(module, watched)
    ]
    with torch.no_grad():
        network(*inputs)
    for hook in hooks:
        hook.remove()
    found: list[Row] = []
    for module, shape in events:
        if isinstance(module, nn.Conv2d):
            size = (shape[2], shape[3], shape[1])
            found.append(Row(size, module.kernel_size[0], module.stride[0], None, None))
        elif isinstance(module, nn.ReLU | nn.LeakyReLU):
            found[-1] = found[-1]._replace(activation=type(module).__name__)
        else:
            found[-1] = found[-1]._replace(norm=type(module).__name__)
    return found


def parameters(network: nn.Module) -> float:
    """Millions of parameters."""
    return sum(parameter.numel() for parameter in network.parameters()) / 1e6
