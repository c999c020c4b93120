"""The volume is the unit: the slices of each, and a table with a row a volume."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

Rows = NDArray[np.intp]


def rows_of(volumes: ArrayLike) -> dict[Any, Rows]:
    """Which slices belong to each volume, in order of first appearance; they need not be neighbours.

    Args:
        volumes: labels, (N,).
    """
    labels = np.asarray(volumes)
    return {label: np.flatnonzero(labels == label) for label in pd.unique(labels)}


def by_volume(volumes: ArrayLike, measure: Callable[[Rows], Mapping[str, float]]) -> pd.DataFrame:
    """A row a volume: what `measure` says of its slices, one volume after the other.

    Args:
        volumes: labels, (N,).
        measure: from the places of a volume's slices to values by name.

    Returns:
        Indexed by `volume`, in order of first appearance.
    """
    rows = rows_of(volumes)
    measured = [dict(measure(each)) for each in rows.values()]
    return pd.DataFrame(measured, index=pd.Index(list(rows), name="volume"))
