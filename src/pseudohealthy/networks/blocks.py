"""The pieces that the networks of Tables 2-4 are made of."""

from __future__ import annotations

from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Norm = Literal["instance", "layer"]
LEAK = 0.2
EPSILON = 1e-5


class InstanceNorm2d(nn.InstanceNorm2d):
    """Instance norm, in whichever layout `(N, C, H, W)` has in memory.

    PyTorch's own converts channels last on a CPU to contiguous and leaves it so, which takes longer than the
    norm. Its batch norm knows the layout, and of one sample is that sample's instance norm.
    """

    def forward(self, x: Tensor) -> Tensor:
        """`x` with mean `bias` and standard deviation `weight` in each channel of each sample."""
        is_channels_last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
        if x.device.type != "cpu" or not is_channels_last:
            return super().forward(x)
        norm = partial(
            F.batch_norm,
            running_mean=None,
            running_var=None,
            weight=self.weight,
            bias=self.bias,
            training=True,
            eps=self.eps,
        )
        return torch.cat([norm(sample) for sample in x.split(1)]) if len(x) > 1 else norm(x)


def normalisation(channels: int, norm: Norm) -> nn.Module:
    """Instance norm (each channel by itself) or layer norm (all axes together), affine, of `(N, C, H, W)`."""
    if norm == "layer":
        return nn.GroupNorm(1, channels, eps=EPSILON)
    return InstanceNorm2d(channels, eps=EPSILON, affine=True)


def activation(leaky: bool) -> nn.Module:
    """ReLU, or LeakyReLU of slope 0.2."""
    return nn.LeakyReLU(LEAK, inplace=True) if leaky else nn.ReLU(inplace=True)


class ConvBlock(nn.Sequential):
    """Convolution, norm, activation: one row of the tables, `(N, C, H, W)` to `(N, C', H/stride, W/stride)`.

    The convolution has no bias: an instance norm behind it takes any constant away again.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, *, norm: Norm, leaky: bool = False
    ) -> None:
        padding = (kernel - 1) // 2
        super().__init__(
            nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False),
            normalisation(outputs, norm),
            activation(leaky),
        )


class UpBlock(nn.Sequential):
    """Nearest-neighbour upsampling by two and a 3x3 `ConvBlock`: `(N, C, H, W)` to `(N, C', 2H, 2W)`."""

    def __init__(self, inputs: int, outputs: int, *, norm: Norm, leaky: bool = False) -> None:
        super().__init__(
            nn.Upsample(scale_factor=2, mode="nearest"),
            ConvBlock(inputs, outputs, 3, norm=norm, leaky=leaky),
        )


class ResidualBlock(nn.Module):
    """conv-IN-LeakyReLU-conv-IN, added to the input; nothing after. Keeps `(N, C, H, W)`."""

    def __init__(self, channels: int, *, norm: Norm) -> None:
        super().__init__()
        self.body = nn.Sequential(
            ConvBlock(channels, channels, 3, norm=norm, leaky=True),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            normalisation(channels, norm),
        )

    def forward(self, x: Tensor) -> Tensor:
        """`x` and what the block adds to it."""
        out: Tensor = x + self.body(x)
        return out


def clamp_straight_through(x: Tensor) -> Tensor:
    """`x` within [0, 1], with the gradient of `x` itself.

    Saturated voxels, most of them lesion, would have none else, and a generator would stay a copy.
    """
    return x + (x.clamp(0, 1) - x).detach()


def initialise(network: nn.Module) -> None:
    """Draw the weights of every convolution from N(0, 0.02); biases are 0, norms the identity (section 1).

    Of a network without values (on "meta") none are drawn: torch would load its compiler for it, in a second.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
            nn.init.normal_(module.weight, 0.0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
