from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pseudohealthy.evaluation.contrast import residual_contrast

Mask = NDArray[np.bool_]
SPACING = (1.0, 1.0)


def squares(slices: int = 2) -> tuple[Mask, Mask]:
    """A lesion of 5 x 5 in the first slice, of 1 x 1 in the second; brain everywhere but in the last rows."""
    masks = np.zeros((slices, 41, 41), dtype=np.bool_)
    masks[0, 18:23, 18:23] = True
    masks[1, 20, 20] = True
    brains = np.ones_like(masks)
    brains[:, -4:] = False
    return masks, brains


def test_by_hand_with_its_sign() -> None:
    masks, brains = squares()
    for inside in (0.7, 0.1):
        outputs = np.where(masks, inside, 0.4)
        table = residual_contrast(outputs, masks, brains, ["a", "b"], SPACING)
        assert list(table.columns) == ["residual_contrast"]
        assert table.index.name == "volume"
        assert table["residual_contrast"].tolist() == pytest.approx([inside - 0.4] * 2)


def test_only_the_5_mm_of_brain_around_count() -> None:
    masks, brains = squares()
    rows, columns = np.ogrid[:41, :41]
    near = np.hypot(np.maximum(abs(rows - 20) - 2, 0), np.maximum(abs(columns - 20) - 2, 0)) <= 5
    outputs = np.where(near & brains, 0.5, 0.9)
    outputs[:, -4:] = 0.0
    assert residual_contrast(outputs[:1], masks[:1], brains[:1], ["a"], SPACING).to_numpy() == pytest.approx(
        0
    )
    fine = residual_contrast(outputs[:1], masks[:1], brains[:1], ["a"], (0.5, 0.5))
    assert fine.to_numpy() < -0.1  # 5 mm are 10 pixels now


def test_both_means_are_pooled_over_the_volumes_slices() -> None:
    masks, brains = squares()
    outputs = np.full(masks.shape, 0.2)
    outputs[0][masks[0]] = 0.3
    outputs[1][masks[1]] = 1.0
    outputs[1][~masks[1]] = 0.4
    first, second = (np.count_nonzero(around) for around in _rims(masks))
    inside = (25 * 0.3 + 1.0) / 26
    around = (first * 0.2 + second * 0.4) / (first + second)
    table = residual_contrast(outputs, masks, brains, ["a", "a"], SPACING)
    assert table.loc["a", "residual_contrast"] == pytest.approx(inside - around)


def _rims(masks: Mask) -> list[Mask]:
    """By brute force: pixels within 5 pixels of a lesion pixel, outside the lesion."""
    found = []
    for mask in masks:
        away = np.indices(mask.shape)[:, None] - np.argwhere(mask).T[:, :, None, None]
        found.append(((away**2).sum(axis=0).min(axis=0) <= 25) & ~mask)
    return found


def test_without_a_lesion_or_a_rim_there_is_no_contrast() -> None:
    masks, brains = squares(slices=3)
    outputs = np.full(masks.shape, 0.2)
    brains[1] = masks[1]
    table = residual_contrast(outputs, masks, brains, ["a", "b", "c"], SPACING)
    assert table["residual_contrast"].isna().tolist() == [False, True, True]
