"""Where phantoms live: one grid in MNI space, and smooth random fields on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Axes = tuple[Array, Array, Array]

# The brain of the template, with room for larger heads: mm in MNI space, R, A, S.
START = np.array([-88.0, -126.0, -80.0])
EXTENT = np.array([176.0, 216.0, 176.0])

# Sum of squared cubic B-spline weights over one axis, mean over positions: what white noise of sd 1 keeps.
_SPLINE_POWER = 0.479


@dataclass(frozen=True)
class Frame:
    """The grid of a phantom: RAS, isotropic voxels of `spacing` mm."""

    spacing: float

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels from left to right, posterior to anterior, inferior to superior."""
        i, j, k = (round(length / self.spacing) for length in EXTENT)
        return i, j, k

    @property
    def affine(self) -> NDArray[np.float64]:
        """Voxel indices to mm in MNI space, (4, 4)."""
        affine = np.diag([self.spacing] * 3 + [1.0])
        affine[:3, 3] = START + self.spacing / 2
        return affine

    @property
    def axes(self) -> Axes:
        """The mm coordinates of the voxels' centres along each axis."""
        x, y, z = (
            (begin + self.spacing * (np.arange(n) + 0.5)).astype(np.float32)
            for begin, n in zip(START, self.shape, strict=True)
        )
        return x, y, z


def smooth_field(rng: np.random.Generator, axes: Sequence[Array], step: float) -> Array:
    """A smooth random field at the grid points of `axes` (mm): mean 0, sd about 1.

    Cubic B-splines of white noise on a lattice of `step` mm over the whole frame: the same field whatever the
    spacing and the part of the frame.
    """
    bases = [
        _basis(axis - begin, length, step) for axis, begin, length in zip(axes, START, EXTENT, strict=True)
    ]
    field = rng.standard_normal([basis.shape[1] for basis in bases], dtype=np.float32)
    for basis in bases:
        field = np.tensordot(field, basis, axes=(0, 1))
    return field / np.float32(_SPLINE_POWER**1.5)


def _basis(position: Array, length: float, step: float) -> Array:
    """Weights (positions, lattice points) of cubic B-splines `step` mm apart over `length` mm."""
    distance = np.abs(position[:, None] / step - np.arange(-1, length // step + 3))
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    return np.where(distance < 1, near, far).astype(np.float32)
