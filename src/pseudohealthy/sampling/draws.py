"""How slices and masks are drawn, in random streams that the seed and the step alone decide.

Healthy slices, at random or at heights like those of pathological ones; slices without a lesion from all over
the brain; real lesion masks of other volumes than the slice's own; and, where only a fraction of the masks is
to be used, whose.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from pseudohealthy.errors import InputError

if TYPE_CHECKING:  # not for those who only process images
    import pandas as pd

    from pseudohealthy.data.prepared import Prepared

# Streams of draws; augmentation has its own for each of these, from AUGMENT on
PATHOLOGICAL, HEALTHY, LIBRARY, AUGMENT = 0, 1, 2, 3
INPAINTING, LABELLED, SYNTHETIC, LESION_FREE = 10, 11, 12, 13
BALANCED_HEALTHY, BALANCED_EDGES, TIES = 20, 21, 22
DISCRIMINATORS, WARM_UP = 1, 2  # who else draws from the same streams, in another order
NEIGHBOURS = 20  # healthy slices of nearest height, among which one is drawn
EDGE_EVERY = 3  # of a balanced draw, one slice in so many is an edge slice
VOLUME = ["source", "subject", "session"]  # what names a volume in the table of slices


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


@dataclass(frozen=True, eq=False)
class MaskLibrary:
    """Lesion masks to draw from.

    Attributes:
        masks: `(M, H, W)`, 1 is lesion; a memory map.
        table: the rows of `masks` that may be drawn.
    """

    masks: NDArray[np.uint8]
    table: pd.DataFrame

    @classmethod
    def of(cls, prepared: Prepared, slices: pd.DataFrame) -> Self:
        """The cohort's masks without image, where it has some, else those of `slices`.

        Raises:
            InputError: there is none.
        """
        masks, table = prepared.masks, slices[slices["label"] == "pathological"]
        if prepared.mask_library is not None and prepared.mask_library_slices is not None:
            masks, table = prepared.mask_library, prepared.mask_library_slices
        if table.empty:
            raise InputError(
                "the prepared cohort has no lesion mask in any training slice; prepare it with more volumes"
            )
        return cls(masks, table.reset_index(drop=True))

    def expect_others(self, subjects: Collection[str]) -> None:
        """Make sure that each of the subjects can have a mask of another one.

        Raises:
            InputError: one cannot.
        """
        only = set(self.table["subject"])
        if len(only) == 1 and not only.isdisjoint(subjects):
            raise InputError("all lesion masks are of one volume; the method needs masks of others")

    def others(
        self, subjects: Iterable[str], streams: RandomStreams, step: int, part: slice
    ) -> NDArray[np.int64]:
        """Rows of `masks` of other subjects; of any where there is no other and none is needed."""
        draws = streams.rng(LIBRARY, step).random(streams.batch_size)[part]
        rows = []
        for subject, draw in zip(subjects, draws, strict=True):
            others = self.table["subject"] != subject
            candidates = self.table.loc[others if others.any() else ~others, "row"].to_numpy()
            rows.append(candidates[int(draw * len(candidates))])
        return np.array(rows)


def with_labelled_fraction(table: pd.DataFrame, fraction: float, rng: np.random.Generator) -> pd.DataFrame:
    """A table of slices in which only a fraction of the volumes with a lesion mask keep it.

    The pathological slices of the others become unlabelled. One seed's larger fraction holds its smaller.

    Args:
        table: rows of a prepared cohort's slices.
        fraction: of the volumes with a mask, in [0, 1]; above 0, one at least keeps it.
        rng: which ones.
    """
    if fraction == 1:
        return table
    pathological = table["label"] == "pathological"
    volumes = table.loc[pathological, VOLUME].drop_duplicates()
    count = max(round(fraction * len(volumes)), int(fraction > 0))
    labelled = volumes.iloc[rng.permutation(len(volumes))[:count]]
    whose = table.set_index(VOLUME).index
    loses = pathological & ~whose.isin(labelled.set_index(VOLUME).index)
    return table.assign(label=table["label"].mask(loses, "unlabelled"))
