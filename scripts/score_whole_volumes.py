"""Scores weights on whole validation volumes: what is marked and changed where nothing is?

    python scripts/score_whole_volumes.py BIDS_DIR NAME [--weights FOLDER]

The measures of Table 1 look at slices of at least half the largest area, and S's at slices with a lesion. A
person sends whole volumes, of which every slice counts; they must be stored as axial slices. Scores go to
`results/whole/NAME`; `make results` makes the table of them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.data.intensity import Intensity
from pseudohealthy.data.layouts import CohortVolume
from pseudohealthy.data.mask import read_mask
from pseudohealthy.data.slice_selection import training_slices
from pseudohealthy.data.volume import read_volume
from pseudohealthy.evaluation.segmentation import dice
from pseudohealthy.files import write_json
from pseudohealthy.provenance import provenance
from pseudohealthy.synthesis.bundled_weights import bundled_weights
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.synthesize import synthesize

RESULTS = Path(__file__).parents[1] / "results" / "whole"


def scored(files: CohortVolume, model: Model) -> dict[str, float | str | None]:
    """Sizes in ml, and changes as a share of the intensity range, of one volume."""
    assert files.image is not None
    assert files.mask is not None
    image = read_volume(files.image)
    lesion, result = read_mask(files.mask, image).voxels, synthesize(image, model)
    ml = float(np.prod(image.spacing)) / 1000
    ceiling = Intensity.of(image.data, model.preprocessing).ceiling
    clear = np.logical_not(lesion.any(axis=(0, 1)))
    large = training_slices(np.moveaxis(image.brain, 2, 0), "half_area")

    def marked(slices: NDArray[Any]) -> float:
        return float(np.count_nonzero((result.mask & ~lesion)[..., slices])) * ml

    def changed(slices: NDArray[Any]) -> float:
        inside = image.brain[..., slices]
        return (
            float(np.abs(result.difference[..., slices][inside]).mean()) / ceiling if inside.any() else np.nan
        )

    return {
        "volume": files.subject,
        "lesion_ml": float(np.count_nonzero(lesion)) * ml,
        "marked_ml": float(np.count_nonzero(result.mask)) * ml,
        "dice": dice(result.mask, lesion),
        "false_ml_beside_lesions": marked(~clear),
        "false_ml_without_lesion": marked(clear & large),
        "false_ml_at_the_ends": marked(clear & ~large),
        "changed_without_lesion": changed(clear & large),
        "changed_at_the_ends": changed(clear & ~large),
        **{key: result.report[key] for key in ("through_plane_inconsistency", "brightness_inconsistency")},
    }


def main() -> None:
    """All validation volumes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bids", type=Path)
    parser.add_argument("name", help="of the folder under results/whole")
    parser.add_argument("--weights", type=Path, default=bundled_weights())
    arguments = parser.parse_args()
    made_by = provenance()  # before anything is written
    model = Model.load(arguments.weights, "cpu", "auto")
    volumes = [files for files in read_cohort([arguments.bids]).volumes if files.split == "val"]
    table = pd.DataFrame([scored(files, model) for files in volumes])
    out = RESULTS / arguments.name
    out.mkdir(parents=True, exist_ok=True)
    table.to_csv(out / "volumes.tsv", sep="\t", index=False, float_format="%.6g")
    means = json.loads(table.drop(columns="volume").mean().to_json())
    write_json(
        out / "summary.json",
        {"volumes": len(table), "mean": means, **made_by, "model": model.provenance},
    )
    print(json.dumps(means, indent=1))


if __name__ == "__main__":
    main()
