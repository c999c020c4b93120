"""Table 3: the reconstructor R, a healthy image and a lesion mask to the image with that lesion."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pseudohealthy.networks.blocks import Norm
from pseudohealthy.networks.generator import Generator, OutputMode


class Reconstructor(nn.Module):
    """R: `(x~_h, m) -> x^`, two `(N, 1, H, W)` in [0, 1] to one (Table 3, whose two outputs are a slip).

    Args:
        width: channels of the first convolution (32 in the paper).
        norm: "instance" per channel, or "layer" over all axes.
        output_mode: "image" puts out the whole image; "residual" the difference that is added to `x~_h`;
            "gated" an image and a gate that blends it with `x~_h`.
        long_skips: as in the generator.
    """

    def __init__(
        self,
        width: int = 32,
        *,
        norm: Norm = "instance",
        output_mode: OutputMode = "image",
        long_skips: bool = False,
    ) -> None:
        super().__init__()
        self.body = Generator(width, inputs=2, norm=norm, output_mode=output_mode, long_skips=long_skips)

    def forward(self, x: Tensor, m: Tensor) -> Tensor:
        """The image `x` with a lesion where `m` is 1, `(N, 1, H, W)` in [0, 1]."""
        out: Tensor = self.body(torch.cat([x, m], dim=1))
        return out
