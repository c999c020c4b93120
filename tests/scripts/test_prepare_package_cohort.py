"""Strokes with many hyperintensities are not in the cohort of the package's weights; all gliomas are."""

from __future__ import annotations

from pathlib import Path

from fixtures.cohorts import bids
from pseudohealthy.data.cohort import read_cohort
from scripts.prepare_package_cohort import MOST_BRIGHT_PIXELS, with_few_hyperintensities


def test_leaves_out_strokes_with_many_bright_pixels_and_no_glioma(tmp_path: Path) -> None:
    gliomas, strokes = bids(tmp_path / "gliomas", 2), bids(tmp_path / "strokes", 3, first=2)
    (strokes / "participants.tsv").write_text(
        "participant_id\tsplit\tbright_pixels\n"
        f"sub-02\ttrain\t{MOST_BRIGHT_PIXELS + 1}\n"  # of a name that a glioma has, too
        f"sub-03\ttrain\t{MOST_BRIGHT_PIXELS}\n"
        "sub-04\tval\t1000\n"
    )
    cohort = with_few_hyperintensities(read_cohort([gliomas, strokes]), strokes)
    left = [(volume.source, volume.subject) for volume in cohort.volumes]
    assert left == [("gliomas", "01"), ("gliomas", "gliomas-02"), ("strokes", "03")]
