"""Measures the segmentor as a user meets it: masks and probabilities of whole scans, beside those drawn.

    python -m scripts.measure_segmentor DATA [DATA ...] [--weights FOLDER] [--split test]

Each DATA is a cohort's folder, whose own split is used. What is measured of it goes to
`results/segmentor.json`, under the folder's name.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.data.layouts import CohortVolume
from pseudohealthy.data.volume import read_volume
from pseudohealthy.files import write_json
from pseudohealthy.json_files import read_json
from pseudohealthy.provenance import provenance
from pseudohealthy.synthesis.bundled_weights import bundled_weights
from pseudohealthy.synthesis.inputs import on_grid
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.synthesize import synthesize

OUT = Path(__file__).parents[1] / "results" / "segmentor.json"
THIRDS = ("smallest", "middle", "largest")
BINS = 10  # of the probability
MISSED = 0.1  # a Dice below which a lesion counts as missed


@dataclass(frozen=True, eq=False)
class Scan:
    """The segmentor's mask and probability of one scan, beside the lesion as drawn.

    Attributes:
        name: the subject.
        true_ml: of the lesion.
        found_ml: of the mask.
        both_ml: of what is in both.
        predicted: (BINS,), sums of the probabilities of the brain's voxels, by the probability.
        voxels: (BINS,), how many they are.
        lesion: (BINS,), how many of them are lesion.
        backend: what computed them.
    """

    name: str
    true_ml: float
    found_ml: float
    both_ml: float
    predicted: NDArray[Any]
    voxels: NDArray[np.int64]
    lesion: NDArray[np.int64]
    backend: str = ""

    @classmethod
    def of(cls, files: CohortVolume, model: Model) -> Self:
        """Of a patient's image and mask."""
        assert files.image is not None
        assert files.mask is not None
        image = read_volume(files.image)
        result, ml = synthesize(image, model), float(np.prod(image.spacing)) / 1000
        true = on_grid(files.mask, image, "lesion").voxels
        true_ml, found_ml, both_ml = (
            float(np.count_nonzero(where) * ml) for where in (true, result.mask, true & result.mask)
        )
        inside = image.brain
        probability = result.probability[inside].astype(np.float64)
        place = np.minimum((probability * BINS).astype(int), BINS - 1)
        return cls(
            files.subject,
            true_ml,
            found_ml,
            both_ml,
            np.bincount(place, probability, BINS),
            np.bincount(place, minlength=BINS),
            np.bincount(place[true[inside]], minlength=BINS),
            " ".join(result.report["backend"].values()),
        )

    @property
    def dice(self) -> float:
        """2 |P and T| / (|P| + |T|)."""
        return 2 * self.both_ml / (self.true_ml + self.found_ml)


def of_size(scans: Sequence[Scan]) -> dict[str, Any]:
    """Dice and volume of scans with a lesion."""
    scores = np.array([scan.dice for scan in scans])
    true, found = (np.array([getattr(scan, key) for scan in scans]) for key in ("true_ml", "found_ml"))
    error = found - true
    return {
        "patients": len(scans),
        "least_ml": rounded(true.min()),
        "greatest_ml": rounded(true.max()),
        "dice": quartiles(scores),
        "dice_pooled": rounded(2 * sum(scan.both_ml for scan in scans) / (true + found).sum()),
        "missed": int(np.count_nonzero(scores < MISSED)),
        "error_ml": quartiles(error),
        "size_of_error_percent": quartiles(100 * np.abs(error) / true),
    }


def quartiles(values: NDArray[np.float64]) -> dict[str, float]:
    """The median and the quartiles around it."""
    low, median, high = np.percentile(values, (25, 50, 75))
    return {"median": rounded(median), "low": rounded(low), "high": rounded(high)}


def rounded(value: float) -> float:
    """To four digits."""
    return float(f"{value:.4g}")


def calibration(scans: Iterable[Scan]) -> dict[str, Any]:
    """What share of the brain's voxels of a probability is lesion.

    Returns:
        `bins`: each with its share of all voxels, the mean probability and the share that is lesion;
        `expected_error`: their difference, a mean over the voxels of all bins but the first, which holds
        nearly all of the brain.
    """
    each = list(scans)
    predicted, voxels, lesion = (
        np.sum([getattr(scan, key) for scan in each], axis=0) for key in ("predicted", "voxels", "lesion")
    )
    bins = [
        {
            "least": place / BINS,
            "share": rounded(count / max(voxels.sum(), 1)),
            "probability": rounded(total / count) if count else None,
            "lesion": rounded(right / count) if count else None,
        }
        for place, (total, count, right) in enumerate(zip(predicted, voxels, lesion, strict=True))
    ]
    difference = np.abs(predicted - lesion)[1:].sum()
    return {"bins": bins, "expected_error": rounded(difference / max(voxels[1:].sum(), 1))}


def measured(scans: Sequence[Scan]) -> dict[str, Any]:
    """All that is measured of a cohort's scans; those without a lesion count for the calibration alone."""
    with_lesion = sorted((scan for scan in scans if scan.true_ml), key=lambda scan: scan.true_ml)
    thirds = np.array_split(np.arange(len(with_lesion)), len(THIRDS))
    sizes = {
        name: of_size([with_lesion[place] for place in places])
        for name, places in zip(THIRDS, thirds, strict=True)
    }
    return {
        "all": of_size(with_lesion),
        **sizes,
        "calibration": calibration(scans),
        "worst": [scan.name for scan in sorted(with_lesion, key=lambda scan: scan.dice)[:5]],
        "backends": sorted({scan.backend for scan in scans}),
    }


def scans_of(folder: Path, split: str, model: Model) -> list[Scan]:
    """Of the patients of a split whose lesion is drawn, or who have none."""
    files = [
        each for each in read_cohort([folder]).volumes if each.split == split and each.image and each.mask
    ]
    scans = []
    for number, each in enumerate(files, start=1):
        scans.append(Scan.of(each, model))
        print(f"{folder.name}: {number} of {len(files)} scans", flush=True)
    return scans


def main() -> None:
    """The cohorts that are given; the others stay as they are in the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--weights", type=Path, default=bundled_weights())
    parser.add_argument("--split", choices=("val", "test"), default="val", help="read test once")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    model = Model.load(arguments.weights, "cpu", "auto")
    weights = {key: model.provenance[key] for key in ("method", "images", "sha256")}
    for folder in arguments.data:
        made_by = provenance()  # before anything is written
        found = measured(scans_of(folder, arguments.split, model))
        before = read_json(arguments.out) if arguments.out.exists() else {}
        config = {"split": arguments.split, "weights": weights}
        write_json(arguments.out, {**before, folder.name: {**found, **config, **made_by}})


if __name__ == "__main__":
    main()
