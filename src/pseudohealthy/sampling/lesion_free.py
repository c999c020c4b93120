"""Slices without a lesion from all over the brain: healthy slices, and those at its edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pseudohealthy.sampling.random_streams import (
    BALANCED_EDGES,
    BALANCED_HEALTHY,
    LESION_FREE,
    RandomStreams,
)

EDGE_EVERY = 3  # of a balanced draw, one slice in so many is an edge slice


@dataclass(frozen=True, eq=False)
class LesionFreeSlices:
    """The slices without a lesion of a split.

    Attributes:
        rows: `(N,)`, of healthy and edge slices in the cohort's order.
        is_edge: `(N,)` bool, which are edge slices.
    """

    rows: NDArray[np.int64]
    is_edge: NDArray[np.bool_]

    def all_alike(self, streams: RandomStreams, step: int) -> NDArray[np.int64]:
        """Rows for a whole batch; every one before any comes again."""
        return self.rows[streams.shuffled(len(self.rows), step, LESION_FREE)]

    def balanced(self, streams: RandomStreams, step: int) -> NDArray[np.int64]:
        """Rows for a whole batch, two healthy ones for each edge slice, if there are edge slices.

        Every one of each kind comes before any comes again.
        """
        places = streams.places(step)
        healthy, edges = self.rows[~self.is_edge], self.rows[self.is_edge]
        if not len(edges):
            return healthy[streams.permuted(places, len(healthy), BALANCED_HEALTHY)]
        is_edge, before = places % EDGE_EVERY == EDGE_EVERY - 1, (places + 1) // EDGE_EVERY
        of_edges = edges[streams.permuted(places // EDGE_EVERY, len(edges), BALANCED_EDGES)]
        of_healthy = healthy[streams.permuted(places - before, len(healthy), BALANCED_HEALTHY)]
        return np.where(is_edge, of_edges, of_healthy)
