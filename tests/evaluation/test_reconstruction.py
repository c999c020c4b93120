from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fixtures.brains import ellipse
from pseudohealthy.evaluation.reconstruction import cycle, mask_control, moved, quantised

Array = NDArray[Any]
Mask = NDArray[np.bool_]
VOLUMES = ["b", "a", "b"]


def test_8_bits_by_hand() -> None:
    images = np.array([[[0.0, 0.5 / 255 - 1e-6, 0.5 / 255 + 1e-6, 1.0]]])
    assert quantised(images, 0, sigma=0)[0, 0] == pytest.approx([0, 0, 1 / 255, 1])


def test_noise_is_of_the_given_spread_everywhere_in_range_and_of_the_seed() -> None:
    images = np.full((4, 100, 100), 128 / 255, dtype=np.float32)
    images[0] = 0.0
    images[1] = 1.0
    found = quantised(images, 7)
    assert found.dtype == np.float32
    assert np.array_equal(found, quantised(images, 7))
    assert not np.array_equal(found, quantised(images, 8))
    assert (found[2:] - images[2:]).std() == pytest.approx(0.01, rel=0.02)
    assert not np.array_equal(found[2], found[3])
    assert found.min() == 0.0
    assert found.max() == 1.0
    assert (found[0] > 0).mean() == pytest.approx(0.5, abs=0.02)  # the background hides nothing either


def test_what_is_hidden_in_small_differences_is_lost() -> None:
    message = np.random.default_rng(0).integers(0, 2, (1, 100, 100)) * 2 - 1
    images = 128 / 255 + 0.001 * message
    assert np.corrcoef((images - 128 / 255).ravel(), message.ravel())[0, 1] > 0.99
    left = np.corrcoef((quantised(images, 0) - 128 / 255).ravel(), message.ravel())[0, 1]
    assert abs(left) < 0.05


def boxes(*columns: tuple[int, int]) -> Mask:
    """A box of rows 4 to 8 in each slice, from one column to before another."""
    masks = np.zeros((len(columns), 12, 24), dtype=np.bool_)
    for mask, (first, last) in zip(masks, columns, strict=True):
        mask[4:8, first:last] = True
    return masks


def test_the_cycle_by_hand() -> None:
    images = np.full((3, 12, 24), 0.5, dtype=np.float32)
    back, coarse = images.copy(), images.copy()
    back[0] += 0.1
    coarse[2] -= 0.2
    judged, with_back, with_coarse = (
        boxes((0, 4), (0, 4), (0, 4)),
        boxes((0, 4), (2, 6), (0, 8)),
        boxes((4, 8), (0, 4), (4, 8)),
    )
    table = cycle(
        images,
        back,
        coarse,
        judged=judged,
        judged_reconstructed=with_back,
        judged_reconstructed_quantised=with_coarse,
        volumes=VOLUMES,
    )
    assert table.index.tolist() == ["b", "a"]
    assert table["cycle.l1"].tolist() == pytest.approx([0.05, 0.0])
    assert table["cycle.l1_quantised"].tolist() == pytest.approx([0.1, 0.0])
    assert table["cycle.location_dice"].tolist() == pytest.approx([2 * 8 / (8 + 12), 0.5])
    assert table["cycle.location_dice_quantised"].tolist() == [0.0, 1.0]


def test_the_error_is_not_rounded_to_the_precision_of_the_images() -> None:
    images, nothing = np.ones((1, 12, 24), dtype=np.float16), boxes((0, 0))
    back = np.full_like(images, 1e-4)  # in half precision 1 - 0.0001 is 1
    table = cycle(
        images,
        back,
        back,
        judged=nothing,
        judged_reconstructed=nothing,
        judged_reconstructed_quantised=nothing,
        volumes=["a"],
    )
    expected = 1 - float(back[0, 0, 0])
    assert table[["cycle.l1", "cycle.l1_quantised"]].to_numpy() == pytest.approx(expected, abs=1e-9)


def test_nothing_found_before_or_after_has_no_place() -> None:
    images, nothing, something = np.zeros((1, 12, 24)), boxes((0, 0)), boxes((0, 4))
    table = cycle(
        images,
        images,
        images,
        judged=nothing,
        judged_reconstructed=nothing,
        judged_reconstructed_quantised=something,
        volumes=["a"],
    )
    assert table["cycle.location_dice"].isna().all()
    assert table.loc["a", "cycle.location_dice_quantised"] == 0.0


def test_moved_is_mirrored_about_the_middle_of_the_volumes_brain() -> None:
    brains = np.zeros((2, 12, 24), dtype=np.bool_)
    brains[:, 1:11, 2:19] = True  # its middle is column 10, that of the field 11.5
    brains[0, :, 2:4] = False  # in this slice alone it would be column 11
    masks = boxes((4, 8), (0, 0))
    found = moved(masks, brains, ["a", "a"])
    assert np.array_equal(found, boxes((13, 17), (0, 0)))


def test_moved_stays_in_the_brain_and_keeps_its_area() -> None:
    rng = np.random.default_rng(0)
    brains = np.stack([ellipse((40, 40), (17.3, 14.1), centre=(20, column)) for column in (18, 20)])
    brains[0, 8:20, 22:] = False  # a brain that is far from symmetric
    masks = np.zeros_like(brains)
    masks[:, 10:18, 8:16] = rng.random((2, 8, 8)) < 0.8
    masks[:, 19, 0:3] = True  # outside the brain: does not count
    found = moved(masks, brains, ["a", "a"])
    assert not (found & ~brains).any()
    areas = np.count_nonzero(masks & brains, axis=(1, 2))
    assert np.count_nonzero(found, axis=(1, 2)).tolist() == areas.tolist()
    assert not (found & masks)[1].any()


def test_obedience_by_hand() -> None:
    masks, places = boxes((0, 4), (0, 4), (0, 4)), boxes((12, 16), (2, 6), (12, 16))
    table = mask_control(
        boxes((0, 2), (0, 0), (0, 0)),
        boxes((12, 16), (1, 4), (0, 2)),
        boxes((0, 4), (0, 4), (0, 0)),
        moved_masks=places,
        masks=masks,
        volumes=VOLUMES,
    )
    assert table["mask_control.residual_without_mask"].tolist() == [8 / 16, 0.0]
    assert table["mask_control.moved_mask_dice"].tolist() == pytest.approx(
        [2 * 16 / (24 + 32), 2 * 8 / (12 + 16)]
    )
    # b: 8 of 32 pixels. a: the old place outside the moved mask is columns 0 and 1, of which 1 is found.
    assert table["mask_control.leak_at_original_site"].tolist() == [8 / 32, 0.5]


def test_obedience_is_nan_where_there_is_nothing_to_compare() -> None:
    nothing, same = boxes((0, 0)), boxes((0, 4))
    table = mask_control(same, nothing, nothing, moved_masks=nothing, masks=nothing, volumes=["a"])
    assert table.isna().all(axis=None)
    table = mask_control(nothing, same, same, moved_masks=same, masks=same, volumes=["a"])
    assert table.loc["a", "mask_control.moved_mask_dice"] == 1.0
    assert table["mask_control.leak_at_original_site"].isna().all()  # no old place but the new one
