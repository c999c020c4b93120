"""What a caller may give for an image or a mask, and what is made of it: volumes, and masks on their grid."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import nibabel
import numpy as np
from nibabel.filebasedimages import FileBasedImage
from numpy.typing import ArrayLike, NDArray

from pseudohealthy.data.mask import Mask, in_brain, mask_on, name_of
from pseudohealthy.data.volume import (
    Volume,
    labels_from_image,
    mask_from_array,
    read_labels,
    read_volume,
    volume_from_array,
    volume_from_image,
)
from pseudohealthy.errors import InputError

if TYPE_CHECKING:
    import torch

Source: TypeAlias = "str | os.PathLike[str] | Volume | nibabel.Nifti1Pair | torch.Tensor | ArrayLike"
EXPECTED = (
    "expected the path of a NIfTI file, a NIfTI image of nibabel's, or numbers (an array, tensor or list)"
)


@dataclass(frozen=True, eq=False)
class UserMask:
    """A user's mask.

    Attributes:
        name: the file's; "an array" or "an image" where it is none.
        mask: on the grid of the image; a lesion's may be empty, a brain's is not.
        warnings: what its header leaves in doubt, how it was cut and resampled, and that a lesion's is empty.
    """

    name: str
    mask: Mask
    warnings: tuple[str, ...] = ()

    @property
    def voxels(self) -> NDArray[np.bool_]:
        """(I, J, K) of the image, stored order."""
        return self.mask.voxels

    def outside_brain(self, brain: NDArray[np.bool_]) -> tuple[str, ...]:
        """A warning where most of the lesion's voxels are not in `brain`, (I, J, K)."""
        return in_brain(self.mask, brain)


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


def on_grid(mask: Path | Volume, image: Volume, what: Literal["brain", "lesion"]) -> UserMask:
    """A mask on the grid of `image`; from another grid, by the nearest of its voxels in mm.

    Args:
        mask: a NIfTI file or an opened volume; see `data.mask.marked_voxels` for the values that it may hold.
        image: what it belongs to.
        what: whose mask it is. A lesion's may be empty, which says that there is no lesion.

    Raises:
        InputError: it cannot be read or is no mask, or marks nothing of the image, but for an empty lesion
            mask; or it is a file and the image an array, whose place in space is not known.
    """
    opened = mask if isinstance(mask, Volume) else read_labels(mask)
    name = name_of(opened)
    if opened.header is not None and image.header is None:
        raise InputError(
            f"{opened.path or name}: a NIfTI mask for an array; give the mask as an array too, which lies as "
            "the image does"
        )
    placed = mask_on(opened, image, what)
    if what == "lesion" and not placed.marked:
        return UserMask(name, placed, (*placed.warnings, f"{placed.called} is empty: no lesion is replaced"))
    if not placed.voxels.any():
        raise _marks_nothing(opened, placed, image, what)
    return UserMask(name, placed, placed.warnings)


def _marks_nothing(opened: Volume, placed: Mask, image: Volume, what: str) -> InputError:
    """The line that says where a mask lies that marks no voxel of `image`, or that it is empty."""
    begin = f"{opened.path or name_of(opened)}: marks no voxel of {image.path or 'the image'}"
    if not placed.place:
        cut = f" ({placed.warnings[0]})" if placed.warnings else ""
        return InputError(f"{begin}{cut}; expected the {what}'s mask, above 0")
    middle = image.affine @ [*((n - 1) / 2 for n in image.data.shape), 1]
    there, here = (f"({', '.join(f'{mm:.0f}' for mm in place)}) mm" for place in (placed.place, middle[:3]))
    return InputError(
        f"{begin}: it lies around {there}, and the image around {here}; expected the {what}'s mask in the "
        "same place"
    )


def _recognised(given: Any, what: str) -> Path | Volume | FileBasedImage | NDArray[Any]:
    if isinstance(given, Path | Volume | FileBasedImage):
        return given
    if isinstance(given, str | os.PathLike) and isinstance(name := os.fspath(given), str):
        return Path(name)
    if isinstance(given, np.ma.MaskedArray) and np.ma.is_masked(given):
        hidden = np.count_nonzero(np.ma.getmaskarray(given))
        raise InputError(f"{hidden} values of the array are masked; fill them first, with e.g. its filled(0)")
    if isinstance(given, list | tuple) or hasattr(given, "__array__"):  # as tensors have
        return _array(given, what)
    raise InputError(f"{given!r:.60} of type {type(given).__name__} as {what}; {EXPECTED}")


def _array(given: Any, what: str) -> NDArray[Any]:
    try:
        torch = sys.modules.get("torch")  # which whoever made a tensor has loaded
        if torch is not None and isinstance(given, torch.Tensor):
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
