"""How intensities are stored as whole numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Scale:
    """How intensities are stored: as whole numbers, times `slope`, plus `intercept`."""

    slope: float
    intercept: float

    @classmethod
    def of(cls, voxels: NDArray[np.float32]) -> Scale:
        """The finest for these intensities in 16 bits."""
        low, high = float(voxels.min()), float(voxels.max())
        return cls((high - low) / 65535 or 1.0, low)

    def stored(self, voxels: NDArray[np.float32]) -> NDArray[np.uint16] | NDArray[np.int16]:
        """The whole numbers; signed where one is below 0."""
        whole = np.rint((voxels.astype(np.float64) - self.intercept) / self.slope)
        dtype: Any = np.int16 if whole.min() < 0 else np.uint16
        limits = np.iinfo(dtype)
        return np.clip(whole, limits.min, limits.max).astype(dtype)
