"""Masks that a user gives, on the image's grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pseudohealthy.data.mask import Mask, in_brain, mask_on, name_of
from pseudohealthy.data.volume import Volume, read_labels
from pseudohealthy.errors import InputError


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


def on_grid(mask: Path | Volume, image: Volume, what: Literal["brain", "lesion"]) -> UserMask:
    """A mask on the grid of `image`; from another grid, by the nearest of its voxels in mm.

    Args:
        mask: a NIfTI file or an opened volume; see `data.mask.inside` for the values that it may hold.
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
