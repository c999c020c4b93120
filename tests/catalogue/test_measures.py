"""The table of measures knows every measure that is computed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pseudohealthy.catalogue.measures import (
    MAIN,
    MEASURES,
    TESTED,
    THEMES,
    head_of,
    key_of,
    rests_on_judge,
)
from pseudohealthy.report.table1.cells import measures

RESULTS = Path(__file__).resolve().parents[2] / "results"
TRAINING = (
    "method",
    "preset",
    "output",
    "mask",
    "seed",
    "images",
    "images_in_all",
    "width",
    "device",
    "hours",
)
NO_MEASURES = (*TRAINING, "volumes", "slices", "p_holm", "star")


@pytest.mark.parametrize("name", ["lgg", "phantom"])
def test_every_measure_of_a_results_file_is_in_the_table(name: str) -> None:
    rows = json.loads((RESULTS / name / "table1.json").read_text(encoding="utf-8"))["rows"]
    paths = {path for row in rows for path, value in measures(row) if value is not None}
    paths = {path for path in paths if path.partition(".")[0] not in NO_MEASURES}
    assert len(paths) > 30
    assert sorted(path for path in paths if key_of(path) is None) == []


def test_a_path_belongs_to_the_nearest_measure_above_it() -> None:
    assert key_of("detection.by_size.<50.rate") == "detection.by_size"
    assert key_of("texture.median") == "texture"
    assert key_of("identity_of_something_else") is None
    assert key_of("healthiness.pooled") == "healthiness.pooled"


def test_a_head_tells_unit_and_ideal() -> None:
    assert head_of("psnr_outside") == "PSNR outside, dB ↑"
    assert head_of("mae_outside") == "MAE outside ↓"
    assert head_of("residual_contrast") == "residual contrast (0 is ideal)"
    assert head_of("texture") == "texture (1 is ideal)"
    assert head_of("reseg_auroc_coordinates") == "AUROC of coordinates alone"
    assert head_of("truth_phantom.rim.ssim") == "SSIM within 5 mm of phantom lesions ↑"
    assert head_of("detection.by_size.<50.rate") == "lesions by mm² <50 rate"
    assert head_of("new.deep_one") == "new deep one"


def test_no_two_measures_have_one_head_and_each_says_what_it_is() -> None:
    assert len({measure.head for measure in MEASURES.values()}) == len(MEASURES)
    for key, measure in MEASURES.items():
        assert len(measure.summary) > 10, key
        assert not measure.summary.endswith("."), key


def test_what_is_tested_stands_in_table_1() -> None:
    assert TESTED == ("identity", "healthiness", "balance")
    assert set(TESTED) <= set(MAIN)
    assert THEMES[0] == "Table 1"
    assert [key for key in TESTED if rests_on_judge(key)] == ["healthiness", "balance"]
    assert all(MEASURES[key].ideal == "higher" for key in TESTED)
