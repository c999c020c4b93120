"""How far the healthy image and the lesion's volume may be off: the networks on changed inputs.

Each further run sees the slices flipped, shifted, brighter or darker, and its output is changed back. Where
the runs disagree the networks are unsure. What they get wrong alike, such as a lesion that all of them miss,
no run shows: how wide an interval must be follows from lesions whose truth is known (`calibration`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from pseudohealthy.data.volume import Volume
from pseudohealthy.synthesis.calibration import (
    NEAR_MM,
    NEAR_PROBABILITY,
    POSSIBLE,
    SURE,
    ZONES,
    Calibration,
    VolumeFactors,
)
from pseudohealthy.synthesis.model import THRESHOLD, Model
from pseudohealthy.synthesis.run_report import UncertaintyReport, millilitres
from pseudohealthy.synthesis.slice_inference import Progress, SliceInference, through_networks

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class InputChange:
    """A change of slices `(N, H, W)` in [0, 1] that can be undone.

    Attributes:
        flipped: left and right are exchanged.
        down: pixels by which the slices are shifted, round the border, which is background.
        right: likewise.
        gamma: the power that intensities are raised to; above 1 they become darker.
    """

    flipped: bool
    down: int
    right: int
    gamma: float

    def changed(self, x: Array) -> Array:
        """The slices, changed."""
        moved = np.roll(x, (self.down, self.right), (1, 2))
        return np.ascontiguousarray(moved[:, :, ::-1] if self.flipped else moved) ** np.float32(self.gamma)

    def place_undone(self, y: Array) -> Array:
        """An output for changed slices, with every pixel back in its place."""
        return np.roll(y[:, :, ::-1] if self.flipped else y, (-self.down, -self.right), (1, 2))

    def undone(self, y: Array) -> Array:
        """An image made of changed slices, as if they had not been changed."""
        return self.place_undone(y) ** np.float32(1 / self.gamma)


CHANGES = (
    InputChange(flipped=True, down=3, right=-2, gamma=1.2),
    InputChange(flipped=False, down=-2, right=3, gamma=1 / 1.2),
)
RUNS = 1 + len(CHANGES)


@dataclass(frozen=True, eq=False)
class Disagreement:
    """What further runs make of slices `(N, H, W)`, against the plain run.

    Attributes:
        spread: root of the mean squared difference of their healthy images from the plain one, in [0, 1].
        probability: of disease, the mean over all runs.
    """

    spread: Array
    probability: Array

    @classmethod
    def of(cls, x: Array, plain: tuple[Array, Array], model: Model, progress: Progress | None = None) -> Self:
        """Run the networks on each of `CHANGES`.

        Args:
            x: slices, in [0, 1].
            plain: the plain run's healthy image and probability.
            model: whose networks run.
            progress: called after each batch of slices, the plain run's counted as done.
        """
        squares, total = np.zeros_like(x), plain[1].copy()
        for run, change in enumerate(CHANGES, start=1):
            healthy, probability = through_networks(change.changed(x), model, run_progress(progress, run))
            squares += (change.undone(healthy) - plain[0]) ** 2
            total += change.place_undone(probability)
        return cls(np.sqrt(squares / len(CHANGES)), total / np.float32(RUNS))

    @classmethod
    def of_volume(cls, inference: SliceInference, model: Model, progress: Progress | None = None) -> Self:
        """Those of all slices of a volume; 0 outside the brain and where not processed."""
        processed, spread, probability = inference.processed, *(np.zeros_like(inference.x) for _ in range(2))
        plain = (inference.x_tilde[processed], inference.m_tilde[processed])
        runs = cls.of(inference.x[processed], plain, model, progress)
        spread[processed], probability[processed] = runs.spread, runs.probability
        return cls(spread * inference.brain, probability * inference.brain)


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """Of one volume.

    Attributes:
        half_width: of the 68 % interval around the healthy image, `(I, J, K)` in the volume's units; 0
            outside the brain and in slices that were not processed.
        report: the intervals of the lesion's volume, and how the 95 % interval follows.
    """

    half_width: Array
    report: UncertaintyReport

    @classmethod
    def of(
        cls,
        inference: SliceInference,
        alone: Volume,
        model: Model,
        calibration: Calibration,
        mask: Mask,
        *,
        progress: Progress | None = None,
    ) -> Self:
        """The uncertainty of a run.

        Args:
            inference: the plain run.
            alone: the brain on a background of 0.
            model: whose networks ran.
            calibration: of its weights.
            mask: the lesion in the plain run, `(I, J, K)`.
            progress: as in `Disagreement.of`.
        """
        began, inside = time.perf_counter(), alone.brain
        runs = Disagreement.of_volume(inference, model, progress)
        zones = zones_of(inference.m_tilde, model.preprocessing.spacing)
        widths = half_width(runs.spread, zones, calibration) * inference.processed[:, None, None]
        scaled = inference.grid.to_stored(widths) * inside * np.float32(inference.intensity.ceiling)
        probability = inference.probability_on_grid(runs.probability, inside)
        report: UncertaintyReport = {
            "lesion_ml_68": volume_interval(probability, mask, calibration.volume_68, alone),
            "lesion_ml_95": volume_interval(probability, mask, calibration.volume_95, alone),
            "mean_half_width": float(f"{scaled[scaled > 0].mean():.4g}"),
            "ratio_95": {zone: getattr(calibration, zone).ratio_95 for zone in ZONES},
            "runs": RUNS,
            "seconds": round(time.perf_counter() - began, 3),
        }
        return cls(scaled, report)


def zones_of(probability: Array, spacing: float) -> NDArray[np.intp]:
    """The zone of each pixel, as its place in `ZONES`.

    Args:
        probability: of disease, `(N, H, W)`.
        spacing: of the pixels, in mm.

    Returns:
        "lesion" above a probability of 0.5, "near" at most 10 mm in its slice from a pixel above 0.1, and
        "elsewhere".
    """
    zones = np.zeros(probability.shape, dtype=np.intp)
    suspected = probability > NEAR_PROBABILITY
    for z in np.flatnonzero(suspected.any(axis=(1, 2))):
        zones[z] = distance_transform_edt(~suspected[z], sampling=spacing) <= NEAR_MM
    zones[probability > THRESHOLD] = ZONES.index("lesion")
    return zones


def half_width(spread: Array, zones: NDArray[np.intp], calibration: Calibration) -> Array:
    """Half-widths of the 68 % interval, in the units of `spread`: a constant and a factor of each zone."""
    each = [getattr(calibration, zone) for zone in ZONES]
    constants, factors = (np.array([getattr(zone, key) for zone in each]) for key in ("constant", "factor"))
    return np.asarray(constants[zones] + factors[zones] * spread, dtype=np.float32)


def volume_interval(
    probability: Array, mask: Mask, factors: VolumeFactors, volume: Volume
) -> tuple[float, float]:
    """The least and the greatest volume of the lesion, in ml, between which the mask's always lies.

    Args:
        probability: mean of the runs, `(I, J, K)`.
        mask: the lesion in the plain run.
        factors: of the sure and of the possible volume.
        volume: whose voxels they are.
    """
    measured, brain = millilitres(mask, volume), millilitres(volume.brain, volume)
    least = factors.low * millilitres(probability > SURE, volume)
    greatest = factors.high * millilitres(probability > POSSIBLE, volume)
    return round(min(least, measured), 3), round(min(max(greatest, measured), brain), 3)


def run_progress(progress: Progress | None, run: int) -> Progress | None:
    """Progress of one of the `RUNS`, from 0, as that of all of them."""
    if progress is None:
        return None
    return lambda done, total, what: progress(run * total + done, RUNS * total, what)
