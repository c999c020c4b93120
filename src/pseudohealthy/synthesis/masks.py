"""Masks that a user gives, on the image's grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pseudohealthy.data.volume import Volume, mask_on, read_labels, same_grid
from pseudohealthy.errors import InputError


@dataclass(frozen=True, eq=False)
class Given:
    """A user's mask.

    Attributes:
        name: the file's.
        voxels: (I, J, K) of the image, stored order.
        warnings: that it had to be resampled.
    """

    name: str
    voxels: NDArray[np.bool_]
    warnings: tuple[str, ...] = ()


def on_grid(mask: Path | Volume, image: Volume, what: str) -> Given:
    """A mask's voxels above 0 on the grid of `image`; from another grid, by the nearest of its voxels in mm.

    Args:
        mask: a NIfTI file or an opened volume.
        image: what it belongs to.
        what: "brain" or "lesion", for messages.

    Raises:
        InputError: it cannot be read, or marks nothing of the image; or it is a file and the image an
            array, whose place in space is not known.
    """
    opened = mask if isinstance(mask, Volume) else read_labels(mask)
    name = opened.path.name if opened.path else "an array"
    if opened.path and not image.path:
        raise InputError(f"{opened.path}: a file's mask for an array; expected one made by volume_from_array")
    voxels = mask_on(opened, image)
    if not voxels.any():
        raise InputError(
            f"{opened.path or name}: marks no voxel of {image.path or 'the image'}; expected the {what}'s "
            "mask, above 0 and in the same place"
        )
    if same_grid(opened, image):
        return Given(name, voxels)
    return Given(
        name, voxels, (f"the {what} mask {name} was on another grid: its nearest voxels were taken",)
    )
