"""Calibrates the uncertainty of weights on validation patients, and shows on test patients what is covered.

    python -m scripts.calibrate_uncertainty PREPARED [--weights FOLDER]
    python -m scripts.calibrate_uncertainty PREPARED [--weights FOLDER] --split test
    python -m scripts.calibrate_uncertainty PREPARED --weights RUN/weights --averaged RUN/weights_ema

PREPARED is the cohort that the weights were trained on. The healthy image is calibrated on lesions of other
patients put into healthy slices, whose truth is known; the lesion's volume on those, and on patients' own
lesions as they were drawn. The calibration goes beside the weights (`uncertainty.json`), what is covered to
`results/uncertainty.json`. With `--averaged` nothing is calibrated: averaged weights are compared with the
copies as one of the runs.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from pseudohealthy.config import Split
from pseudohealthy.data.prepared import Label, Prepared
from pseudohealthy.errors import InputError
from pseudohealthy.evaluation.insertion import insert, plan_insertions
from pseudohealthy.evaluation.slice_set import SliceSet
from pseudohealthy.evaluation.statistics import interval
from pseudohealthy.evaluation.truth import regions
from pseudohealthy.files import write_json
from pseudohealthy.json_files import read_json
from pseudohealthy.provenance import provenance
from pseudohealthy.synthesis.bundled_weights import bundled_weights
from pseudohealthy.synthesis.calibration import (
    FORMAT,
    POSSIBLE,
    SURE,
    ZONES,
    Calibration,
    VolumeFactors,
    Zone,
    expect_calibrated,
)
from pseudohealthy.synthesis.model import THRESHOLD, Model
from pseudohealthy.synthesis.slice_inference import through_networks
from pseudohealthy.synthesis.uncertainty import CHANGES, RUNS, Disagreement, half_width, zones_of

OUT = Path(__file__).parents[1] / "results" / "uncertainty.json"
SEEDS = {"val": (0, 1), "test": (0,)}  # of the lesions that are put into healthy slices
SAMPLE = 4000  # voxels of a patient in a zone, at most, that the factors are fitted to
FACTORS = np.concatenate([[0], np.geomspace(0.05, 50, 61)])  # for each unit of spread, that are tried
LEAST = 1e-4  # of a constant, of the intensity range
LEVELS = {"68": 0.68, "95": 0.95}

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What networks made of slices with known truth; arrays `(N, H, W)` with intensities in [0, 1].

    Attributes:
        slices: with `truth`.
        error: |healthy image - truth|.
        spread: of the runs, see `Disagreement`.
        plain: probability of disease in the plain run.
        mean: in all runs.
    """

    slices: SliceSet
    error: Array
    spread: Array
    plain: Array
    mean: Array

    @classmethod
    def of(cls, slices: SliceSet, model: Model) -> Self:
        """Run the networks as the program does."""
        brain = slices.brains
        healthy, probability = through_networks(slices.images, model)
        runs = Disagreement.of(slices.images, (healthy, probability), model)
        error = np.abs(healthy - slices.required("truth")) * brain
        return cls(slices, error, runs.spread * brain, probability * brain, runs.probability * brain)

    @property
    def zones(self) -> Array:
        """As the program has them."""
        return zones_of(self.plain, self.slices.spacing[0])

    @property
    def places(self) -> dict[str, Array]:
        """Where the lesion really is: inside, and of that what was marked and missed; rim; outside; all."""
        brain, marked = self.slices.brains, self.plain > THRESHOLD
        place = regions(self.slices.masks > 0, brain, self.slices.spacing)
        inside = place["inside"] & brain
        return {
            **place,
            "inside": inside,
            "marked": inside & marked,
            "missed": inside & ~marked,
            "all": brain,
        }


