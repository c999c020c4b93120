"""Random draws that depend on the seed and the step alone, in streams that do not disturb each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Streams of draws; augmentation has its own for each of these, from AUGMENT on
PATHOLOGICAL, HEALTHY, LIBRARY, AUGMENT = 0, 1, 2, 3
INPAINTING, LABELLED, SYNTHETIC, LESION_FREE = 10, 11, 12, 13
BALANCED_HEALTHY, BALANCED_EDGES, TIES = 20, 21, 22
DISCRIMINATORS, WARM_UP = 1, 2  # who else draws from the same streams, in another order


@dataclass(frozen=True)
class RandomStreams:
    """The draws of one seed.

    Attributes:
        seed: which decides them all.
        batch_size: images in a whole batch.
        reader: for whom other draws of the same streams are made: (), (DISCRIMINATORS,) or (WARM_UP,).
    """

    seed: int
    batch_size: int
    reader: tuple[int, ...] = ()

    def rng(self, stream: int, *numbers: int) -> np.random.Generator:
        """The generator of a stream, at a step or whatever else the numbers count."""
        return np.random.default_rng([self.seed, stream, *numbers, *self.reader])

    def places(self, step: int) -> NDArray[np.int64]:
        """The numbers of a whole batch's images, counted from the first batch on."""
        return np.arange(step * self.batch_size, (step + 1) * self.batch_size)

    def shuffled(self, count: int, step: int, stream: int) -> NDArray[np.int64]:
        """For a whole batch, numbers below `count`: each once before any comes again."""
        return self.permuted(self.places(step), count, stream)

    def permuted(self, places: NDArray[np.int64], count: int, stream: int) -> NDArray[np.int64]:
        """What stands at these places of an endless row of permutations of `count` numbers."""
        epochs = {epoch: self.rng(stream, int(epoch)).permutation(count) for epoch in set(places // count)}
        return np.array([epochs[place // count][place % count] for place in places])
