"""Healthy slices for a batch: at random, or at heights like those of its pathological slices."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pseudohealthy.sampling.random_streams import HEALTHY, TIES, RandomStreams

if TYPE_CHECKING:
    import pandas as pd

NEIGHBOURS = 20  # healthy slices of nearest height, among which one is drawn


@dataclass(frozen=True, eq=False)
class HealthySlices:
    """The healthy slices of a split.

    Attributes:
        table: their rows.
        neighbours: of the slices, so many of nearest height are those among which one is drawn.
    """

    table: pd.DataFrame
    neighbours: int = NEIGHBOURS

    def at_random(self, streams: RandomStreams, step: int) -> NDArray[np.int64]:
        """Places in the table, for a whole batch."""
        return streams.shuffled(len(self.table), step, HEALTHY)

    def at_heights(
        self, heights: Iterable[float], streams: RandomStreams, step: int, part: slice
    ) -> NDArray[np.int64]:
        """Places in the table, one near each of the heights, which are those of a part of a batch."""
        size = streams.batch_size
        nth = streams.rng(HEALTHY, step).integers(0, min(self.neighbours, len(self.table)), size)[part]
        draws = streams.rng(HEALTHY, step, TIES).random(size)[part]
        places = []
        for height, number, draw in zip(heights, nth, draws, strict=True):
            near = self.near(height)
            places.append(near[number] if len(near) <= self.neighbours else near[int(draw * len(near))])
        return np.array(places, dtype=np.int64)

    def near(self, height: float) -> NDArray[np.int64]:
        """Places of the slices nearest in height; where more of them are equally near, of all those.

        Such are the slices of a cohort of one slice a patient: the first few of them would be drawn for ever.
        """
        distance = np.abs(self.table["height"].to_numpy() - height)
        near: NDArray[np.int64] = np.argsort(distance, kind="stable")
        count = max(self.neighbours, np.count_nonzero(distance == distance[near[0]]))
        return near[:count]
