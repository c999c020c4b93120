"""Intensities of a file to [0, 1] and back (section 5 of docs/method.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pseudohealthy.config import Preprocessing
from pseudohealthy.data.background import NEGATIVE, share_below
from pseudohealthy.errors import InputError

FADE = np.float32(0.1)  # darkening, of the ceiling, at which nothing is left of what lay above it


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
            InputError: the ceiling is not above 0, so there is nothing to scale by; or so many voxels are
                negative that 0 cannot be the background.
        """
        negative = share_below(data)
        if negative > NEGATIVE:
            raise InputError(
                f"{name}: {negative:.0%} of its voxels that are not 0 are negative (z-scored?); expected a "
                "brain above a background of 0, so give the image as it was before that normalisation"
            )
        # Transposed: voxels of files lie in memory in the order of their first axis, numpy's is of the last
        voxels = data.T[data.T > 0] if settings.clip_region == "brain" else data
        ceiling = float(np.percentile(voxels, settings.clip_percentile)) if voxels.size else 0.0
        if not ceiling > 0:
            raise InputError(
                f"{name}: {settings.clip_percentile:g} % of its voxels are 0 or less; expected a brain above "
                "a background of 0, so check the file, or set clip_region=brain if the brain is small in it"
            )
        return cls(ceiling)

    def normalised(self, data: NDArray[Any]) -> NDArray[np.float32]:
        """`data`, any shape, clipped to [0, ceiling] and scaled to [0, 1]."""
        scale = np.float32(self.ceiling)
        scaled = np.clip(np.asarray(data, dtype=np.float32), 0, scale)
        scaled /= scale
        return scaled

    def restored(self, data: NDArray[Any], difference: NDArray[Any]) -> NDArray[np.float32]:
        """`data` with a change of the network's added, in the file's units.

        What a voxel has above the ceiling the network never saw. It stays where the network changes nothing
        and fades out as the voxel is darkened, to nothing at a tenth of the ceiling: else a saturated lesion
        would leave its own texture on the synthesised tissue. Resampled differences may overshoot: no voxel
        falls below 0 that was not already.

        Args:
            data: intensities in the file's units, any shape.
            difference: output minus input of the network, in [-1, 1], of the same shape; where it is 0 the
                result is `data` bit for bit.
        """
        # Transposed as above
        restored, difference = np.array(data, dtype=np.float32).T, np.asarray(difference, dtype=np.float32).T
        changed = difference != 0
        before, change = restored[changed], difference[changed]
        scale = np.float32(self.ceiling)
        above = np.maximum(before - scale, 0) * np.clip(1 + change / FADE, 0, 1)
        after = np.minimum(before, scale) + change * scale + above
        restored[changed] = np.maximum(after, np.minimum(before, 0))
        return restored.T


def saturated_share(data: NDArray[Any], where: NDArray[np.bool_], ceiling: float) -> float:
    """Share, in [0, 1], of the voxels in `where` (a lesion) above `ceiling`; 0 for an empty `where`."""
    return float(np.mean(data[where] > ceiling)) if where.any() else 0.0
