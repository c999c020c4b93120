"""The segmentor S: a U-Net (Ronneberger 2015) with a residual connection on each level."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from pseudohealthy.networks.blocks import ConvBlock, Norm, UpBlock, initialise

DEPTH = 4

Residual = Literal["add", "concatenate"]


class Level(nn.Module):
    """Two 3x3 convolutions and a residual connection around them, `(N, C, H, W)` to `(N, C', H, W)`.

    "add" adds the input (through a 1x1 projection where widths differ); "concatenate" joins input and output
    along the channels and projects them to C'.
    """

    def __init__(self, inputs: int, outputs: int, *, norm: Norm, residual: Residual) -> None:
        super().__init__()
        self.body = nn.Sequential(
            ConvBlock(inputs, outputs, 3, norm=norm, leaky=True),
            ConvBlock(outputs, outputs, 3, norm=norm, leaky=True),
        )
        self.concatenate = residual == "concatenate"
        self.projection: nn.Module = nn.Identity()
        if self.concatenate:
            self.projection = nn.Conv2d(inputs + outputs, outputs, 1)
        elif inputs != outputs:
            self.projection = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The level's features, `(N, C', H, W)`."""
        y: Tensor = self.body(x)
        both: Tensor = self.projection(torch.cat([x, y], 1)) if self.concatenate else y + self.projection(x)
        return both


class Segmentor(nn.Module):
    """S: `x -> m~`, `(N, inputs, H, W)` to a probability `(N, 1, H, W)` in [0, 1]; H, W multiples of 16.

    Args:
        width: channels of the first level (32: 8.98 M parameters; Ronneberger has 64).
        inputs: image channels; the inpainter takes two.
        norm: "instance" per channel, or "layer" over all axes.
        residual: how a level's input joins its output.
    """

    def __init__(
        self, width: int = 32, *, inputs: int = 1, norm: Norm = "instance", residual: Residual = "add"
    ) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(DEPTH + 1)]
        self.down = nn.ModuleList(
            Level(before, after, norm=norm, residual=residual)
            for before, after in zip([inputs, *widths[:-2]], widths[:-1], strict=True)
        )
        self.pool = nn.MaxPool2d(2)
        self.bottom = Level(widths[-2], widths[-1], norm=norm, residual=residual)
        self.grow = nn.ModuleList(UpBlock(2 * w, w, norm=norm, leaky=True) for w in reversed(widths[:-1]))
        self.up = nn.ModuleList(Level(2 * w, w, norm=norm, residual=residual) for w in reversed(widths[:-1]))
        self.output = nn.Conv2d(width, 1, 1)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """The lesion probability of each pixel of `x`, `(N, 1, H, W)` in [0, 1]."""
        return self.logits(x).sigmoid()

    def logits(self, x: Tensor) -> Tensor:
        """The output before the sigmoid, `(N, 1, H, W)`, for losses that must not saturate with it."""
        skips = []
        for level in self.down:
            x = level(x)
            skips.append(x)
            x = self.pool(x)
        x = self.bottom(x)
        for grow, level in zip(self.grow, self.up, strict=True):
            x = level(torch.cat([skips.pop(), grow(x)], dim=1))
        out: Tensor = self.output(x)
        return out.float()
