"""Intensities become whole numbers and are found again."""

from __future__ import annotations

import numpy as np
import pytest

from pseudohealthy.dicom.scale import Scale


@pytest.mark.parametrize("scale", [Scale(1, 0), Scale(0.5, -10), Scale(3.7, 100)])
def test_whole_numbers_are_found_again(scale: Scale) -> None:
    whole = np.arange(0, 5000, 7)
    voxels = (whole * scale.slope + scale.intercept).astype(np.float32)
    stored = scale.stored(voxels)
    assert stored.dtype == np.uint16
    np.testing.assert_array_equal(stored, whole)


def test_numbers_below_0_are_signed_and_those_too_large_are_cut() -> None:
    stored = Scale(1, 0).stored(np.array([-5.4, 2.6, 1e6], np.float32))
    assert stored.dtype == np.int16
    assert stored.tolist() == [-5, 3, 32767]


def test_the_finest_scale_holds_all_within_half_a_step() -> None:
    voxels = np.random.default_rng(0).normal(0, 3, 1000).astype(np.float32)
    scale = Scale.of(voxels)
    found = scale.stored(voxels) * scale.slope + scale.intercept
    assert np.abs(found - voxels).max() <= scale.slope / 2 + 1e-6
    assert Scale.of(np.ones(3, np.float32)).slope == 1
