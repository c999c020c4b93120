"""The discriminator D_l of small patches, for the texture of G's image where the lesion was."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from pseudohealthy.networks.blocks import ConvBlock, Norm, initialise

KERNEL = 4
STRIDES = (2, 2, 1)  # with the last convolution, of stride 1, a receptive field of 34 pixels


class PatchDiscriminator(nn.Module):
    """D_l: images and masks `(N, 2, H, W)` to scores of patches of 34 x 34 pixels, higher for real.

    The PatchGAN of Isola 2017 with two strided convolutions. The mask says which part of the image was made.
    With spectral norm in place of the norms, and without the mask, it did not learn: it went on guessing.

    Args:
        width: channels of the first convolution.
        norm: "instance" per channel, or "layer" over all axes.
    """

    def __init__(self, width: int = 32, *, norm: Norm = "instance") -> None:
        super().__init__()
        widths = (2, width, 2 * width, 4 * width)
        self.patches = nn.Sequential(
            *(
                ConvBlock(inputs, outputs, KERNEL, stride=stride, norm=norm, leaky=True)
                for (inputs, outputs), stride in zip(pairwise(widths), STRIDES, strict=True)
            )
        )
        self.output = nn.Conv2d(widths[-1], 1, KERNEL, padding=1)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """The score of each patch of `x`, unbounded, `(N, 1, H/4 - 2, W/4 - 2)`."""
        out: Tensor = self.output(self.patches(x)).float()
        return out