@dataclass(frozen=True, eq=False)
class LesionVolume:
    """One patient's true lesion, in pixels, and the probabilities of disease in the brain, `(P,)`."""

    truth: int
    plain: Array
    mean: Array

    @property
    def measured(self) -> int:
        """Pixels that the plain run marks."""
        return int((self.plain > THRESHOLD).sum())

    def above(self, probability: float) -> int:
        """Pixels whose mean probability is above this one."""
        return int((self.mean > probability).sum())


def transplants(prepared: Prepared, split: Split, seed: int) -> SliceSet:
    """Healthy slices of a split with lesions of its other patients; their truth is known."""
    donors, recipients = (SliceSet.of(prepared, split, label) for label in ("pathological", "healthy"))
    return insert(recipients, donors, plan_insertions(donors, recipients, seed=seed))


def own_lesions(prepared: Prepared, split: Split, model: Model) -> list[LesionVolume]:
    """The patients of a split that have a drawn lesion, with all their slices."""
    sets = list(_kinds(prepared, split))
    images, masks, subjects = (
        np.concatenate([getattr(each, name) for each in sets]) for name in ("images", "masks", "subjects")
    )
    probabilities = [model.segment(images)]
    probabilities += [each.place_undone(model.segment(each.changed(images))) for each in CHANGES]
    plain, mean = probabilities[0], np.mean(probabilities, axis=0)
    return lesion_volumes(subjects, masks > 0, images > 0, plain, mean)


def _kinds(prepared: Prepared, split: Split) -> Iterable[SliceSet]:
    for label in get_args(Label):
        if ((prepared.slices["split"] == split) & (prepared.slices["label"] == label)).any():
            yield SliceSet.of(prepared, split, label)


def lesion_volumes(
    subjects: Array, masks: Array, brains: Array, plain: Array, mean: Array
) -> list[LesionVolume]:
    """One for each patient with a lesion; subjects `(N,)`, all others `(N, H, W)`."""
    volumes = []
    for subject in np.unique(subjects):
        rows = subjects == subject
        brain = brains[rows]
        truth = int(np.count_nonzero(masks[rows] & brain))
        if truth:
            volumes.append(LesionVolume(truth, plain[rows][brain], mean[rows][brain]))
    return volumes


def fit_zone(error: Array, spread: Array) -> Zone:
    """The constant and the factor with the least quantile (pinball) loss at 68 %, and the ratio for 95 %.

    Args:
        error: `(P,)`, as many of each patient.
        spread: `(P,)`.
    """
    level = LEVELS["68"]
    constants = [max(float(np.quantile(error - factor * spread, level)), LEAST) for factor in FACTORS]
    losses = [
        pinball(error - constant - factor * spread, level)
        for constant, factor in zip(constants, FACTORS, strict=True)
    ]
    constant, factor = constants[best := int(np.argmin(losses))], float(FACTORS[best])
    ratio = float(np.quantile(error / (constant + factor * spread), LEVELS["95"]))
    return Zone(constant=round(constant, 6), factor=round(factor, 4), ratio_95=round(max(ratio, 1), 3))


def pinball(above: Array, level: float) -> float:
    """The quantile loss of values by how far they are above the estimated quantile."""
    return float(np.maximum(level * above, (level - 1) * above).mean())


def fit_zones(outcomes: Sequence[Outcome]) -> dict[str, Zone]:
    """Of each zone, from as many voxels of each patient.

    Raises:
        InputError: in one there is no voxel.
    """
    zones = {}
    for index, name in enumerate(ZONES):
        error, spread = _sampled(outcomes, index)
        if not error.size:
            raise InputError(
                f"no voxel of the validation patients is in the zone {name!r}; calibrate on more patients, "
                "or train a segmentor that finds their lesions"
            )
        zones[name] = fit_zone(error, spread)
    return zones


