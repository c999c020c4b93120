"""Calibration and coverage, against what is worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fixtures.drawn_cohort import drawn
from fixtures.models import bright, copied, ruled
from pseudohealthy.errors import InputError
from pseudohealthy.synthesis.calibration import FORMAT, Calibration, VolumeFactors, Zone
from scripts.calibrate_uncertainty import (
    LesionVolume,
    Outcome,
    calibrated,
    covered,
    fit_factors,
    fit_zone,
    fit_zones,
    image_coverage,
    lesion_volumes,
    measure,
    pinball,
    transplants,
    volume_coverage,
    volumes_of,
)


def volume(truth: int, *probabilities: float) -> LesionVolume:
    return LesionVolume(truth, np.array(probabilities), np.array(probabilities))


def test_coverage_by_hand() -> None:
    error = np.array([[[0.1, 0.2, 0.3, 0.4]], [[0.5, 0.1, 0.1, 0.1]], [[0.0, 0.0, 0.0, 0.0]]])
    width = np.full_like(error, 0.2)
    place = np.array([[[1, 1, 1, 0]], [[1, 1, 0, 0]], [[0, 0, 0, 0]]]) > 0
    one = covered(error, width, place, np.array(["a", "b", "c"]))
    np.testing.assert_allclose(one, [2 / 3, 1 / 2])  # "c" has no such voxel
    together = covered(error, width, place, np.array(["a", "a", "c"]))
    np.testing.assert_allclose(together, [3 / 5])


def test_the_quantile_loss_by_hand() -> None:
    assert pinball(np.array([1.0, -1.0]), 0.75) == pytest.approx((0.75 + 0.25) / 2)


def test_a_zone_of_known_errors_is_found_again() -> None:
    """Errors normal with a standard deviation in proportion to the spread: 68.3 % are within it."""
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.01, 0.1, 40_000)
    zone = fit_zone(np.abs(rng.normal(0, 2 * spread)), spread)
    assert zone.factor == pytest.approx(2, rel=0.15)
    assert zone.constant < 0.01
    assert zone.ratio_95 == pytest.approx(1.96, rel=0.03)


def test_where_the_spread_says_nothing_a_constant_is_left() -> None:
    rng = np.random.default_rng(0)
    zone = fit_zone(np.abs(rng.normal(0, 0.1, 40_000)), rng.uniform(0.001, 0.002, 40_000))
    assert zone.constant + zone.factor * 0.0015 == pytest.approx(0.1, rel=0.03)


def test_factors_reach_outwards_to_cover_what_they_promise() -> None:
    """Of eleven volumes of 1 to 11 with one pixel that is sure and two that are possible."""
    each = [volume(truth, 0.95, 0.3, *[0.0] * 20) for truth in range(1, 12)]
    assert fit_factors(each, 0.68) == VolumeFactors(low=2, high=5)
    assert fit_factors(each, 0.95) == VolumeFactors(low=1, high=5.5)
    assert fit_factors([volume(3, 0.0, 0.0, 0.0)], 0.68) == VolumeFactors(low=3, high=3)  # nothing is found


def test_volumes_that_are_covered_are_counted() -> None:
    zone = Zone(constant=0.1, factor=0, ratio_95=2)
    calibration = Calibration(
        format=FORMAT,
        sha256="any",
        lesion=zone,
        near=zone,
        elsewhere=zone,
        volume_68=VolumeFactors(low=1, high=1),
        volume_95=VolumeFactors(low=0.5, high=2),
    )
    probabilities = (0.95, 0.95, 0.7, 0.3, 0.0)  # measured 3, sure 2, possible 4; 68 %: 2 to 4; 95 %: 1 to 5
    found = volume_coverage([volume(truth, *probabilities) for truth in (1, 2, 3, 5)], calibration)
    assert found["patients"] == 4
    assert (found["68"]["mean"], found["95"]["mean"]) == (0.5, 1.0)
    assert (found["68"]["least"], found["95"]["greatest"]) == (pytest.approx(2 / 3), pytest.approx(5 / 3))


def test_lesions_are_counted_by_patient_in_the_brain() -> None:
    masks = np.array([[[1, 1]], [[1, 0]], [[0, 0]]]) > 0
    brains = np.array([[[1, 0]], [[1, 1]], [[1, 1]]]) > 0
    flat = np.arange(6, dtype=float).reshape(3, 1, 2)
    first, *others = lesion_volumes(np.array(["a", "a", "b"]), masks, brains, flat, 2 * flat)
    assert not others  # "b" has no lesion
    assert (first.truth, first.plain.tolist(), first.mean.tolist()) == (2, [0, 2, 3], [0, 4, 6])


def test_a_generator_that_leaves_the_lesion_is_as_wrong_as_the_lesion_is_bright() -> None:
    """From transplanted lesions to factors and to what they cover, with networks whose output is known."""
    slices = transplants(drawn(), "val", seed=0)
    outcome = Outcome.of(slices, ruled(G=copied, S=bright(0.6)))
    np.testing.assert_allclose(outcome.error, np.abs(slices.images - slices.required("truth")), atol=1e-6)
    assert outcome.spread.max() < 1e-6
    places = outcome.places
    np.testing.assert_array_equal(places["inside"], places["marked"] | places["missed"])
    assert not (places["rim"] & places["inside"]).any()
    calibration = calibrated([outcome], {"transplanted": volumes_of(outcome)}, "any")
    assert calibration.elsewhere.constant == pytest.approx(1e-4)  # nothing is wrong there
    assert calibration.lesion.constant > 0.1
    shown = image_coverage(outcome, calibration)
    assert shown["outside"]["68"]["mean"] == 1
    assert shown["marked"]["68"]["mean"] == pytest.approx(0.68, abs=0.05)
    assert shown["marked"]["95"]["mean"] == pytest.approx(0.95, abs=0.05)


def test_a_zone_without_a_voxel_is_refused_by_name() -> None:
    """Where the segmentor marks nothing."""
    outcome = Outcome.of(transplants(drawn(), "val", seed=0), ruled(G=copied, S=bright(0.6)))
    unmarked = replace(outcome, plain=np.zeros_like(outcome.plain))
    with pytest.raises(InputError, match="no voxel of the validation patients is in the zone 'near'"):
        fit_zones([unmarked])


def test_a_cohort_prepared_otherwise_is_refused_before_any_work(tmp_path: Path) -> None:
    model, prepared = ruled(G=copied, S=bright(0.6)), drawn()
    shape = prepared.preprocessing.slice_shape
    other = prepared.preprocessing.model_copy(update={"slice_shape": (shape[0] + 16, shape[1])})
    with pytest.raises(InputError, match="prepare it as their cohort was"):
        measure(prepared, replace(model, preprocessing=other), "val", tmp_path)
