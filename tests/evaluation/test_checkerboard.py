from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from fixtures.brains import Image, ellipse, slices
from pseudohealthy.evaluation.checkerboard import checkerboard

SHAPE = (4, 104, 80)
VOLUMES = np.array(["b", "a", "b", "a"])


def heads() -> Image:
    return slices(SHAPE[0], ellipse(SHAPE[1:], (46, 35)), widths=(0.7, 2, 5))


def test_a_copy_is_1() -> None:
    table = checkerboard(heads(), heads(), VOLUMES)
    assert table.index.tolist() == ["b", "a"]
    assert table["checkerboard"].tolist() == [1, 1]


@pytest.mark.parametrize("period", [2, 4])
@pytest.mark.parametrize("axes", ["rows", "columns", "both"])
def test_a_faint_pattern_of_either_period_raises_it(period: int, axes: str) -> None:
    images = heads()
    rows, columns = (1 - 2.0 * (np.arange(n) // (period // 2) % 2) for n in SHAPE[1:])
    pattern = {
        "rows": np.broadcast_to(rows[:, None], SHAPE[1:]),
        "columns": np.broadcast_to(columns, SHAPE[1:]),
        "both": rows[:, None] * columns,
    }[axes]
    outputs = images + 0.03 * pattern * (images > 0)
    outputs[1::2] = images[1::2]  # "a" is left as it was
    found = checkerboard(outputs, images, VOLUMES)["checkerboard"]
    assert found["b"] > 2
    assert found["a"] == pytest.approx(1)


def test_a_block_pattern_of_upsampling_without_smoothing_raises_it() -> None:
    images = heads()
    blocks = gaussian_filter(images, (0, 3, 3))[:, ::4, ::4].repeat(4, axis=1).repeat(4, axis=2)
    smooth = gaussian_filter(images, (0, 3, 3))
    found, plain = (checkerboard(each, images, VOLUMES)["checkerboard"] for each in (blocks, smooth))
    assert (found > 5 * plain).all()


def test_blur_lowers_it() -> None:
    images = heads()
    blurred = gaussian_filter(images, (0, 1, 1))
    assert (checkerboard(blurred, images, VOLUMES)["checkerboard"] < 0.2).all()


def test_a_smooth_change_does_not_raise_it() -> None:
    images = heads()
    rows, columns = np.ogrid[: SHAPE[1], : SHAPE[2]]
    bump = 0.3 * np.exp(-((rows - 40) ** 2 + (columns - 30) ** 2) / (2 * 10**2))
    found = checkerboard(images + bump, images, VOLUMES)["checkerboard"]
    assert found.tolist() == pytest.approx([1, 1], abs=0.01)
    brighter = checkerboard(images + 0.2, images, VOLUMES)["checkerboard"]
    assert brighter.tolist() == pytest.approx([1, 1], abs=1e-3)


def test_nothing_to_compare_with_is_nan() -> None:
    black = np.zeros(SHAPE, dtype=np.float32)
    assert checkerboard(heads(), black, VOLUMES)["checkerboard"].isna().all()
