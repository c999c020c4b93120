"""How a phantom is seen: coil shading, blur, noise and the scanner's units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pseudohealthy.phantom.anatomy import CSF_SIGNAL
from pseudohealthy.phantom.fields import Array, Frame, smooth_field


@dataclass(frozen=True, eq=False)
class Scanner:
    """One acquisition: the same shading and noise for every signal it sees.

    Attributes:
        gain: scanner units per signal, with the coil's shading (I, J, K).
        blur: sd of the point spread, in voxels.
        noise: real and imaginary noise (2, I, J, K), in signal units.
    """

    gain: Array
    blur: float
    noise: Array

    @classmethod
    def drawn(cls, rng: np.random.Generator, frame: Frame) -> Scanner:
        """A scanner with units of its own: white matter lies between about 200 and 600."""
        shading = np.exp(0.07 * smooth_field(rng, frame.axes, 70.0))
        gain = np.float32(rng.uniform(230, 520)) * shading
        blur = rng.uniform(0.45, 0.75) / frame.spacing
        noise = rng.uniform(0.02, 0.045) * rng.standard_normal((2, *frame.shape), dtype=np.float32)
        return cls(gain, blur, noise)

    def image(self, signal: Array, brain: NDArray[np.bool_]) -> NDArray[np.int16]:
        """Magnitude image (I, J, K): 0 outside the brain, 1 or more inside."""
        wet = np.where(brain, signal, np.float32(CSF_SIGNAL))  # the stripped brain lies in fluid
        seen = ndimage.gaussian_filter(wet, self.blur, truncate=3.0)
        magnitude = np.hypot(seen + self.noise[0], self.noise[1])
        units = np.clip(np.rint(magnitude * self.gain), 1, 32767)
        return np.where(brain, units, 0).astype(np.int16)
