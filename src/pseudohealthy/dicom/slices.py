"""The slices of a series in space: in order, each once, and with nothing missing between them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from pseudohealthy.dicom.headers import frame_count, numbers
from pseudohealthy.errors import InputError

LEAST = 3
PARALLEL = 1e-3  # by which direction cosines of parallel slices may differ
EVEN = 0.05  # part of the usual distance by which distances of neighbours may differ
STRAIGHT = 0.02  # sideways mm for each mm along the normal: 1 degree
SAME_PLACE_MM = 0.01


@dataclass(frozen=True, eq=False)
class Slice:
    """One slice, in the patient's mm to the left, back and top (LPS), as DICOM gives them.

    Attributes:
        header: of its file.
        file: index of its file among the series' members.
        frame: index in the file, 0 where it holds one image.
        position: (3,), of the first pixel.
        along_row, along_column: (3,), unit vectors to the next column and to the next row.
        spacing: mm from row to row, and from column to column.
        shape: rows and columns.
    """

    header: Dataset
    file: int
    frame: int
    position: NDArray[np.float64]
    along_row: NDArray[np.float64]
    along_column: NDArray[np.float64]
    spacing: tuple[float, float]
    shape: tuple[int, int]

    @property
    def normal(self) -> NDArray[np.float64]:
        """(3,), unit vector across the slice."""
        return np.cross(self.along_row, self.along_column)

    @property
    def height(self) -> float:
        """Along the normal, in mm."""
        return float(self.position @ self.normal)


def slices_of(headers: Iterable[Dataset]) -> list[Slice]:
    """The slices of images, a file after the other.

    Raises:
        InputError: a header does not say where its image lies.
    """
    return [
        _slice(header, file, frame)
        for file, header in enumerate(headers)
        for frame in range(frame_count(header))
    ]


def _slice(header: Dataset, file: int, frame: int) -> Slice:
    wanted = {
        "ImagePositionPatient": 3,
        "ImageOrientationPatient": 6,
        "PixelSpacing": 2,
        "Rows": 1,
        "Columns": 1,
    }
    read = {keyword: numbers(header, keyword, frame) for keyword in wanted}
    for keyword, count in wanted.items():
        if len(read[keyword]) != count or not np.isfinite(read[keyword]).all():
            raise InputError(
                f"an image without {keyword}; expected the scanner's own images, which say where they lie"
            )
    orientation = np.array(read["ImageOrientationPatient"])
    if not np.allclose(np.linalg.norm(orientation.reshape(2, 3), axis=1), 1, atol=0.01):
        raise InputError("an image whose ImageOrientationPatient is no pair of directions; export it again")
    return Slice(
        header,
        file,
        frame,
        np.array(read["ImagePositionPatient"]),
        orientation[:3],
        orientation[3:],
        (read["PixelSpacing"][0], read["PixelSpacing"][1]),
        (int(read["Rows"][0]), int(read["Columns"][0])),
    )


def in_order(slices: Sequence[Slice]) -> list[Slice]:
    """The slices along their normal.

    Raises:
        InputError: they are of different sizes or directions, so that they are no one stack.
    """
    first = slices[0]
    directions = np.array([[*each.along_row, *each.along_column] for each in slices])
    if np.abs(directions - directions[0]).max() > PARALLEL:
        raise InputError("its images lie in different directions; expected one stack of parallel slices")
    sizes = {(each.shape, each.spacing) for each in slices}
    if len({shape for shape, _ in sizes}) > 1 or np.ptp([mm for _, mm in sizes], axis=0).max() > 1e-3:
        raise InputError("its images are of different sizes; expected one stack of slices of one size")
    return sorted(slices, key=lambda each: float(each.position @ first.normal))


def at_one_place(ordered: Sequence[Slice]) -> list[list[Slice]]:
    """The slices in groups that lie at the same place."""
    groups: list[list[Slice]] = []
    for each in ordered:
        if groups and each.height - groups[-1][0].height < SAME_PLACE_MM:
            groups[-1].append(each)
        else:
            groups.append([each])
    return groups


def expect_a_stack(ordered: Sequence[Slice]) -> None:
    """Refuse slices, one at a place, that are too few, not evenly spaced, or sheared.

    Raises:
        InputError: it says which.
    """
    if len(ordered) < LEAST:
        raise InputError(
            f"has {len(ordered)} slice{'s' * (len(ordered) != 1)}; expected a volume of {LEAST} or more, so "
            "give the folder that holds all of its files"
        )
    places = np.array([each.position for each in ordered])
    steps = np.diff(places @ ordered[0].normal)
    usual = float(np.median(steps))
    uneven = steps[np.abs(steps - usual) > EVEN * usual]
    if uneven.size:
        raise InputError(
            f"slices are missing or not evenly spaced: {uneven.size} of {steps.size} distances differ, such "
            f"as {uneven.max():.2f} mm where {usual:.2f} mm is usual; export the whole series again"
        )
    sideways = places[-1] - places[0] - np.ptp(places @ ordered[0].normal) * ordered[0].normal
    if np.linalg.norm(sideways) > STRAIGHT * np.ptp(places @ ordered[0].normal):
        raise InputError(
            "its slices are stacked askew (a tilted gantry?); expected a stack along the slices' normal"
        )
    if any(
        np.linalg.norm(b - a - (places[-1] - places[0]) / steps.size) > max(0.1, EVEN * usual)
        for a, b in pairwise(places)
    ):
        raise InputError("its slices are shifted against each other; expected one straight stack")


def affine_of(ordered: Sequence[Slice]) -> NDArray[np.float64]:
    """(4, 4): column, row and slice to mm to the patient's right, front and top (RAS+, as NIfTI has them)."""
    first, last = ordered[0], ordered[-1]
    affine = np.eye(4)
    affine[:3, 0] = first.along_row * first.spacing[1]
    affine[:3, 1] = first.along_column * first.spacing[0]
    affine[:3, 2] = (last.position - first.position) / (len(ordered) - 1)
    affine[:3, 3] = first.position
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


