"""From a volume's stored grid to canonical slices, and exactly back (section 5 of docs/method.md)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray
from scipy import ndimage

from pseudohealthy.config import LARGEST_SIDE, Preprocessing
from pseudohealthy.data.volume import Volume
from pseudohealthy.errors import InputError

_SAME_MM = 1e-3  # spacings this close need no resampling
MOST_PIXELS = 2**28  # of a stack; several of 4 bytes a pixel are in memory at once
_SIDE = 16  # the segmentor halves a slice four times


@dataclass(frozen=True)
class AxisSampling:
    """The field's pixels along one axis of a slice: pixel p lies at voxel `start + p * step`.

    Attributes:
        start: in voxels; negative where the field begins before the image. Whole where `step` is 1.
        step: voxels a pixel.
        pixels: of the field.
        voxels: of the image.
    """

    start: float
    step: float
    pixels: int
    voxels: int

    def inverse(self) -> AxisSampling:
        """The image's voxels along the field: voxel v lies at pixel `-start / step + v / step`."""
        return AxisSampling(-self.start / self.step, 1 / self.step, self.voxels, self.pixels)

    def on_image(self) -> NDArray[np.bool_]:
        """(pixels,): centres that lie on the image, whose first and last voxel reach half a voxel further."""
        at = self.start + self.step * np.arange(self.pixels)
        return (at >= -0.5) & (at <= self.voxels - 0.5)


