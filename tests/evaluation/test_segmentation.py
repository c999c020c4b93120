from __future__ import annotations

import numpy as np
import pytest

from pseudohealthy.evaluation.segmentation import cross_entropy, dice, volume_dice

TRUE = np.array([[[1, 1], [0, 0]], [[1, 0], [0, 0]], [[0, 0], [0, 0]]], dtype=np.uint8)
FOUND = np.array([[[1, 0], [1, 0]], [[1, 1], [1, 0]], [[0, 0], [0, 0]]], dtype=np.bool_)


def test_pooled_by_hand() -> None:
    assert dice(FOUND, TRUE) == pytest.approx(2 * 2 / (5 + 3))
    assert dice(TRUE, FOUND) == dice(FOUND, TRUE)


def test_by_volume_by_hand_in_order_of_first_appearance() -> None:
    by_volume = volume_dice(FOUND, TRUE, ["b", "a", "c"])
    assert by_volume.index.tolist() == ["b", "a", "c"]
    assert by_volume.tolist() == pytest.approx([2 * 1 / 4, 2 * 1 / 4, 1.0])
    assert volume_dice(FOUND, TRUE, ["b", "a", "b"]).tolist() == pytest.approx([0.5, 0.5])


def test_cross_entropy_by_hand() -> None:
    true = np.array([[1, 0], [0, 1]], dtype=np.uint8)
    found = np.array([[0.5, 0.25], [1.0, 1.0]], dtype=np.float32)
    expected = -(np.log(0.5) + np.log(0.75) + np.log(1e-6) + np.log(1.0)) / 4
    assert cross_entropy(found, true) == pytest.approx(expected, rel=1e-6)


def test_extremes() -> None:
    nothing = np.zeros_like(TRUE)
    assert dice(TRUE, TRUE) == 1.0
    assert dice(nothing, nothing) == 1.0
    assert dice(nothing, TRUE) == dice(TRUE, nothing) == 0.0


def test_a_label_of_any_value_is_lesion() -> None:
    assert dice(4 * TRUE, 255 * TRUE) == 1.0
