"""Prepares the cohort of the package's weights: gliomas, and strokes with few white-matter hyperintensities.

    python -m scripts.prepare_package_cohort lgg soop -o prepared

The masks of the strokes leave hyperintensities out. A network that is taught such slices as healthy, or as
healthy but for the stroke, is taught to keep hyperintensities.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd

from pseudohealthy.config import preprocessing
from pseudohealthy.data.cohort import Cohort, read_cohort
from pseudohealthy.data.prepare import prepare

BRIGHT_PIXELS = "bright_pixels"  # of participants.tsv: brighter than 1.3 x the median, deep in the brain
MOST_BRIGHT_PIXELS = 200


def with_few_hyperintensities(cohort: Cohort, folder: Path) -> Cohort:
    """The cohort without the subjects of `folder` who have more than `MOST_BRIGHT_PIXELS` bright pixels."""
    table = pd.read_csv(folder / "participants.tsv", sep="\t")
    left_out = set(table.loc[table[BRIGHT_PIXELS] > MOST_BRIGHT_PIXELS, "participant_id"])
    source = folder.resolve().name
    volumes = tuple(
        volume
        for volume in cohort.volumes
        if volume.source != source or f"sub-{volume.subject.removeprefix(f'{source}-')}" not in left_out
    )
    return replace(cohort, volumes=volumes)


def main() -> int:
    """Read both data sets, leave subjects out, prepare; print what each split has."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("gliomas", type=Path)
    parser.add_argument("strokes", type=Path, help=f"whose participants.tsv has a column {BRIGHT_PIXELS}")
    parser.add_argument("-o", "--out", type=Path, required=True)
    given = parser.parse_args()
    cohort = with_few_hyperintensities(read_cohort([given.gliomas, given.strokes]), given.strokes)
    for split, totals in prepare(cohort, given.out, preprocessing("default"))["totals"].items():
        print(split, f"{totals['volumes']} volumes", totals["slices"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
