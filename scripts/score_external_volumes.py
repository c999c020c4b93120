"""Scores weights, untouched, on volumes of other scanners and diseases: external validation.

    python scripts/score_external_volumes.py VOLUMES PREPARED --judge NAME=FOLDER ... [--weights FOLDER]

VOLUMES holds images with masks as FILES names them, PREPARED is the prepared cohort of the weights, whose
validation slices give the threshold rule its threshold. The first judge is the paper's. Scores go to
`results/volumes`; `make results` makes the table of them.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from pseudohealthy.assessment.assess import assess
from pseudohealthy.assessment.predictors import ModelPredictor
from pseudohealthy.assessment.protocol import EvaluationProtocol, ProtocolSettings, validation_threshold
from pseudohealthy.assessment.references import References
from pseudohealthy.data.layouts import CohortVolume
from pseudohealthy.data.mask import read_mask
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.data.volume import read_volume, write_volume
from pseudohealthy.data.volume_slices import VolumeSlices
from pseudohealthy.evaluation.contrast import residual_contrast
from pseudohealthy.evaluation.insertion import pairs_of
from pseudohealthy.evaluation.score import summarise, write_scores
from pseudohealthy.evaluation.slice_set import SliceSet
from pseudohealthy.provenance import provenance
from pseudohealthy.synthesis.bundled_weights import bundled_weights
from pseudohealthy.synthesis.model import Model

RESULTS = Path(__file__).parents[1] / "results" / "volumes"
STROKE = "sub-strokecase0009"
FILES = {
    **{
        f"glioblastoma {case}": tuple(
            f"brats2018/HGG/Brats18_CBICA_{case}_1/Brats18_CBICA_{case}_1_{kind}.nii.gz"
            for kind in ("flair", "seg")
        )
        for case in ("AOO", "ASA", "ASK")
    },
    "ischaemic stroke": (
        f"isles2022/rawdata/{STROKE}/ses-0001/{STROKE}_ses-0001_flair.nii.gz",
        f"isles2022/derivatives/{STROKE}/ses-0001/{STROKE}_ses-0001_msk.nii.gz",
    ),
    "multiple sclerosis": ("openms/patient19/FLAIR.nii.gz", "openms/patient19/mask.nii.gz"),
}


def pathological(name: str, image: Path, mask: Path, model: Model) -> SliceSet:
    """A volume's slices with lesion, as the model sees slices; its mask may be on another grid."""
    with tempfile.TemporaryDirectory() as folder:
        like = read_volume(image)
        resampled = Path(folder) / "mask.nii.gz"
        write_volume(resampled, read_mask(mask, like, resample=True).voxels, like, mask=True)
        files = CohortVolume(name, "patient", image, resampled, None, "test", "volumes", None, image.parent)
        volume = VolumeSlices.of(files, model.preprocessing)
    table, arrays = volume.table, volume.arrays()
    rows = np.flatnonzero(table["label"] == "pathological")
    return SliceSet(
        arrays["images"][rows],
        arrays["masks"][rows] > 0,
        np.full(len(rows), name),
        z=table["z"].to_numpy()[rows],
        spacing=(model.preprocessing.spacing,) * 2,
    )


def scored(slices: SliceSet, model: Model, judges: Mapping[str, Model], threshold: float) -> pd.DataFrame:
    """A row of measures for the slices' volume, and the contrast of its lesion in the input."""
    protocol = EvaluationProtocol(slices, judges, ProtocolSettings(), threshold, pairs_of())
    table = assess(ModelPredictor(model), protocol, References.of(protocol)).table
    before = residual_contrast(slices.images, slices.masks, slices.brains, slices.volumes, slices.spacing)
    return table.drop(columns="insertion_recall").join(before.add_prefix("input."))


def main() -> None:
    """All volumes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("volumes", type=Path)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("--judge", action="append", required=True, metavar="NAME=FOLDER")
    parser.add_argument("--weights", type=Path, default=bundled_weights())
    arguments = parser.parse_args()
    model = Model.load(arguments.weights, "cpu")
    judges = {
        name: Model.load(Path(path), "cpu") for name, path in (each.split("=", 1) for each in arguments.judge)
    }
    threshold = validation_threshold(Prepared.open(arguments.prepared))
    rows = []
    for name, (image, mask) in FILES.items():
        slices = pathological(name, arguments.volumes / image, arguments.volumes / mask, model)
        rows.append(scored(slices, model, judges, threshold))
        print(name, len(slices), "slices", flush=True)
    table = pd.concat(rows)
    write_scores(RESULTS, table, {**summarise(table), **provenance(), "model": model.provenance})


if __name__ == "__main__":
    main()
