from __future__ import annotations

import numpy as np
import pytest

from fixtures.brains import box, slices
from pseudohealthy.evaluation.healthy_input import healthy_in
from pseudohealthy.evaluation.ms_ssim import ms_ssim
from pseudohealthy.evaluation.slice_set import SliceSet

VOLUMES = np.array(["b", "a", "b"])


def slice_set() -> SliceSet:
    """Noise in a box of 20 x 30 pixels, in float16 to see that sums are not."""
    images = slices(3, box((64, 48), (10, 30), (10, 40)), widths=(0,), contrast=0.15).astype(np.float16)
    images[2, 20:30] = 0
    return SliceSet(images, np.zeros(images.shape, dtype=np.bool_), VOLUMES)


def test_by_hand() -> None:
    healthy = slice_set()
    images, brains = healthy.images, healthy.brains
    outputs = images.astype(np.float64)
    outputs[0] += 0.1 * brains[0]
    outputs[2] += 0.25 * brains[2]
    outputs[~brains] = 0.9  # the background does not count in MAE
    found = np.zeros_like(brains)
    found[0, 0, :7] = True
    table = healthy_in(outputs, healthy, detected=found, reconstructed=images)
    assert table.index.tolist() == ["b", "a"]
    assert table["healthy_in.mae"].tolist() == pytest.approx([(600 * 0.1 + 300 * 0.25) / 900, 0.0])
    assert table["healthy_in.false_positive_voxels"].tolist() == [3.5, 0.0]
    assert table["healthy_in.reconstructed_mae"].tolist() == [0.0, 0.0]
    by_slice = ms_ssim(outputs, images)
    assert table["healthy_in.ms_ssim"].tolist() == pytest.approx([by_slice[[0, 2]].mean(), by_slice[1]])


def test_a_copy_is_perfect_and_what_is_not_given_has_no_column() -> None:
    healthy = slice_set()
    table = healthy_in(healthy.images, healthy)
    assert list(table.columns) == ["healthy_in.mae", "healthy_in.ms_ssim"]
    assert table["healthy_in.mae"].tolist() == [0.0, 0.0]
    assert table["healthy_in.ms_ssim"].tolist() == pytest.approx([1.0, 1.0])


def test_without_a_brain_there_is_no_error_to_speak_of() -> None:
    healthy = slice_set()
    healthy.images[1] = 0
    assert healthy_in(healthy.images, healthy)["healthy_in.mae"].isna().tolist() == [False, True]
