"""Factors beside the weights, of these weights and no others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fixtures.models import calibrated, saved
from pseudohealthy.errors import InputError
from pseudohealthy.synthesis.bundled_weights import bundled_weights, describe_weights
from pseudohealthy.synthesis.calibration import FILE, Calibration, expect_calibrated


def test_a_calibration_comes_back_from_beside_its_weights(tmp_path: Path) -> None:
    weights = saved(tmp_path)
    with pytest.raises(InputError, match=r"these weights are not calibrated \(no uncertainty\.json"):
        expect_calibrated(describe_weights(weights))
    described = describe_weights(calibrated(weights))
    found = expect_calibrated(described)
    assert found == Calibration.read(weights, described["sha256"])
    assert (found.near.constant, found.near.ratio_95, found.volume_95.low) == (0.02, 3.5, 0.1)


def test_a_calibration_of_other_weights_is_not_of_these(tmp_path: Path) -> None:
    weights = calibrated(saved(tmp_path))
    assert Calibration.read(weights, "another") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "of another version; remove it, or calibrate again"),
        ({"volume_68": {"low": -0.5, "high": 1.5}}, "volume_68.low"),
        ({"near": {"constant": 0, "factor": 1, "ratio_95": 2}}, "near.constant"),
        ({"elsewhere": {"constant": 0.1, "factor": 1, "ratio_95": 0.5}}, "elsewhere.ratio_95"),
        ({"lesion": {"constant": 0.1, "factor": 1e308, "ratio_95": 2}}, "lesion.factor"),
        ({"lesion": {"constant": 0.1, "factor": 1, "ratio_95": 1e308}}, "lesion.ratio_95"),
        ({"volume_95": {"low": 0.5, "high": 1e308}}, "volume_95.high"),
    ],
)
def test_a_damaged_calibration_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    weights = calibrated(saved(tmp_path))
    values = json.loads((weights / FILE).read_text())
    (weights / FILE).write_text(json.dumps({**values, **change}))
    with pytest.raises(InputError, match=message):
        describe_weights(weights)


def test_the_bundled_weights_are_calibrated() -> None:
    described = describe_weights(bundled_weights())
    assert expect_calibrated(described), "run scripts/calibrate_uncertainty.py on these weights"
