from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from pseudohealthy.evaluation.through_plane import Inconsistency, through_plane_inconsistency

Z = np.array([5, 6, 7, 8, 1, 2])
VOLUMES = np.array(["a"] * 4 + ["b"] * 2)


def stack(*means: float) -> np.ndarray:
    return np.asarray(means)[:, None, None] + np.zeros((len(means), 4, 3))


IMAGES = stack(0.2, 0.4, 0.3, 0.5, 0.6, 0.7)
BRAINS = IMAGES > 0


def test_by_hand() -> None:
    outputs = stack(0.2, 0.5, 0.3, 0.5, 0.6, 0.7)
    table = through_plane_inconsistency(outputs, IMAGES, BRAINS, VOLUMES, Z)
    assert table.index.tolist() == ["a", "b"]
    # of the images |0.2 - 0.8 + 0.3| + |0.4 - 0.6 + 0.5|, of the outputs |0.2 - 1 + 0.3| + |0.5 - 0.6 + 0.5|
    assert table.loc["a", "through_plane_inconsistency"] == pytest.approx((0.5 + 0.4) / (0.3 + 0.3))
    assert table["through_plane_inconsistency"].isna().tolist() == [
        False,
        True,
    ]  # two slices have no second difference


def test_slices_brighter_by_turns_are_seen_where_a_smoother_image_hides_them() -> None:
    generator = np.random.default_rng(0)
    heads = 0.5 + 0.01 * np.sin(np.arange(20) / 3)[:, None, None] + generator.normal(0, 0.05, (20, 30, 30))
    inside = np.ones(heads.shape, dtype=np.bool_)
    smooth = ndimage.gaussian_filter(heads, (0, 1.5, 1.5))
    by_turns = smooth * (1 + 0.02 * (np.arange(20) % 2))[:, None, None]
    table = through_plane_inconsistency(by_turns, heads, inside, ["a"] * 20, np.arange(20))
    assert table["through_plane_inconsistency"].item() < 1
    assert Inconsistency.of_volume(by_turns, heads, inside).brightness > 5
    assert Inconsistency.of_volume(smooth, heads, inside).brightness == pytest.approx(1, abs=0.1)
    assert Inconsistency.of_volume(heads, heads, inside).brightness == 1
    assert np.isnan(Inconsistency.of_volume(heads[:2], heads[:2], inside[:2]).brightness)


def test_one_volume_has_the_number_of_the_table() -> None:
    images, outputs = np.random.default_rng(0).random((2, 12, 7, 5)).astype(np.float32)
    brains = images > 0.1
    table = through_plane_inconsistency(outputs, images, brains, ["a"] * 12, np.arange(12))
    alone = Inconsistency.of_volume(outputs, images, brains)
    assert alone.voxels == table["through_plane_inconsistency"].item()


def test_a_copy_is_1_and_alternate_brightening_raises_it() -> None:
    assert (
        through_plane_inconsistency(IMAGES, IMAGES, BRAINS, VOLUMES, Z).loc[
            "a", "through_plane_inconsistency"
        ]
        == 1
    )
    images = stack(*np.linspace(0.2, 0.3, 6) ** 2)
    brightened = images * (1 + 0.1 * (np.arange(6) % 2))[:, None, None]
    table = through_plane_inconsistency(brightened, images, BRAINS, np.repeat("a", 6), np.arange(6))
    assert table["through_plane_inconsistency"].item() > 5


def test_a_steady_change_does_not_count() -> None:
    slope = np.arange(6)[:, None, None] / 20
    rough = IMAGES + slope
    found = through_plane_inconsistency(rough, IMAGES, BRAINS, VOLUMES, Z).loc[
        "a", "through_plane_inconsistency"
    ]
    assert found == pytest.approx(1)


def test_slices_may_come_in_any_order_and_volumes_are_not_neighbours() -> None:
    rng = np.random.default_rng(0)
    images, outputs = rng.random((2, 9, 4, 3))
    volumes, z = np.repeat(["a", "b", "c"], 3), np.tile([3, 4, 5], 3)
    brains = rng.random(images.shape) < 0.9
    ordered = through_plane_inconsistency(outputs, images, brains, volumes, z)["through_plane_inconsistency"]
    mixed = rng.permutation(9)
    shuffled = through_plane_inconsistency(
        outputs[mixed], images[mixed], brains[mixed], volumes[mixed], z[mixed]
    )["through_plane_inconsistency"]
    assert shuffled[ordered.index].tolist() == pytest.approx(ordered.tolist())


def test_over_a_gap_nothing_is_compared() -> None:
    outputs = stack(0.2, 0.9, 0.3, 0.5, 0.6, 0.7)
    gap = np.array([5, 6, 8, 9, 1, 2])
    assert (
        through_plane_inconsistency(outputs, IMAGES, BRAINS, VOLUMES, gap)["through_plane_inconsistency"]
        .isna()
        .all()
    )


def test_only_voxels_that_are_brain_in_all_three_count() -> None:
    outputs, brains = IMAGES.copy(), BRAINS.copy()
    outputs[1, 0], outputs[1, 1:] = 0.9, 0.5
    brains[[0, 3], 0] = False  # the wild row of slice 6 is common to neither three
    found = through_plane_inconsistency(outputs, IMAGES, brains, VOLUMES, Z).loc[
        "a", "through_plane_inconsistency"
    ]
    assert found == pytest.approx((0.5 + 0.4) / (0.3 + 0.3))
