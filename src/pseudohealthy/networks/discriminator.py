"""Table 4: the discriminators D_x (images) and D_m (masks)."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from pseudohealthy.networks.blocks import ConvBlock, Norm, initialise

Activation = Literal["sigmoid", "linear"]


class Discriminator(nn.Module):
    """D_x, D_m or D_p: `(N, 1, H, W)` to a score per patch, `(N, 1, H/16, W/16)`, higher for real (Table 4).

    The last convolution has an even kernel and leaves the size as it is, so it pads one before, two behind.

    Args:
        width: channels of the first convolution (32 in the paper, 2.70 M parameters).
        norm: "instance" per channel, or "layer" over all axes.
        activation: the last activation: "sigmoid", in (0, 1), or "linear", unbounded.
    """

    def __init__(
        self, width: int = 32, *, norm: Norm = "instance", activation: Activation = "sigmoid"
    ) -> None:
        super().__init__()
        self.bounded = activation == "sigmoid"
        widths = (1, width, 4 * width, 8 * width, 16 * width)
        self.patches = nn.Sequential(
            *(
                ConvBlock(inputs, outputs, 4, stride=2, norm=norm, leaky=True)
                for inputs, outputs in pairwise(widths)
            )
        )
        self.output = nn.Sequential(nn.ZeroPad2d((1, 2, 1, 2)), nn.Conv2d(widths[-1], 1, 4))
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """The score of each patch of `x`, higher for a real one, `(N, 1, H/16, W/16)`."""
        out: Tensor = self.output(self.patches(x)).float()
        return out.sigmoid() if self.bounded else out
