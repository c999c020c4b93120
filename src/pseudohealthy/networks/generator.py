"""Table 2: the generator G, a pathological image to its pseudo-healthy image."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from pseudohealthy.networks.blocks import ConvBlock, Norm, ResidualBlock, UpBlock, initialise

RESIDUAL_BLOCKS = 6

Output = Literal["image", "residual"]


class Generator(nn.Module):
    """G: `x -> x~_h`, `(N, inputs, H, W)` to `(N, 1, H, W)` in [0, 1]; H and W multiples of 4 (Table 2).

    No skips between encoder and decoder: they would let the lesion through.

    Args:
        width: channels of the first convolution (32 in the paper, 1.96 M parameters).
        inputs: image channels; the reconstructor takes two.
        norm: "instance" per channel, or "layer" over all axes.
        output: "image" paints the whole image; "residual" what is added to the input's first channel, so
            that the network need not learn first to copy.
    """

    def __init__(
        self, width: int = 32, *, inputs: int = 1, norm: Norm = "instance", output: Output = "image"
    ) -> None:
        super().__init__()
        self.residual_output = output == "residual"
        self.encoder = nn.Sequential(
            ConvBlock(inputs, width, 7, norm=norm),
            ConvBlock(width, 2 * width, 3, stride=2, norm=norm),
            ConvBlock(2 * width, 4 * width, 3, stride=2, norm=norm),
        )
        self.residual = nn.Sequential(*(ResidualBlock(4 * width, norm=norm) for _ in range(RESIDUAL_BLOCKS)))
        self.decoder = nn.Sequential(
            UpBlock(4 * width, 2 * width, norm=norm),
            UpBlock(2 * width, width, norm=norm),
        )
        self.output = nn.Conv2d(width, 1, 3, padding=1)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """The image of `x`, `(N, 1, H, W)` in [0, 1]."""
        out: Tensor = self.output(self.decoder(self.residual(self.encoder(x)))).float()
        if self.residual_output:
            changed = x[:, :1] + out.tanh()
            # The gradient passes the clamp: saturated voxels, most of them lesion, would have none else, and
            # the generator would stay a copy.
            return changed + (changed.clamp(0, 1) - changed).detach()
        return out.sigmoid()
