"""Whether two volumes have the same voxels in space, in whatever order of axes each is stored."""

from __future__ import annotations

from itertools import product
from typing import TypeVar

import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation
from numpy.typing import NDArray

from pseudohealthy.data.volume import Volume
from pseudohealthy.errors import InputError

TOLERANCE = 0.25  # of a voxel: headers of one grid differ by less, as programs round them differently

T = TypeVar("T", bound=np.generic)


def in_order_of(like: Volume, data: NDArray[T], affine: NDArray[np.float64]) -> NDArray[T] | None:
    """`data` in the stored order of `like`: axes permuted and flipped, no voxel interpolated.

    Args:
        like: whose order is wanted.
        data: (I, J, K).
        affine: of `data`, (4, 4), voxel indices to mm.

    Returns:
        An array of the shape of `like`; None where the two do not have the same voxels in space, to a
        quarter of a voxel everywhere.
    """
    turned, placed = _turned(like, data, affine)
    if turned.shape != like.data.shape:
        return None
    corners = np.array([[*corner, 1] for corner in product(*((0, n - 1) for n in turned.shape))]).T
    moved = np.linalg.inv(like.affine) @ placed @ corners - corners
    return turned if np.abs(moved[:3]).max() <= TOLERANCE else None


def expect_in_order_of(like: Volume, volume: Volume) -> NDArray[np.float32]:
    """The data of `volume` in the stored order of `like`.

    Raises:
        InputError: they do not have the same voxels in space; the line says in what they differ.
    """
    data = in_order_of(like, volume.data, volume.affine)
    if data is None:
        difference = f"not on the grid of {like.path or 'its image'} ({grid_difference(volume, like)})"
        raise InputError(
            f"{volume.path}: {difference}; expected the same voxels in space, so resample it to that (masks: "
            "nearest neighbour)"
        )
    return data


def grid_difference(volume: Volume, like: Volume) -> str:
    """In what the grid of `volume` differs from that of `like`, whatever the order of their axes."""
    turned, placed = _turned(like, volume.data, volume.affine)
    sizes, wanted = (np.linalg.norm(affine[:3, :3], axis=0) for affine in (placed, like.affine))
    axes, wanted_axes = placed[:3, :3] / sizes, like.affine[:3, :3] / wanted
    offset = placed[:3, 3] - like.affine[:3, 3]
    reach, least = np.array(like.data.shape) - 1, TOLERANCE / 15  # so small that something is always named
    parts = []
    if turned.shape != like.data.shape:
        parts.append(f"{_times(turned.shape)} voxels, not {_times(like.data.shape)}")
    if (np.abs(sizes - wanted) * reach > least * wanted).any():
        parts.append(f"voxels of {_times(sizes)} mm, not {_times(wanted)}")
    if (np.linalg.norm(axes - wanted_axes, axis=0) * reach * wanted > least * wanted.min()).any():
        angle = np.degrees(np.arccos(np.clip((axes * wanted_axes).sum(axis=0), -1, 1))).max()
        parts.append(f"axes turned by {angle:.3g} degrees")
    if np.abs(offset).max() > least * wanted.min():
        right, front, up = (0.0 if abs(mm) < 1e-3 else mm for mm in offset)
        parts.append(f"{right:.4g} mm to the right, {front:.4g} to the front and {up:.4g} up")
    return "; ".join(parts)


def _turned(
    like: Volume, data: NDArray[T], affine: NDArray[np.float64]
) -> tuple[NDArray[T], NDArray[np.float64]]:
    """`data` and its affine with the axes in the order and direction that are nearest to those of `like`."""
    turn = io_orientation(np.linalg.inv(like.affine) @ affine)
    return apply_orientation(data, turn), affine @ inv_ornt_aff(turn, data.shape)


def _times(numbers: tuple[int, ...] | NDArray[np.float64]) -> str:
    return " x ".join(f"{number:.5g}" for number in numbers)
