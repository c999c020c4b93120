"""A brain's slices through the networks, and back onto its volume's grid."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pseudohealthy.data.grid import Grid
from pseudohealthy.data.intensity import Intensity
from pseudohealthy.data.slice_selection import processed_slices
from pseudohealthy.data.volume import Volume
from pseudohealthy.errors import InputError
from pseudohealthy.synthesis.model import BatchProgress, Model
from pseudohealthy.synthesis.skull_stripping import Brain

Array = NDArray[np.float32]
Progress = Callable[[int, int, str], object]  # called with steps done, steps in all and what is done now


@dataclass(frozen=True, eq=False)
class SliceInference:
    """A brain's canonical slices `(Z, H, W)`, before and after the networks.

    Attributes:
        x: input, in [0, 1].
        x_tilde: pseudo-healthy slices, in [0, 1]; outside the brain and where not processed, the input.
        m_tilde: probability of disease.
        brain: of the slices.
        processed: (Z,), slices that went through the networks.
        grid: from the volume's grid to the slices' and back.
        intensity: from the volume's units to the slices' and back.
        seconds: that the networks took.
    """

    x: Array
    x_tilde: Array
    m_tilde: Array
    brain: NDArray[np.bool_]
    processed: NDArray[np.bool_]
    grid: Grid
    intensity: Intensity
    seconds: float

    @classmethod
    def of(cls, alone: Volume, model: Model, progress: Progress | None = None) -> Self:
        """The slices of a brain on a background of 0, processed where they hold enough of it.

        `progress` is called after each batch of slices.

        Raises:
            InputError: there is no brain.
        """
        settings, name = model.preprocessing, alone.name
        grid = Grid.of(alone, settings, alone.brain, cover=True)
        intensity = Intensity.of(alone.data, settings, name=name)
        x = grid.to_canonical(intensity.normalised(alone.data))
        brain = grid.to_canonical(alone.brain, order=0) > 0
        processed = processed_slices(brain)
        if not processed.any():
            raise InputError(f"{name}: no brain found; expected a skull-stripped image on a background of 0")
        began = time.perf_counter()
        x_tilde, m_tilde = x.copy(), np.zeros_like(x)
        x_tilde[processed], m_tilde[processed] = through_networks(x[processed], model, progress)
        seconds = round(time.perf_counter() - began, 3)
        np.copyto(x_tilde, x, where=~brain)
        m_tilde *= brain
        return cls(x, x_tilde, m_tilde, brain, processed, grid, intensity, seconds)

    def on_grid_of(self, volume: Volume, brain: Brain) -> tuple[Array, Array]:
        """The healthy image in the volume's intensity units, and the probability of disease, `(I, J, K)`."""
        inside = brain.alone.brain
        change = self.grid.to_stored(self.x_tilde - self.x)
        np.copyto(change, 0, where=~inside)
        healthy = self.intensity.restored(brain.alone.data, change)
        healthy += np.float32(brain.background)
        np.copyto(healthy, volume.data, where=change == 0)
        return healthy, self.probability_on_grid(self.m_tilde, inside)

    def probability_on_grid(self, m_tilde: Array, inside: NDArray[np.bool_]) -> Array:
        """A probability `(Z, H, W)` on the volume's grid, `(I, J, K)`; 0 where not `inside` the brain."""
        probability = self.grid.to_stored(m_tilde)
        np.clip(probability, 0, 1, out=probability)
        return probability * inside  # a new array, for this one may run backwards in memory

    def pictures(self, weight: Array | None) -> dict[str, Array]:
        """The columns of the panel; the blend is one of them where its weight `(I, J, K)` is given."""
        change = self.x_tilde - self.x
        columns = {"input": self.x, "healthy": self.x_tilde}
        if weight is not None:
            columns["blend"] = self.x + self.grid.to_canonical(weight) * change
        return {**columns, "difference": change, "lesion probability": self.m_tilde}


def through_networks(x: Array, model: Model, progress: Progress | None = None) -> tuple[Array, Array]:
    """Slices `(N, H, W)` in [0, 1] as if healthy, and their probability of disease."""
    first, second = (_part(progress, before) for before in (0, 1))
    return model.synthesize(x, first), model.segment(x, second)


def _part(progress: Progress | None, before: int) -> BatchProgress | None:
    """Progress of the generator (`before` 0) or of the segmentor (1), as that of both."""
    if progress is None:
        return None
    return lambda done, total: progress(before * total + done, 2 * total, "processing slices")
