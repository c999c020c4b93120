from __future__ import annotations

import numpy as np
import pytest

from pseudohealthy.evaluation.pixelwise import mae, mean_over, psnr

TRUE = np.array([[[0.5, 0.5], [0.5, 0.5]], [[0.2, 0.4], [0.6, 0.8]]])
FOUND = np.array([[[0.6, 0.3], [0.5, 0.0]], [[0.2, 0.4], [0.6, 0.8]]])
REGION = np.array([[[True, True], [True, False]], [[True, True], [False, False]]])


def test_errors_worked_by_hand() -> None:
    assert mae(FOUND, TRUE, REGION) == pytest.approx([(0.1 + 0.2 + 0.0) / 3, 0.0])
    assert psnr(FOUND, TRUE, REGION)[0] == pytest.approx(10 * np.log10(3 / (0.01 + 0.04)))


def test_a_whole_volume_is_one_value() -> None:
    assert mae(FOUND[None], TRUE[None], REGION[None]) == pytest.approx([0.3 / 5])
    assert psnr(FOUND[None], TRUE[None], REGION[None]) == pytest.approx([20.0])  # 0.05 / 5 = 0.01


def test_psnr_of_equal_images_is_100_db() -> None:
    assert psnr(TRUE, TRUE, REGION).tolist() == [100.0, 100.0]


def test_an_empty_region_is_nan() -> None:
    nothing = np.zeros_like(REGION)
    for measure in (mae, psnr):
        assert np.isnan(measure(FOUND, TRUE, nothing)).all()


def test_values_outside_the_region_do_not_count_even_if_not_finite() -> None:
    values = np.where(REGION, TRUE, np.nan)
    assert mean_over(values, REGION) == pytest.approx([0.5, 0.3])


def test_unsigned_integers_do_not_wrap_around() -> None:
    low, high = np.array([[[1]]], dtype=np.uint8), np.array([[[3]]], dtype=np.uint8)
    assert mae(low, high, np.ones((1, 1, 1), dtype=np.bool_)).tolist() == [2.0]
