"""Table 2: the generator G, a pathological image to its pseudo-healthy image."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from pseudohealthy.networks.blocks import (
    ConvBlock,
    Norm,
    ResidualBlock,
    UpBlock,
    clamp_straight_through,
    initialise,
)
from pseudohealthy.networks.midline import mirrored

RESIDUAL_BLOCKS = 6

GATE_BIAS = -2.0  # sigmoid(-2) = 0.12: an untrained generator's image is mostly its input

OutputMode = Literal["image", "residual", "gated"]


class Generator(nn.Module):
    """G: `x -> x~_h`, `(N, inputs, H, W)` to `(N, 1, H, W)` in [0, 1]; H and W multiples of 4 (Table 2).

    In the paper there are no skips between encoder and decoder: they let the lesion through.

    Args:
        width: channels of the first convolution (32 in the paper, 1.96 M parameters).
        inputs: image channels; the reconstructor takes two.
        norm: "instance" per channel, or "layer" over all axes.
        output_mode: "image" puts out the whole image; "residual" a difference that is added to the input's
            first channel, so that the network need not learn to copy; "gated" an image and a gate in [0, 1]
            that blends it with that channel, so that texture is replaced too.
        long_skips: the encoder's features are concatenated with the decoder's of the same size.
        mirrored_input: the encoder also gets the input's first channel mirrored about the brain's midline,
            which is computed here.
    """

    def __init__(
        self,
        width: int = 32,
        *,
        inputs: int = 1,
        norm: Norm = "instance",
        output_mode: OutputMode = "image",
        long_skips: bool = False,
        mirrored_input: bool = False,
    ) -> None:
        super().__init__()
        self.output_mode, self.long_skips, self.mirrored_input = output_mode, long_skips, mirrored_input
        beside = 2 if long_skips else 1
        self.encoder = nn.Sequential(
            ConvBlock(inputs + mirrored_input, width, 7, norm=norm),
            ConvBlock(width, 2 * width, 3, stride=2, norm=norm),
            ConvBlock(2 * width, 4 * width, 3, stride=2, norm=norm),
        )
        self.residual = nn.Sequential(*(ResidualBlock(4 * width, norm=norm) for _ in range(RESIDUAL_BLOCKS)))
        self.decoder = nn.Sequential(
            UpBlock(4 * width, 2 * width, norm=norm),
            UpBlock(beside * 2 * width, width, norm=norm),
        )
        self.output = nn.Conv2d(beside * width, 2 if output_mode == "gated" else 1, 3, padding=1)
        initialise(self)
        if output_mode == "gated" and self.output.bias is not None:
            nn.init.constant_(self.output.bias[1:], GATE_BIAS)

    def forward(self, x: Tensor) -> Tensor:
        """The image of `x`, `(N, 1, H, W)` in [0, 1]."""
        out: Tensor = self.output(self._decoded(x)).float()
        if self.output_mode == "residual":
            return clamp_straight_through(x[:, :1] + out.tanh())
        out = out.sigmoid()
        if self.output_mode == "gated":
            return torch.lerp(x[:, :1].float(), out[:, :1], out[:, 1:])
        return out

    def _decoded(self, x: Tensor) -> Tensor:
        """The last features, `(N, width, H, W)`, or twice as many with skips."""
        skips = []
        if self.mirrored_input:
            x = torch.cat([x, mirrored(x[:, :1])], dim=1)
        for down in self.encoder:
            x = down(x)
            skips.append(x)
        x = self.residual(x)
        for up, skip in zip(self.decoder, (skips[1], skips[0]), strict=True):
            x = torch.cat([skip, up(x)], dim=1) if self.long_skips else up(x)
        return x
