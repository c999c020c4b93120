"""Runs on changed inputs, changed back, and the intervals that are made of them."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fixtures.brains import patient
from fixtures.models import bright, calibrated, copied, ruled, saved
from pseudohealthy.data.volume import volume_from_array
from pseudohealthy.errors import InputError
from pseudohealthy.synthesis.bundled_weights import bundled_weights
from pseudohealthy.synthesis.calibration import ZONES, VolumeFactors, expect_calibrated
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.result import Synthesis
from pseudohealthy.synthesis.synthesize import synthesize
from pseudohealthy.synthesis.uncertainty import (
    CHANGES,
    RUNS,
    Disagreement,
    InputChange,
    half_width,
    run_progress,
    volume_interval,
    zones_of,
)

SPACING = (3.0, 1.0, 1.0)
SLICES = np.ascontiguousarray(patient().T[8:11], dtype=np.float32)  # three of the thickest


@pytest.fixture(scope="module")
def model() -> Model:
    return Model.load(bundled_weights(), "cpu")


@pytest.fixture(scope="module")
def unsure(model: Model) -> Synthesis:
    """The weights in the package, of three slices."""
    return synthesize(SLICES, model, spacing=SPACING, uncertainty=True)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.load(calibrated(saved(tmp_path_factory.mktemp("small"))), "cpu")


def random_slices() -> NDArray[np.float32]:
    return np.random.default_rng(0).random((2, 64, 48), dtype=np.float32)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_undone(change: InputChange) -> None:
    x = random_slices()
    changed = change.changed(x)
    assert np.abs(changed - x).max() > 0.5
    np.testing.assert_allclose(change.undone(changed), x, atol=1e-6)


def test_places_come_back_to_the_bit() -> None:
    x = random_slices()
    change = InputChange(flipped=True, down=3, right=-2, gamma=1.0)
    np.testing.assert_array_equal(change.place_undone(change.changed(x)), x)


def test_a_flip_is_of_left_and_right_and_a_shift_moves_down_and_right() -> None:
    x = np.zeros((1, 5, 4), dtype=np.float32)
    x[0, 1, 0] = 0.25
    flipped = InputChange(flipped=True, down=0, right=0, gamma=1.0).changed(x)
    shifted = InputChange(flipped=False, down=2, right=1, gamma=0.5).changed(x)
    assert np.argwhere(flipped).tolist() == [[0, 1, 3]]
    assert np.argwhere(shifted).tolist() == [[0, 3, 1]]
    assert shifted.max() == 0.5


def test_the_runs_are_a_flip_shifts_both_ways_and_darker_and_brighter() -> None:
    assert RUNS == 3
    assert {change.flipped for change in CHANGES} == {True, False}
    assert {np.sign(change.down) for change in CHANGES} == {np.sign(change.right) for change in CHANGES}
    assert min(change.gamma for change in CHANGES) < 1 < max(change.gamma for change in CHANGES)


def test_a_generator_that_copies_is_sure() -> None:
    x = random_slices()
    model = ruled(G=copied, S=bright(2))
    runs = Disagreement.of(x, (x, np.zeros_like(x)), model)
    assert runs.spread.max() < 1e-6
    assert not runs.probability.any()


def test_the_spread_by_hand() -> None:
    """A generator of one grey: a run's image is that grey to the inverse of its gamma, wherever."""
    x, grey = random_slices(), 0.5
    model = ruled(G=lambda x: torch.full_like(x, grey), S=lambda x: torch.full_like(x, 0.2))
    runs = Disagreement.of(x, (np.full_like(x, grey), np.full_like(x, 0.8)), model)
    differences = [grey ** (1 / change.gamma) - grey for change in CHANGES]
    np.testing.assert_allclose(runs.spread, np.sqrt(np.mean(np.square(differences))), rtol=1e-5)
    np.testing.assert_allclose(runs.probability, (0.8 + 2 * 0.2) / 3, rtol=1e-6)


def test_zones_by_hand() -> None:
    probability = np.zeros((2, 1, 30), dtype=np.float32)
    probability[0, 0, 10], probability[0, 0, 20] = 0.9, 0.2
    names = [ZONES[zone] for zone in zones_of(probability, spacing=2.0)[0, 0]]
    assert names == ["elsewhere"] * 5 + ["near"] * 5 + ["lesion"] + ["near"] * 15 + ["elsewhere"] * 4
    assert not zones_of(probability, spacing=2.0)[1].any()


