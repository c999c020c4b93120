"""A volume as text inside a page: a bare NIfTI file, gzipped, in base64."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import nibabel
import numpy as np
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray

from pseudohealthy.errors import InputError
from pseudohealthy.files import gzipped

_SMALL = 2  # bytes a voxel: not worth rounding
_WIDEST = 4  # bytes a voxel: the program itself reads no more digits, and graphics cards draw none


@dataclass(frozen=True, eq=False)
class Embedded:
    """A volume to be put into a page.

    Attributes:
        stored: (I, J, K), voxels of the page's file, in stored order.
        slope: values are `slope * stored + inter`.
        inter: see slope.
        affine: (4, 4), voxel indices to mm (RAS+).
        step: to whole multiples of which the values were rounded; None if they were not.
        text: gzipped NIfTI-1 as base64. Its header holds grid and scaling alone: no description or extension,
            in which scanners and converters leave what a page that is passed on should not hold.
    """

    stored: NDArray[Any]
    slope: float
    inter: float
    affine: NDArray[np.float64]
    step: float | None
    text: str

    @classmethod
    def of(cls, source: Path | nibabel.Nifti1Image, levels: int | None = None) -> Self:
        """The volume in a NIfTI file, voxels and scaling as stored, up to float32; or one in memory.

        Args:
            source: one volume (I, J), (I, J, K) or with further axes of length 1.
            levels: round to 1/levels of the largest absolute value (at most 32767), as int16 with a slope,
                which takes less space; a volume that is stored in 16 bits or fewer stays as it is.

        Raises:
            InputError: it cannot be read.
        """
        image = _opened(source) if isinstance(source, Path) else source
        width, shape = image.get_data_dtype().itemsize, (*image.shape, 1)[:3]
        slope, inter, step = 1.0, 0.0, None
        if levels and width > _SMALL:
            data = np.asarray(image.dataobj, dtype=np.float32)
            slope = step = float(max(data.max(), -data.min())) / levels or 1.0
            stored = _whole(data / step)
        elif width <= _WIDEST and nibabel.is_proxy(image.dataobj):
            stored, slope, inter = image.dataobj.get_unscaled(), image.dataobj.slope, image.dataobj.inter
        else:
            stored = np.asarray(image.dataobj, dtype=np.float32)
        stored = np.asarray(stored).reshape(shape)
        text = base64.b64encode(gzipped(_file(stored, image.affine, slope, inter))).decode("ascii")
        return cls(stored, slope, inter, image.affine, step, text)

    def values(self, at: Any = ...) -> NDArray[np.float32]:
        """What the page's file gives back, of all voxels or of those `at` an index."""
        values = np.asarray(self.stored[at], dtype=np.float32)
        if (self.slope, self.inter) == (1, 0):
            return values
        return values * np.float32(self.slope) + np.float32(self.inter)

    def where(self, condition: Callable[[NDArray[np.float32]], NDArray[np.bool_]]) -> NDArray[np.bool_]:
        """(I, J, K), of which voxels it is true; asked by slice, for all at once take much memory."""
        slices = range(self.stored.shape[2])
        return np.stack([condition(self.values((..., k))) for k in slices], axis=2)


def _whole(values: NDArray[np.float32]) -> NDArray[np.int16]:
    """Rounded; `values` are overwritten."""
    return np.rint(values, out=values).astype(np.int16)


def _opened(path: Path) -> Any:
    try:
        return nibabel.load(path)
    except (OSError, ImageFileError) as error:
        raise InputError(f"{path}: cannot be read ({error}); expected a NIfTI volume") from error


def _file(stored: NDArray[Any], affine: NDArray[np.float64], slope: float, inter: float) -> bytes:
    """NIfTI-1 of voxels as they are: nibabel keeps a slope that it is given."""
    image = nibabel.Nifti1Image(stored.astype(stored.dtype.newbyteorder("="), copy=False), affine)
    image.header.set_xyzt_units("mm")
    image.header.set_slope_inter(slope, inter)
    content: bytes = image.to_bytes()
    return content
