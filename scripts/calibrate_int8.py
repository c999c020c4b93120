"""Measures the ranges that 8-bit integers need, on training patients, and what is lost, on validation ones.

    python -m scripts.calibrate_int8 PREPARED --judges FOLDER [FOLDER ...] [--weights FOLDER]

PREPARED is the cohort that the weights were trained on. The ranges go beside the weights (`int8.json`), where
they make 8-bit integers the choice of OpenVINO on processors for which it pays; what they cost in identity,
healthiness and the segmentor's Dice, and how much faster they are, to `results/int8.json`. Where a limit is
not kept no ranges are left beside the weights.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.int8 import by_instructions
from pseudohealthy.config import Split
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.evaluation.healthiness import healthiness
from pseudohealthy.evaluation.identity import identity
from pseudohealthy.evaluation.segmentation import dice
from pseudohealthy.evaluation.slice_set import SliceSet
from pseudohealthy.files import write_json
from pseudohealthy.provenance import provenance
from pseudohealthy.synthesis import backends
from pseudohealthy.synthesis.bundled_weights import bundled_weights
from pseudohealthy.synthesis.model import SLICES_ON_CPU, THRESHOLD, Model
from pseudohealthy.synthesis.quantization import FILE, FORMAT, InputRanges, measure_ranges

OUT = Path(__file__).parents[1] / "results" / "int8.json"
SLICES = 128  # of training patients
SURROUNDINGS_MM, SUSPECT = 8.0, 0.05  # of the mask, and of what the segmentor finds so probable
LIMITS = {"identity": 0.003, "healthiness": 0.003, "dice": 0.003, "greatest_change_outside": 0.01}
# Left in fp32, as tried on validation patients: the first convolution, whose input alone is what the result
# must not change; the generator's first after its residual blocks, whose few large inputs would take up the
# levels of all the others; the segmentor's output.
IN_FP32 = {"G": ("encoder.0.0", "decoder.0.1.0"), "S": ("down.0.body.0.0", "output")}

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Outcome:
    """Of slices `(N, H, W)`: the healthy images, and the probability of disease in the brain."""

    healthy: Array
    probability: Array

    @classmethod
    def of(cls, slices: SliceSet, model: Model, precision: backends.Precision) -> Self:
        """What OpenVINO makes of slices in this precision."""
        healthy, probability = (_run(slices.images, model, letter, precision) for letter in "GS")
        return cls(np.where(slices.brains, healthy, slices.images), probability * slices.brains)


def _run(x: Array, model: Model, letter: str, precision: backends.Precision) -> Array:
    shape = model.preprocessing.slice_shape
    run = backends.to_openvino(model.networks[letter], shape, 1, precision, model.ranges.get(letter))
    parts = [x[first : first + SLICES_ON_CPU, None] for first in range(0, len(x), SLICES_ON_CPU)]
    return np.concatenate([run([part])[0][:, 0] for part in parts])


def every_slice(prepared: Prepared, split: Split = "val") -> SliceSet:
    """The slices of a split with a lesion, and those without."""
    kinds = [SliceSet.of(prepared, split, label) for label in ("pathological", "healthy")]
    images, masks, volumes, subjects = (
        np.concatenate([getattr(each, name) for each in kinds])
        for name in ("images", "masks", "volumes", "subjects")
    )
    return SliceSet(images, masks, volumes, subjects, spacing=kinds[0].spacing)


def measured(prepared: Prepared, model: Model) -> InputRanges:
    """The ranges of both networks' layers that are to be computed in 8-bit integers."""
    rows = np.flatnonzero(prepared.slices["split"] == "train")
    drawn = np.sort(np.random.default_rng(0).choice(rows, min(SLICES, len(rows)), replace=False))
    x = np.asarray(prepared.images[prepared.slices["row"].to_numpy()[drawn]], dtype=np.float32)[:, None]
    networks = {
        letter: {
            name: bounds
            for name, bounds in measure_ranges(model.networks[letter], x).items()
            if name not in names
        }
        for letter, names in IN_FP32.items()
    }
    return InputRanges(format=FORMAT, sha256=model.provenance["sha256"], slices=len(drawn), networks=networks)