@dataclass(frozen=True)
class VoxelOrder:
    """How voxels (I, J, K) of a NIfTI image lie in DICOM slices (slice, row, column).

    Attributes:
        axes: for slice, row and column the axis of the NIfTI image.
        reversed: of these, those that run the other way.
    """

    axes: tuple[int, int, int]
    reversed: tuple[bool, bool, bool]

    @classmethod
    def between(
        cls, ordered: Sequence[Slice], affine: NDArray[np.float64], shape: tuple[int, ...]
    ) -> VoxelOrder | None:
        """Of an image of this affine and shape; None where its voxels are not the slices' pixels."""
        sizes = np.array([ordered[0].shape[1], ordered[0].shape[0], len(ordered)])
        turn = np.linalg.inv(affine) @ affine_of(ordered)  # column, row, slice -> I, J, K
        axes = np.abs(turn[:3, :3]).argmax(axis=0)
        if sorted(axes) != [0, 1, 2] or [shape[axis] for axis in axes] != list(sizes):
            return None
        signs = np.sign(turn[axes, [0, 1, 2]])
        exact = np.zeros((3, 4))
        exact[axes, [0, 1, 2]] = signs
        exact[axes, 3] = np.where(signs < 0, sizes - 1, 0)
        corners = np.array([[*at, 1] for at in np.ndindex(2, 2, 2)]) * [*(sizes - 1), 1]
        if np.abs(corners @ (turn[:3] - exact).T).max() > 0.05:  # of a voxel
            return None
        column, row, across = (int(axis) for axis in axes)
        backwards = [bool(sign < 0) for sign in signs]
        return cls((across, row, column), (backwards[2], backwards[1], backwards[0]))

    def slices(self, voxels: NDArray[Any]) -> NDArray[Any]:
        """(I, J, K) as (slice, row, column)."""
        turned = np.transpose(voxels, self.axes)
        return turned[tuple(slice(None, None, -1 if each else 1) for each in self.reversed)]
