"""Past fakes, so that a discriminator does not forget what the generators used to do (Shrivastava 2017)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class FakePool:
    """Up to `size` past fakes; each new one is, with probability 1/2, exchanged for an old one.

    Args:
        size: fakes kept; 0 keeps none and shows only the newest.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.kept: list[Tensor] = []

    def exchange(self, fakes: Tensor, rng: np.random.Generator) -> Tensor:
        """What the discriminator is shown in the place of `fakes` `(N, 1, H, W)`, of the same shape."""
        shown = []
        for fake in fakes:
            if len(self.kept) < self.size:
                self.kept.append(fake.clone())
                shown.append(fake)
            elif self.size and rng.random() < 0.5:
                place = int(rng.integers(self.size))
                shown.append(self.kept[place])
                self.kept[place] = fake.clone()
            else:
                shown.append(fake)
        return torch.stack(shown)

    def state(self) -> list[Tensor]:
        """What `restore` needs."""
        return self.kept

    def restore(self, state: list[Tensor]) -> None:
        """Go on with the fakes of a saved state."""
        self.kept = state