def _sampled(outcomes: Sequence[Outcome], zone: int) -> tuple[Array, Array]:
    """Errors and spreads of a zone."""
    rng, errors, spreads = np.random.default_rng(0), [], []
    for outcome in outcomes:
        there = outcome.slices.brains & (outcome.zones == zone)
        for subject in np.unique(outcome.slices.subjects):
            places = np.flatnonzero(there & (outcome.slices.subjects == subject)[:, None, None])
            drawn = rng.choice(places, SAMPLE) if places.size else places  # of few some are drawn again
            errors.append(outcome.error.ravel()[drawn])
            spreads.append(outcome.spread.ravel()[drawn])
    return np.concatenate(errors), np.concatenate(spreads)


def fit_factors(volumes: Sequence[LesionVolume], level: float) -> VolumeFactors:
    """Factors that would have been right in so many of the volumes, as many off on either side."""
    tail = (1 - level) / 2
    sure, possible = (
        [each.truth / max(each.above(probability), 1) for each in volumes] for probability in (SURE, POSSIBLE)
    )
    low = np.quantile(sure, tail, method="lower")
    return VolumeFactors(low=float(low), high=float(np.quantile(possible, 1 - tail, method="higher")))


def covered(error: Array, width: Array, place: Array, subjects: Array) -> Array:
    """The share of each patient's voxels whose error is at most the half-width, `(patients,)`.

    Args:
        error: `(N, H, W)`.
        width: likewise.
        place: likewise, which voxels count.
        subjects: `(N,)`; a patient without such a voxel is left out.
    """
    within = error <= width
    rows = [subjects == subject for subject in np.unique(subjects)]
    return np.array([within[each][place[each]].mean() for each in rows if place[each].any()])


def image_coverage(outcome: Outcome, calibration: Calibration) -> dict[str, Any]:
    """By place: what the 68 and the 95 % interval cover, over patients, and how wide they are."""
    zones = outcome.zones
    narrow = half_width(outcome.spread, zones, calibration)
    ratios = np.array([getattr(calibration, zone).ratio_95 for zone in ZONES])
    widths = {"68": narrow, "95": narrow * ratios[zones]}
    subjects = outcome.slices.subjects
    return {
        name: {
            "voxels": int(place.sum()),
            "error": float(outcome.error[place].mean()),
            **{
                level: {
                    **interval(covered(outcome.error, width, place, subjects)),
                    "half_width": float(width[place].mean()),
                }
                for level, width in widths.items()
            },
        }
        for name, place in outcome.places.items()
    }


def volume_coverage(volumes: Sequence[LesionVolume], calibration: Calibration) -> dict[str, Any]:
    """What the intervals of the lesion's volume cover, and their ends over the measured volume."""
    result: dict[str, Any] = {"patients": len(volumes)}
    for level in LEVELS:
        factors: VolumeFactors = getattr(calibration, f"volume_{level}")
        ends = np.array([_ends(volume, factors) for volume in volumes])
        truth, measured = np.array([(each.truth, max(each.measured, 1)) for each in volumes]).T
        inside = (ends[:, 0] <= truth) & (truth <= ends[:, 1])
        least, greatest = np.median(ends / measured[:, None], axis=0)
        result[level] = {**interval(inside), "least": float(least), "greatest": float(greatest)}
    return result


def _ends(volume: LesionVolume, factors: VolumeFactors) -> tuple[float, float]:
    least, greatest = factors.low * volume.above(SURE), factors.high * volume.above(POSSIBLE)
    return min(least, volume.measured), min(max(greatest, volume.measured), len(volume.mean))


def volumes_of(outcome: Outcome) -> list[LesionVolume]:
    """The patients' lesions that were put in."""
    slices = outcome.slices
    return lesion_volumes(slices.subjects, slices.masks > 0, slices.brains, outcome.plain, outcome.mean)


def calibrated(
    outcomes: Sequence[Outcome], volumes: Mapping[str, Sequence[LesionVolume]], sha256: str
) -> Calibration:
    """The calibration of validation patients' outcomes; of the volumes each kind counts alike."""
    together = [volume for each in volumes.values() for volume in each]
    return Calibration(
        format=FORMAT,
        sha256=sha256,
        **fit_zones(outcomes),
        volume_68=fit_factors(together, LEVELS["68"]),
        volume_95=fit_factors(together, LEVELS["95"]),
    )


