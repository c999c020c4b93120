"""What Python callers may give for an image or a mask, and what is made of it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

import nibabel
import numpy as np
import torch
from nibabel.filebasedimages import FileBasedImage
from numpy.typing import ArrayLike, NDArray

from pseudohealthy.data.volume import (
    Volume,
    labels_from_image,
    mask_from_array,
    read_volume,
    volume_from_array,
    volume_from_image,
)
from pseudohealthy.errors import InputError

Source: TypeAlias = str | os.PathLike[str] | Volume | nibabel.Nifti1Pair | torch.Tensor | ArrayLike
EXPECTED = (
    "expected the path of a NIfTI file, a NIfTI image of nibabel's, or numbers (an array, tensor or list)"
)


def image_volume(source: Source, spacing: Iterable[float] | None) -> tuple[Volume, tuple[int, ...] | None]:
    """The volume of what is given as an image.

    Args:
        source: a NIfTI file, a NIfTI image of nibabel's, an opened volume, or numbers `(H, W)` or
            `(Z, H, W)`: rows anterior to posterior, columns patient's right to left, slices inferior to
            superior.
        spacing: mm, in the order of the axes; for numbers only.

    Returns:
        The volume, and the shape of the numbers; None where it is not made of numbers.

    Raises:
        InputError: it is something else, or cannot be used.
    """
    recognised = _recognised(source, "an image")
    if isinstance(recognised, np.ndarray):
        if spacing is None:
            raise InputError("an array needs its spacing in mm, one number for each axis")
        return volume_from_array(recognised, _numbers(spacing)), recognised.shape
    if spacing is not None:
        raise InputError(f"spacing is {spacing}, but the image has its own; expected it for arrays alone")
    if isinstance(recognised, Path):
        return read_volume(recognised), None
    return recognised if isinstance(recognised, Volume) else volume_from_image(recognised), None


def mask_source(mask: Source | None, image: Volume, shape: tuple[int, ...] | None) -> Path | Volume | None:
    """What is given as a mask of `image`: a file still to be read, a volume, or None as it is.

    Args:
        mask: a NIfTI file, a NIfTI image of nibabel's, an opened volume, or numbers that lie as the image's
            do.
        image: the image that the mask belongs to.
        shape: of the numbers that the image was made of; None: of none.

    Raises:
        InputError: it is something else, or numbers of another shape.
    """
    if mask is None:
        return None
    recognised = _recognised(mask, "a mask")
    if isinstance(recognised, np.ndarray):
        return mask_from_array(recognised, image, shape)
    return recognised if isinstance(recognised, Path | Volume) else labels_from_image(recognised)


def _recognised(given: Any, what: str) -> Path | Volume | FileBasedImage | NDArray[Any]:
    if isinstance(given, Path | Volume | FileBasedImage):
        return given
    if isinstance(given, str | os.PathLike) and isinstance(name := os.fspath(given), str):
        return Path(name)
    if isinstance(given, np.ma.MaskedArray) and np.ma.is_masked(given):
        hidden = np.count_nonzero(np.ma.getmaskarray(given))
        raise InputError(f"{hidden} values of the array are masked; fill them first, with e.g. its filled(0)")
    if isinstance(given, list | tuple | torch.Tensor) or hasattr(given, "__array__"):
        return _array(given, what)
    raise InputError(f"{given!r:.60} of type {type(given).__name__} as {what}; {EXPECTED}")


def _array(given: Any, what: str) -> NDArray[Any]:
    try:
        if isinstance(given, torch.Tensor):
            given = given.detach().cpu()
            given = given.float() if given.dtype == torch.bfloat16 else given.numpy()
        return np.asarray(given)
    except (TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{type(given).__name__} as {what} is no array ({reason}); {EXPECTED}") from error


def _numbers(spacing: Iterable[float]) -> tuple[float, ...]:
    try:
        return tuple(float(mm) for mm in spacing)
    except (TypeError, ValueError) as error:
        raise InputError(f"spacing is {spacing!r}; expected voxel sizes in mm, one for each axis") from error
