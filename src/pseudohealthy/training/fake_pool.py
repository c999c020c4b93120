"""A pool of earlier generated images, so that a discriminator does not forget them (Shrivastava 2017)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class FakePool:
    """Up to `size` generated images; each new one is, with probability 1/2, exchanged for a stored one.

    Args:
        size: images stored; 0: none, and each new image is passed on.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.stored: list[Tensor] = []

    def exchange(self, fakes: Tensor, rng: np.random.Generator) -> Tensor:
        """Images for a discriminator, new or stored ones, of the shape of `fakes` `(N, 1, H, W)`."""
        chosen = []
        for fake in fakes:
            if len(self.stored) < self.size:
                self.stored.append(fake.clone())
                chosen.append(fake)
            elif self.size and rng.random() < 0.5:
                place = int(rng.integers(self.size))
                chosen.append(self.stored[place])
                self.stored[place] = fake.clone()
            else:
                chosen.append(fake)
        return torch.stack(chosen)

    def store(self, fakes: Tensor, rng: np.random.Generator) -> None:
        """Store new images `(N, C, H, W)`; where the pool is full, in the place of any."""
        for fake in fakes:
            if len(self.stored) < self.size:
                self.stored.append(fake.clone())
            else:
                self.stored[int(rng.integers(self.size))] = fake.clone()

    def draw(self, count: int, rng: np.random.Generator) -> Tensor:
        """`count` stored images, each of them any, `(count, C, H, W)`."""
        return torch.stack([self.stored[int(place)] for place in rng.integers(len(self.stored), size=count)])

    def state(self) -> list[Tensor]:
        """The stored images, as `restore` takes them."""
        return self.stored

    def restore(self, state: list[Tensor]) -> None:
        """Continue with the images of a saved state."""
        self.stored = state