def measure(prepared: Prepared, model: Model, split: Split, weights: Path) -> dict[str, Any]:
    """Coverage on a split; on "val" the weights are calibrated first.

    Raises:
        InputError: the cohort was prepared otherwise than the weights' was, or has too few patients.
    """
    if prepared.preprocessing != model.preprocessing:
        raise InputError(
            f"the cohort has {prepared.preprocessing}, the weights were trained on {model.preprocessing}; "
            "prepare it as their cohort was"
        )
    outcomes = [Outcome.of(transplants(prepared, split, seed), model) for seed in SEEDS[split]]
    volumes = {"transplanted": volumes_of(outcomes[0]), "own": own_lesions(prepared, split, model)}
    if split == "val":
        calibrated(outcomes, volumes, model.provenance["sha256"]).write(weights)
        model = Model.load(weights, "cpu")
    calibration = expect_calibrated(model.provenance)
    subjects = np.unique(np.concatenate([each.slices.subjects for each in outcomes]))
    return {
        "patients": len(subjects),
        "slices": sum(len(each.slices) for each in outcomes),
        "image": image_coverage(outcomes[0], calibration),
        "volume": {kind: volume_coverage(each, calibration) for kind, each in volumes.items()},
        "seeds": SEEDS[split],
        "runs": RUNS,
        "calibration": calibration.model_dump(mode="json"),
    }


def compare_averaged(prepared: Prepared, raw: Model, averaged: Model) -> dict[str, dict[str, float]]:
    """How the spread of two further runs follows the error of the raw weights' image, by place.

    Returns:
        Spearman's correlation over voxels of validation transplants: of two changed copies, as the program
        has them, and of each with the averaged weights in place of the other.
    """
    slices = transplants(prepared, "val", SEEDS["val"][0])
    x, brain = slices.images, slices.brains
    plain = raw.synthesize(x)
    runs = [change.undone(raw.synthesize(change.changed(x))) for change in CHANGES]
    squares = [(each - plain) ** 2 for each in (*runs, averaged.synthesize(x))]
    error = np.abs(plain - slices.required("truth"))
    pairs = {"both copies": (0, 1), "the first and averaged": (0, 2), "the second and averaged": (1, 2)}
    return {
        place: {name: _correlation(squares[a] + squares[b], error, where) for name, (a, b) in pairs.items()}
        for place, where in regions(slices.masks > 0, brain, slices.spacing).items()
    }


def _correlation(spread: Array, error: Array, where: Array) -> float:
    drawn = np.random.default_rng(0).choice(np.flatnonzero(where), 10 * SAMPLE)
    return float(spearmanr(spread.ravel()[drawn], error.ravel()[drawn])[0])


def main() -> None:
    """The part that is wanted; the others stay as they are in the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("--weights", type=Path, default=bundled_weights())
    parser.add_argument("--split", choices=("val", "test"), default="val", help="read test once")
    parser.add_argument("--averaged", type=Path, help="averaged weights of the same training")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    made_by = provenance()  # before anything is written
    model = Model.load(arguments.weights, "cpu")
    prepared = Prepared.open(arguments.prepared)
    config = {"cohort": prepared.manifest["key"], "weights": model.provenance["sha256"]}
    if arguments.averaged:
        other = Model.load(arguments.averaged, "cpu")
        config["averaged"] = other.provenance["sha256"]
        name, part = "averaged", {"correlation": compare_averaged(prepared, model, other)}
    else:
        name = arguments.split
        try:
            part = measure(prepared, model, arguments.split, arguments.weights)
        except InputError as error:
            parser.error(str(error))
    before = read_json(arguments.out) if arguments.out.exists() else {}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(arguments.out, {**before, name: {**part, "config": config, **made_by}})


if __name__ == "__main__":
    main()
