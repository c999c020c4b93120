"""Augmentation of a batch: image and mask turned alike, the mask never touched otherwise."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

GAMMA = (0.8, 1.25)


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
