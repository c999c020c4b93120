"""The discriminator D_l of small patches, for the texture of G's image where the lesion was."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from pseudohealthy.networks.blocks import activation, initialise

KERNEL = 4
STRIDES = (2, 2, 1, 1)  # a receptive field of 34 pixels


class PatchDiscriminator(nn.Module):
    """D_l: `(N, 1, H, W)` to a score per patch of 34 x 34 pixels, higher for real, unbounded.

    The PatchGAN of Isola 2017 with two strided convolutions; spectral norm (Miyato 2018) in place of other
    norms, so that every patch is judged by itself and the hinge loss needs no penalty.

    Args:
        width: channels of the first convolution.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        widths = (1, width, 2 * width, 4 * width, 1)
        layers: list[nn.Module] = []
        for (inputs, outputs), stride in zip(pairwise(widths), STRIDES, strict=True):
            layers += [nn.Conv2d(inputs, outputs, KERNEL, stride, padding=1), activation(leaky=True)]
        self.layers = nn.Sequential(*layers[:-1])
        initialise(self)
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                spectral_norm(layer)

    def forward(self, x: Tensor) -> Tensor:
        """The score of each patch of `x`, higher for a real one, `(N, 1, H/4 - 2, W/4 - 2)`."""
        out: Tensor = self.layers(x).float()
        return out
