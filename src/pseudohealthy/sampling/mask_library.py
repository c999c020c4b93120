"""The lesion-mask library: real masks of other volumes than the slice's own."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from pseudohealthy.errors import InputError
from pseudohealthy.sampling.random_streams import LIBRARY, RandomStreams

if TYPE_CHECKING:  # not for those who only process images
    import pandas as pd

    from pseudohealthy.data.prepared import Prepared


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