def compare(
    slices: SliceSet, exact: Outcome, rounded: Outcome, judges: Mapping[str, Model]
) -> dict[str, Any]:
    """Identity, healthiness (mean of the judges) and Dice of both, and how far images and masks differ."""
    lesions = slices.masks > 0
    with_lesion = lesions.any((1, 2))
    outside = slices.brains & ~surroundings(lesions | (exact.probability > SUSPECT), slices.spacing)
    change = np.abs(rounded.healthy - exact.healthy)
    x, masks = slices.images[with_lesion], lesions[with_lesion]

    def values(outcome: Outcome) -> dict[str, float]:
        healthy = outcome.healthy[with_lesion]
        pooled = [
            healthiness(np.count_nonzero(judge.segment(healthy) > THRESHOLD), np.count_nonzero(masks))
            for judge in judges.values()
        ]
        return {
            "identity": float(identity(healthy, x, masks).mean()),
            "healthiness": float(np.mean(pooled)),
            "dice": dice(outcome.probability[with_lesion] > THRESHOLD, masks),
        }

    before, after = values(exact), values(rounded)
    marked, now = (outcome.probability > THRESHOLD for outcome in (exact, rounded))
    return {
        "f32": before,
        "int8": after,
        "changes": {
            **{name: abs(after[name] - before[name]) for name in before},
            "greatest_change_outside": float(change[outside].max()),
        },
        "voxels_outside": int(outside.sum()),
        "mean_change_outside": float(change[outside].mean()),
        "greatest_change": float(change.max()),
        "marked_otherwise": int((marked != now).sum()),
        "marked": int(marked.sum()),
    }


def surroundings(lesions: Array, spacing: Sequence[float]) -> Array:
    """`(N, H, W)`: within `SURROUNDINGS_MM` of a lesion in its slice."""
    return np.stack(
        [
            ndimage.distance_transform_edt(~lesion, spacing) <= SURROUNDINGS_MM
            if lesion.any()
            else np.zeros_like(lesion)
            for lesion in lesions
        ]
    )


def kept(changes: Mapping[str, float]) -> bool:
    """Whether every change is below its limit."""
    return all(changes[name] < limit for name, limit in LIMITS.items())


def main() -> int:
    """Measure, write, compare; returns 1 where a limit is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("--judges", type=Path, nargs="+", required=True, help="weights folders")
    parser.add_argument("--weights", type=Path, default=bundled_weights())
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    made_by = provenance()  # before anything is written
    prepared = Prepared.open(arguments.prepared)
    measured(prepared, Model.load(arguments.weights, "cpu")).write(arguments.weights)
    model = Model.load(arguments.weights, "cpu")
    judges = {str(number): Model.load(folder, "cpu") for number, folder in enumerate(arguments.judges)}
    slices = every_slice(prepared)
    exact, rounded = (Outcome.of(slices, model, precision) for precision in ("f32", "int8"))
    compared = compare(slices, exact, rounded, judges)
    result = {
        **compared,
        "limits": LIMITS,
        "kept": kept(compared["changes"]),
        "patients": len(np.unique(slices.subjects)),
        "slices": len(slices),
        "times_as_fast_as_f32": by_instructions(arguments.weights),
        "config": {
            "cohort": prepared.manifest["key"],
            "weights": model.provenance["sha256"],
            "judges": [judge.provenance["sha256"] for judge in judges.values()],
            "in_fp32": IN_FP32,
            "seed": 0,
        },
        **made_by,
    }
    write_json(arguments.out, result)
    if not result["kept"]:
        (arguments.weights / FILE).unlink()
        print(f"not kept: {compared['changes']}, limits {LIMITS}", file=sys.stderr)
    return 0 if result["kept"] else 1


if __name__ == "__main__":
    sys.exit(main())
