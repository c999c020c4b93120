"""Intensities of a file to [0, 1] and back (section 5 of docs/method.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pseudohealthy.config import Preprocessing
from pseudohealthy.errors import InputError


@dataclass(frozen=True)
class Intensity:
    """The scale of one volume.

    Attributes:
        ceiling: V99.5 in the file's intensity units; 1 in the network's.
    """

    ceiling: float

    @classmethod
    def of(cls, data: NDArray[Any], settings: Preprocessing, *, name: str = "the image") -> Self:
        """The scale of `data`: a percentile over all voxels, or over those above 0.

        Args:
            data: intensities in the file's units, any shape.
            settings: which voxels and which percentile.
            name: what a message calls the data, such as its path.

        Raises:
            InputError: the ceiling is not above 0, so there is nothing to scale by.
        """
        voxels = data[data > 0] if settings.clip == "brain" else data
        ceiling = float(np.percentile(voxels, settings.clip_percentile)) if voxels.size else 0.0
        if not ceiling > 0:
            raise InputError(
                f"{name}: {settings.clip_percentile:g} % of its voxels are 0 or less; expected a brain above "
                "a background of 0, so check the file, or set clip=brain where the brain is small in it"
            )
        return cls(ceiling)

    def normalised(self, data: NDArray[Any]) -> NDArray[np.float32]:
        """`data`, any shape, clipped to [0, ceiling] and scaled to [0, 1]."""
        scale = np.float32(self.ceiling)
        return np.clip(np.asarray(data, dtype=np.float32), 0, scale) / scale

    def restored(self, data: NDArray[Any], difference: NDArray[Any]) -> NDArray[np.float32]:
        """`data` with a change of the network's added, in the file's units.

        A voxel above the ceiling is 1 to the network, so its own value is its scale: a saturated lesion goes
        all the way down. Resampled differences may overshoot: no voxel falls below 0 that was not already.

        Args:
            data: intensities in the file's units, any shape.
            difference: output minus input of the network, in [-1, 1], of the same shape; where it is 0 the
                result is `data` bit for bit.
        """
        data = np.asarray(data, dtype=np.float32)
        changed = data + np.asarray(difference, dtype=np.float32) * np.maximum(data, np.float32(self.ceiling))
        return np.where(difference == 0, data, np.maximum(changed, np.minimum(data, 0)))


def saturated_share(data: NDArray[Any], where: NDArray[np.bool_], ceiling: float) -> float:
    """Share, in [0, 1], of the voxels in `where` (a lesion) above `ceiling`; 0 for an empty `where`."""
    return float(np.mean(data[where] > ceiling)) if where.any() else 0.0