@dataclass(frozen=True)
class Grid:
    """How one volume maps to its canonical stack and back.

    The stack's slices run inferior to superior, rows anterior to posterior, columns patient's right to left.
    In a plane whose spacing is the wanted one, both ways only copy voxels.

    Attributes:
        stored: (I, J, K) of the volume.
        axes: the stored axes that become slices, rows and columns.
        flipped: the stack's axes that run against the stored ones.
        rows: the field down a slice.
        columns: the field across a slice.
        outside: number of brain voxels that the field does not hold.
    """

    stored: tuple[int, ...]
    axes: tuple[int, ...]
    flipped: tuple[int, ...]
    rows: AxisSampling
    columns: AxisSampling
    outside: int

    @classmethod
    def of(
        cls, volume: Volume, settings: Preprocessing, brain: NDArray[np.bool_], *, cover: bool = False
    ) -> Self:
        """The field of `settings`, laid onto a volume.

        Args:
            volume: of any orientation; an oblique axis counts as the nearest anatomical one.
            settings: the field, its spacing, and what it is laid around.
            brain: (I, J, K), in stored order; an empty one stands for the whole image.
            cover: the field grows by multiples of 16 pixels until it holds the whole brain.

        Raises:
            InputError: that field would be larger than any slice, or its stack than any volume may be.
        """
        # Of each stored axis: the nearest of x, y, z as 0, 1, 2, and whether it grows as RAS+ does.
        nearest, direction = io_orientation(volume.affine).T
        axes = tuple(int(axis) for axis in np.argsort(nearest)[::-1])
        flipped = tuple(c for c, wanted in enumerate((1, -1, -1)) if direction[axes[c]] != wanted)
        brain = np.flip(brain.transpose(axes), flipped)
        rows, columns = (
            _laid(brain, axis, volume.spacing[axes[axis]], settings, cover=cover) for axis in (1, 2)
        )
        slices = volume.data.shape[axes[0]]
        if slices * rows.pixels * columns.pixels > MOST_PIXELS:
            raise InputError(
                f"{slices} slices, at {settings.spacing:g} mm a pixel of {rows.pixels} x {columns.pixels}; "
                f"expected {MOST_PIXELS // 10**6} million pixels at most, so check the voxel sizes, or give "
                "fewer slices"
            )
        outside = 0
        if not cover:
            held = brain[:, rows.inverse().on_image()][:, :, columns.inverse().on_image()]
            outside = int(np.count_nonzero(brain) - np.count_nonzero(held))
        return cls(volume.data.shape, axes, flipped, rows, columns, outside)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, H, W) of the stack."""
        return self.stored[self.axes[0]], self.rows.pixels, self.columns.pixels

    def to_canonical(self, data: NDArray[Any], *, order: Literal[0, 1] = 1) -> NDArray[np.float32]:
        """The stack (Z, H, W) of `data` (I, J, K), in its units; 0 beyond the image.

        Args:
            data: on the volume's stored grid.
            order: 1 linear, for images; 0 nearest, for masks.

        Raises:
            InputError: data on another grid.
        """
        _expect(data, self.stored)
        return _sampled(np.flip(data.transpose(self.axes), self.flipped), self.rows, self.columns, order)

    def to_stored(self, stack: NDArray[Any], *, order: Literal[0, 1] = 1) -> NDArray[np.float32]:
        """`stack` (Z, H, W) back on the volume's (I, J, K), in its units; 0 beyond the field.

        Args:
            stack: on the canonical grid.
            order: 1 linear, for images and differences; 0 nearest, for masks.

        Raises:
            InputError: a stack on another grid.
        """
        _expect(stack, self.shape)
        plane = _sampled(stack, self.rows.inverse(), self.columns.inverse(), order)
        return np.flip(plane, self.flipped).transpose(np.argsort(self.axes))


def _laid(
    brain: NDArray[np.bool_], axis: int, mm: float, settings: Preprocessing, *, cover: bool
) -> AxisSampling:
    """The field along `axis` (1 rows, 2 columns) of a canonical brain (Z, voxels, voxels) of `mm` a voxel."""
    voxels = brain.shape[axis]
    step = 1.0 if abs(mm - settings.spacing) <= _SAME_MM else settings.spacing / mm
    used = np.flatnonzero(brain.any(axis=(0, 3 - axis)))
    box = (used[0], used[-1]) if used.size else (0, voxels - 1)
    first, last = box if settings.crop_centre == "brain" else (0, voxels - 1)
    middle = math.ceil((first + last) / 2)  # a whole voxel: where `step` is 1, all pixels lie on voxels
    pixels = settings.slice_shape[axis - 1]
    while True:
        line = AxisSampling(middle - step * (pixels // 2), step, pixels, voxels)
        if not cover or line.inverse().on_image()[[box[0], box[1]]].all():
            return line
        pixels += _SIDE
        if pixels > LARGEST_SIDE:
            raise InputError(
                f"a brain of {mm * (box[1] - box[0] + 1):.0f} mm, at {settings.spacing:g} mm a pixel; "
                f"expected one within {LARGEST_SIDE} pixels, so check the voxel sizes and the brain's mask"
            )


def _sampled(
    planes: NDArray[Any], rows: AxisSampling, columns: AxisSampling, order: Literal[0, 1]
) -> NDArray[np.float32]:
    """`planes` (Z, voxels, voxels) at the pixels of `rows` and `columns`; 0 beyond them."""
    out = np.zeros((len(planes), rows.pixels, columns.pixels), dtype=np.float32)
    if rows.step == columns.step == 1:
        (y, from_y), (x, from_x) = _overlap(rows), _overlap(columns)
        out[:, y, x] = planes[:, from_y, from_x]
        return out
    planes = np.asarray(planes, dtype=np.float32)
    if order == 1:
        # Linear interpolation sees only the two nearest voxels, so that a much larger pixel would miss those
        # between. The Gaussian has the variance by which a pixel's square exceeds a voxel's: none up to 1.
        blur = [math.sqrt(max(line.step**2 - 1, 0) / 12) for line in (rows, columns)]
        planes = ndimage.gaussian_filter(planes, (0, *blur), mode="nearest")
    ndimage.affine_transform(
        planes,
        np.array([1, rows.step, columns.step]),
        offset=(0, rows.start, columns.start),
        output=out,
        output_shape=out.shape,
        order=order,
        mode="nearest",
    )
    out *= rows.on_image()[:, None] & columns.on_image()
    return out


def _overlap(line: AxisSampling) -> tuple[slice, slice]:
    """The pixels that lie on the image, and the voxels they lie on, of a line with step 1."""
    start = int(line.start)
    low, high = max(-start, 0), min(line.voxels - start, line.pixels)
    return slice(low, high), slice(low + start, high + start)


def _expect(data: NDArray[Any], shape: tuple[int, ...]) -> None:
    if data.shape != shape:
        raise InputError(f"data of shape {data.shape}; expected {shape}, as the grid was made for")
