"""The slices of a split that something is done to and measured on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudohealthy.config import Split
from pseudohealthy.data.manifest import Label
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import InputError


@dataclass(frozen=True, eq=False)
class SliceSet:
    """Slices and what is known of them; all arrays have the same N.

    Attributes:
        images: `(N, H, W)` in [0, 1].
        masks: `(N, H, W)` bool, the true lesions; black for healthy slices.
        volumes: `(N,)`, whose they are.
        subjects: `(N,)`.
        z: `(N,)`, the slice's index in its volume.
        heights: `(N,)` in [0, 1], from the brain's lowest slice to its highest.
        truth: `(N, H, W)` in [0, 1], the images without their lesions; None where nobody knows.
    """

    images: NDArray[np.float32]
    masks: NDArray[np.bool_]
    volumes: NDArray[np.str_]
    subjects: NDArray[np.str_]
    z: NDArray[np.int64]
    heights: NDArray[np.float64]
    truth: NDArray[np.float32] | None = None

    @property
    def brains(self) -> NDArray[np.bool_]:
        """`(N, H, W)`: pixels above the background's 0."""
        brains: NDArray[np.bool_] = self.images > 0
        return brains

    @classmethod
    def of(cls, prepared: Prepared, split: Split, label: Label = "pathological") -> Self:
        """The slices of one kind of a split.

        Raises:
            InputError: there is none.
        """
        table = rows_of(prepared, split, label)
        rows = table["row"].to_numpy()
        return cls(
            np.asarray(prepared.images[rows]),
            prepared.masks[rows] > 0,
            volume_names(table),
            table["subject"].to_numpy(dtype=str),
            table["z"].to_numpy(),
            table["height"].to_numpy(),
            None if prepared.truth is None else np.asarray(prepared.truth[rows]),
        )

    def largest(self) -> NDArray[np.int64]:
        """The slice of each volume in which its lesion is largest, in order of the volumes' lesion size."""
        area = np.count_nonzero(self.masks, axis=(1, 2))
        table = pd.DataFrame({"volume": self.volumes, "area": area})
        slices = table.groupby("volume", sort=False)["area"]
        order = slices.sum().sort_values(kind="stable").index
        return slices.idxmax().loc[order].to_numpy()


def rows_of(prepared: Prepared, split: Split, label: Label = "pathological") -> pd.DataFrame:
    """The rows of one kind of a split in the table of slices.

    Raises:
        InputError: there is none.
    """
    table = prepared.slices
    table = table[(table["split"] == split) & (table["label"] == label)]
    if table.empty:
        raise InputError(f"the prepared cohort has no {label} {split} slice to evaluate on")
    return table


def volume_names(table: pd.DataFrame) -> NDArray[np.str_]:
    """Subject, and session where there are several: a label a slice."""
    several = table["session"] != "n/a"
    names = table["subject"].where(~several, table["subject"] + "_ses-" + table["session"])
    return names.to_numpy(dtype=str)
