"""Augmentation of a batch: image and mask deformed alike, intensities of the image alone."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

GAMMA = (0.8, 1.25)
# Of `Deform`: as far as heads and scanners differ, beside the flips and gamma.
ROTATION = math.radians(15)  # to either side
SCALE = 1.15  # at most, and its inverse at least
SHIFT = 0.04  # of the field
BEND = 0.03  # of half the field (sd): 3 px of 208
LATTICE = 5  # nodes along an axis, of the bend and of the shading
SHADE = 0.1  # sd of the logarithm
NOISE = 0.03  # sd at most


class FlipGamma:
    """Left-right flips of image and mask alike, and gamma of the image, drawn once for a whole batch.

    Args:
        size: images in the batch over all processes.
        rng: where the draws come from.
        part: the images of this process; the draws do not depend on it.
    """

    def __init__(self, size: int, rng: np.random.Generator, part: slice) -> None:
        low, high = np.log(GAMMA)
        self.flip = torch.from_numpy(rng.random(size) < 0.5)[part].view(-1, 1, 1, 1)
        gamma = np.exp(rng.uniform(low, high, size)).astype(np.float32)
        self.gamma = torch.from_numpy(gamma)[part].view(-1, 1, 1, 1)

    def mask(self, m: Tensor) -> Tensor:
        """Masks `(N, 1, H, W)`, flipped as their images."""
        return torch.where(self.flip, m.flip(-1), m)

    def image(self, x: Tensor) -> Tensor:
        """Images `(N, 1, H, W)` in [0, 1], flipped and raised to gamma: 0 stays 0 and 1 stays 1."""
        return self.mask(x) ** self.gamma


class Deform(FlipGamma):
    """Besides: image and mask turned, scaled, moved and bent alike; smooth shading and noise of the image.

    The mask stays binary, the background of an image 0 and its range [0, 1]. Lines between pixels are
    interpolated, so images come out a little softer.
    """

    def __init__(self, size: int, rng: np.random.Generator, part: slice) -> None:
        super().__init__(size, rng, part)

        def uniform(most: float, count: int = 1) -> Tensor:
            return torch.from_numpy(rng.uniform(-most, most, (size, count)).astype(np.float32))[part]

        def nodes(channels: int, sd: float) -> Tensor:
            drawn = rng.normal(0, sd, (size, channels, LATTICE, LATTICE)).astype(np.float32)
            return torch.from_numpy(drawn)[part]

        self.angle, self.scale = uniform(ROTATION)[:, 0], uniform(math.log(SCALE), 2).exp()
        self.shift, self.bend, self.shade = uniform(2 * SHIFT, 2), nodes(2, BEND), nodes(1, SHADE)
        self.noise = uniform(NOISE).abs().view(-1, 1, 1, 1)
        self.seed = int(rng.integers(2**63))
        self.part = part
        self.size = size

    def mask(self, m: Tensor) -> Tensor:
        """Masks `(N, 1, H, W)`, deformed as their images."""
        return (self._moved(super().mask(m)) > 0.5).to(m.dtype)

    def image(self, x: Tensor) -> Tensor:
        """Images `(N, 1, H, W)` in [0, 1], deformed, shaded and with noise where they are not black."""
        flipped = torch.where(self.flip, x.flip(-1), x)
        x = self._moved(flipped) ** self.gamma
        shade = functional.interpolate(self.shade, x.shape[-2:], mode="bicubic", align_corners=True).exp()
        drawn = torch.randn(
            (self.size, *x.shape[1:]), generator=torch.Generator().manual_seed(self.seed), dtype=x.dtype
        )
        noise = self.noise * drawn[self.part]
        return torch.where(x > 0, x * shade + noise, x).clamp(0, 1)

    def _moved(self, x: Tensor) -> Tensor:
        """`x` seen through the deformed grid; black from outside."""
        h, w = x.shape[-2:]
        cos, sin = self.angle.cos(), self.angle.sin()
        # Rotations are of pixels, and the grid's units are halves of the field's two lengths.
        rows = [
            torch.stack([cos * self.scale[:, 0], -sin * h / w * self.scale[:, 1], self.shift[:, 0]], -1),
            torch.stack([sin * w / h * self.scale[:, 0], cos * self.scale[:, 1], self.shift[:, 1]], -1),
        ]
        grid = functional.affine_grid(torch.stack(rows, 1), list(x.shape), align_corners=False)
        bend = functional.interpolate(self.bend, (h, w), mode="bicubic", align_corners=True)
        return functional.grid_sample(x, grid + bend.movedim(1, -1), align_corners=False)


class Unchanged:
    """No augmentation."""

    def image(self, x: Tensor) -> Tensor:
        """`x`."""
        return x

    def mask(self, m: Tensor) -> Tensor:
        """`m`."""
        return m


def augmentation(
    kind: Literal["none", "flip_gamma", "deform"], size: int, rng: np.random.Generator, part: slice
) -> FlipGamma | Unchanged:
    """The augmentation that `training.augment` names; the other arguments are those of `FlipGamma`."""
    if kind == "none":
        return Unchanged()
    return (Deform if kind == "deform" else FlipGamma)(size, rng, part)
