"""Slices that a method is given and measured on: those of a prepared cohort, or anybody's arrays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudohealthy.config import Split
from pseudohealthy.data.prepared import Label, Prepared
from pseudohealthy.errors import InputError

Stack = NDArray[np.float32]  # of images, `(N, H, W)`
MaskStack = NDArray[np.bool_]  # of masks, `(N, H, W)`


@dataclass(frozen=True, eq=False)
class SliceSet:
    """Slices and what is known of them; all arrays have the same N, and may be memory maps.

    Attributes:
        images: x, `(N, H, W)` in [0, 1], 0 outside the brain.
        masks: `(N, H, W)`, > 0: the true lesions; black for healthy slices.
        volumes: `(N,)`, a label a slice; slices of one volume need not be neighbours.
        subjects: `(N,)`, whose volumes they are; not given: each volume is somebody else's.
        z: `(N,)`, the slice's index in its volume; None where it is not known.
        heights: `(N,)` in [0, 1], from the brain's lowest slice to its highest; None where not known.
        truth: `(N, H, W)` in [0, 1], the images without their lesions; None where nobody knows.
        spacing: of rows and of columns, in mm.

    Raises:
        InputError: arrays whose shapes do not fit together.
    """

    images: NDArray[Any]
    masks: NDArray[Any]
    volumes: NDArray[Any]
    subjects: NDArray[Any] = None  # type: ignore[assignment]  # the volumes take its place
    z: NDArray[np.int64] | None = None
    heights: NDArray[np.float64] | None = None
    truth: NDArray[Any] | None = None
    spacing: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        if vars(self)["subjects"] is None:
            object.__setattr__(self, "subjects", self.volumes)
        if len(self.images.shape) != 3:
            raise InputError(f"images have shape {self.images.shape}, expected (N, H, W)")
        self.check_shape("masks", self.masks)
        if self.truth is not None:
            self.check_shape("truth", self.truth)
        for name in ("volumes", "subjects", "z", "heights"):
            values = getattr(self, name)
            if values is not None and values.shape != (len(self),):
                raise InputError(f"{name} has shape {values.shape}, expected one a slice, {(len(self),)}")

    def __len__(self) -> int:
        return len(self.images)

    def check_shape(self, name: str, stack: NDArray[Any]) -> None:
        """Make sure that a stack, such as outputs, has the images' shape.

        Raises:
            InputError: it has another.
        """
        if stack.shape != self.images.shape:
            raise InputError(f"{name} have shape {stack.shape}, but images have {self.images.shape}")

    @property
    def brains(self) -> NDArray[np.bool_]:
        """`(N, H, W)`: pixels above the background's 0."""
        brains: NDArray[np.bool_] = self.images > 0
        return brains

    def at(self, rows: NDArray[Any]) -> Self:
        """The slices at these places alone, in memory."""
        z, heights, truth = (
            None if values is None else values[rows] for values in (self.z, self.heights, self.truth)
        )
        return replace(
            self,
            images=self.images[rows],
            masks=self.masks[rows],
            volumes=self.volumes[rows],
            subjects=self.subjects[rows],
            z=z,
            heights=heights,
            truth=truth,
        )

    def required(self, name: Literal["z", "heights", "truth"]) -> NDArray[Any]:
        """What may be missing, where it must not be.

        Raises:
            InputError: it is missing.
        """
        values: NDArray[Any] | None = getattr(self, name)
        if values is None:
            raise InputError(f"the slices' {name} is not known; give the SliceSet {name}=")
        return values

    @classmethod
    def of(cls, prepared: Prepared, split: Split, label: Label = "pathological") -> Self:
        """The slices of one kind of a split.

        Raises:
            InputError: there is none.
        """
        table = rows_of(prepared, split, label)
        rows = table["row"].to_numpy()
        spacing = prepared.preprocessing.spacing
        return cls(
            np.asarray(prepared.images[rows]),
            prepared.masks[rows] > 0,
            volume_names(table),
            table["subject"].to_numpy(dtype=str),
            table["z"].to_numpy(),
            table["height"].to_numpy(),
            None if prepared.truth is None else np.asarray(prepared.truth[rows]),
            (spacing, spacing),
        )

    def largest(self) -> NDArray[np.int64]:
        """The slice of each volume in which its lesion is largest, in order of the volumes' lesion size."""
        area = np.count_nonzero(self.masks > 0, axis=(1, 2))
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
