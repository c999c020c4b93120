"""The segmentor's scores by lesion size and the calibration of its probability, by hand and on files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fixtures.cohorts import bids, participants
from fixtures.models import saved
from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.json_files import read_json
from pseudohealthy.synthesis.bundled_weights import bundled_weights, describe_weights
from pseudohealthy.synthesis.model import Model
from scripts.make_segmentor import HONEST, PAGE, RESULTS, filled
from scripts.measure_segmentor import BINS, Scan, calibration, measured, of_size, scans_of

NONE = np.zeros(BINS)


def scan(name: str, true: float, found: float, both: float) -> Scan:
    return Scan(name, true, found, both, NONE, NONE.astype(int), NONE.astype(int))


def test_scores_by_hand() -> None:
    scores = of_size([scan("a", 10, 10, 5), scan("b", 20, 10, 10), scan("c", 10, 40, 0)])
    assert scores["dice"]["median"] == 0.5
    assert scores["dice_pooled"] == 0.3
    assert scores["missed"] == 1
    assert (scores["error_ml"]["median"], scores["size_of_error_percent"]["median"]) == (0, 50)
    assert (scores["least_ml"], scores["greatest_ml"]) == (10, 20)


def test_lesions_are_sorted_by_size_without_scans_that_have_none() -> None:
    scans = [scan(f"p{ml}", ml, ml, ml - 1) for ml in (30, 1, 20, 3, 2, 10)]
    found = measured([*scans, scan("well", 0, 4, 0)])
    ranges = [
        (found[third]["least_ml"], found[third]["greatest_ml"]) for third in ("smallest", "middle", "largest")
    ]
    assert ranges == [(1, 2), (3, 10), (20, 30)]
    assert found["all"]["patients"] == 6
    assert found["worst"][0] == "p1"


def test_a_probability_that_is_right_is_calibrated_and_one_that_is_sure_is_not() -> None:
    count = np.full(BINS, 100)
    middle = (np.arange(BINS) + 0.5) / BINS
    right = Scan("right", 1, 1, 1, middle * count, count, (middle * count).astype(int))
    assert calibration([right])["expected_error"] == pytest.approx(0, abs=1e-9)
    assert calibration([right])["bins"][3] == {
        "least": 0.3,
        "share": 0.1,
        "probability": 0.35,
        "lesion": 0.35,
    }
    nothing = Scan("sure", 1, 1, 1, middle * count, count, np.zeros(BINS, int))
    assert calibration([nothing])["expected_error"] == pytest.approx(middle[1:].mean(), rel=1e-3)


def test_a_segmentor_that_marks_everything(tmp_path: Path) -> None:
    model = Model.load(saved(tmp_path / "weights", copying=True, finds=True), "cpu")
    data = bids(tmp_path / "data", 2)
    participants(data, "participant_id\tsplit", "sub-01\ttest", "sub-02\ttrain")
    found = scans_of(data, "test", model)
    (each,) = found
    assert each.name in {volume.subject for volume in read_cohort([data]).volumes}
    assert each.both_ml == pytest.approx(each.true_ml)
    assert each.found_ml > 5 * each.true_ml
    assert each.voxels.sum() == each.voxels[-1]  # all of them are sure
    assert each.lesion.sum() * each.found_ml == pytest.approx(each.true_ml * each.voxels.sum(), rel=0.01)


def test_the_page_says_what_the_results_say_of_the_bundled_weights() -> None:
    text, results = PAGE.read_text(encoding="utf-8"), read_json(RESULTS)
    assert filled(text, results, read_json(HONEST)) == text, "run `make results`"
    for each in results.values():
        assert each["split"] == "test"
        assert each["weights"]["sha256"] == describe_weights(bundled_weights())["sha256"]
    results["lgg"]["middle"]["missed"] = 77
    assert "| 77 |" in filled(text, results, read_json(HONEST))
