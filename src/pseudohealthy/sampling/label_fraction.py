"""Training with the masks of a few: whose masks are used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

VOLUME = ["source", "subject", "session"]


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
