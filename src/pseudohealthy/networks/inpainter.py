"""The inpainter I: an image with a hole to the image with the hole filled in."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pseudohealthy.networks.blocks import Norm, clamp_straight_through
from pseudohealthy.networks.segmentor import Residual, Segmentor


class Inpainter(nn.Module):
    """I: `((1 - m) x, m) -> x`, two `(N, 1, H, W)` in [0, 1] to one; a U-Net of S's structure.

    The hole is cut out here, so that the U-Net never gets what was inside. Its output is a difference from
    the mean of the tissue around, since its norms remove the brightness of a scan.

    Args:
        width: channels of the first level.
        norm: "instance" per channel, or "layer" over all axes.
        residual: how a level's input is joined to its output.
    """

    def __init__(self, width: int = 32, *, norm: Norm = "instance", residual: Residual = "add") -> None:
        super().__init__()
        self.body = Segmentor(width, inputs=2, norm=norm, residual=residual)

    def forward(self, x: Tensor, m: Tensor) -> Tensor:
        """A whole image for `x` whose hole is where `m` is 1, `(N, 1, H, W)` in [0, 1]."""
        around = (1 - m) * x
        axes = (1, 2, 3)
        mean = around.sum(axes, keepdim=True) / (around > 0).sum(axes, keepdim=True).clamp(min=1)
        difference = 2 * self.body(torch.cat([around, m], dim=1)) - 1
        return clamp_straight_through(mean + difference)
