"""External volumes are measured as every other output is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fixtures.brains import lesion
from fixtures.cohorts import bids
from fixtures.drawn_cohort import AREA, drawn
from fixtures.models import bright, copied, judge, ruled, saved
from pseudohealthy.evaluation.slice_set import SliceSet
from pseudohealthy.synthesis.model import Model
from scripts.score_external_volumes import pathological, scored


def test_a_volume_s_slices_with_a_lesion_as_the_model_sees_them(tmp_path: Path) -> None:
    folder = bids(tmp_path / "patients", 1)
    model = Model.load(saved(tmp_path / "model"), "cpu")
    (image,) = folder.glob("sub-01/anat/*_FLAIR.nii.gz")
    (mask,) = folder.glob("derivatives/lesions/sub-01/anat/*_mask.nii.gz")
    slices = pathological("a patient", image, mask, model)
    assert slices.volumes.tolist() == ["a patient"] * len(slices)
    assert len(slices) == np.count_nonzero(lesion().any(axis=(0, 1)))
    assert slices.images.shape[1:] == model.preprocessing.slice_shape
    assert slices.masks.any(axis=(1, 2)).all()
    assert np.diff(slices.required("z")).tolist() == [1] * (len(slices) - 1)


def test_a_copy_has_what_the_table_of_external_validation_shows() -> None:
    """The columns that `make results` reads, and the contrast that the lesion of 0.8 had before."""
    full = SliceSet.of(drawn(), "test")
    one = full.at(np.flatnonzero(full.volumes == "T1"))
    model = ruled("paired", G=copied, S=bright(0.6))
    table = scored(one, model, {"first": judge(0.6), "none": judge(2.0)}, 0.75)
    assert table.index.tolist() == ["T1"]
    row = table.loc["T1"]
    assert (row["identity"], row["segmentor_dice"]) == (pytest.approx(1), 1)
    for prefix in ("found.", "found_in_inputs."):
        found = {name: row[prefix + name] for name in ("first", "none", "threshold")}
        assert found == {"first": 2 * AREA, "none": 0, "threshold": 2 * AREA}
    assert row["input.residual_contrast"] == row["residual_contrast"] == pytest.approx(0.35, abs=0.02)