def test_half_widths_by_hand(small: Model) -> None:
    calibration = expect_calibrated(small.provenance)
    widths = half_width(np.array([0.0, 0.1, 0.1], dtype=np.float32), np.array([0, 1, 2]), calibration)
    np.testing.assert_allclose(widths, [0.01, 0.02 + 2 * 0.1, 0.03 + 3 * 0.1], rtol=1e-6)


def test_volume_intervals_by_hand_hold_the_volume() -> None:
    volume = volume_from_array(np.arange(1.0, 13).reshape(1, 3, 4), (10, 10, 10))  # 12 voxels of 1 ml
    probability = np.linspace(0, 1, 12, dtype=np.float32).reshape(4, 3, 1)  # sure: 2 ml; possible: 10 ml
    mask = probability > 0.5  # 6 ml
    for factors, ends in (
        ((0.5, 0.75), (1.0, 7.5)),
        ((4, 0.75), (6.0, 7.5)),
        ((0.5, 0.1), (1.0, 6.0)),
        ((0, 5), (0.0, 12.0)),  # the brain has no more
    ):
        low, high = factors
        assert volume_interval(probability, mask, VolumeFactors(low=low, high=high), volume) == ends


def test_a_map_has_the_inputs_grid_and_is_0_where_nothing_is_made(unsure: Synthesis) -> None:
    assert unsure.uncertainty is not None
    assert unsure.uncertainty.shape == SLICES.shape
    assert unsure.uncertainty.dtype == np.float32
    np.testing.assert_array_equal(unsure.uncertainty > 0, SLICES > 0)


def test_a_map_is_in_the_inputs_units(model: Model, unsure: Synthesis) -> None:
    ten = synthesize(10 * SLICES, model, spacing=SPACING, uncertainty=True)
    assert unsure.uncertainty is not None
    assert ten.uncertainty is not None
    np.testing.assert_allclose(ten.uncertainty, 10 * unsure.uncertainty, rtol=1e-3)
    reported = [each.report["uncertainty"]["mean_half_width"] for each in (unsure, ten)]
    assert reported[0] == pytest.approx(unsure.uncertainty[SLICES > 0].mean(), rel=1e-3)
    assert reported[1] == pytest.approx(10 * reported[0], rel=1e-3)


def test_intervals_of_the_volume_hold_it_and_each_other(unsure: Synthesis) -> None:
    intervals, lesion = unsure.report["uncertainty"], unsure.report["lesion_ml"]
    narrow, wide = intervals["lesion_ml_68"], intervals["lesion_ml_95"]
    assert 0 <= wide[0] <= narrow[0] <= lesion <= narrow[1] <= wide[1] <= unsure.report["brain_ml"]


def test_it_is_off_by_default_and_changes_nothing_else(model: Model, unsure: Synthesis) -> None:
    plain = synthesize(SLICES, model, spacing=SPACING)
    assert plain.uncertainty is None
    assert "uncertainty" not in plain.report
    for name in ("healthy", "probability", "mask", "difference"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(unsure, name))
    assert {field.name for field in fields(plain)} == {field.name for field in fields(unsure)}
    assert set(unsure.report) - set(plain.report) == {"uncertainty"}
    assert "uncertainty" not in unsure.report["weights"]


def test_networks_see_each_slice_three_times(small: Model) -> None:
    counts = []
    for uncertainty in (False, True):
        steps: list[tuple[int, int]] = []

        def told(done: int, total: int, what: str, steps: list[tuple[int, int]] = steps) -> None:
            if what == "processing slices":
                steps.append((done, total))

        synthesize(SLICES, small, spacing=SPACING, uncertainty=uncertainty, progress=told)
        assert steps == [(done, len(steps)) for done in range(1, len(steps) + 1)]
        counts.append(len(steps))
    assert counts[1] == 3 * counts[0] > 0


def test_progress_of_nobody_is_nothing() -> None:
    assert run_progress(None, 1) is None


def test_two_runs_agree_to_the_bit(small: Model) -> None:
    first, second = (synthesize(SLICES, small, spacing=SPACING, uncertainty=True) for _ in range(2))
    assert first.uncertainty is not None
    assert second.uncertainty is not None
    np.testing.assert_array_equal(first.uncertainty, second.uncertainty)


def test_weights_without_a_calibration_are_refused_before_any_work(tmp_path: Path) -> None:
    model = Model.load(saved(tmp_path), "cpu")
    with pytest.raises(InputError, match="these weights are not calibrated"):
        synthesize("no such file", model, uncertainty=True)
