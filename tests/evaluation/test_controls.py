from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage.restoration import inpaint_biharmonic

from fixtures.brains import Image, Mask, box, ellipse, slices, texture
from pseudohealthy.errors import InputError
from pseudohealthy.evaluation import controls
from pseudohealthy.evaluation.segmentation import dice

Array = NDArray[Any]


def heads(count: int = 3) -> tuple[Image, Mask, Mask]:
    """Textured boxes whose middle column, 12, is not that of the field, 16; a lesion in all but the last."""
    images = slices(count, box((24, 33), (2, 22), (4, 21)), widths=(2,))
    masks = box(images.shape, (0, count - 1), (8, 12), (5, 9))
    return images, masks, images > 0


def volumes_of(stack: Array) -> Array:
    return np.array(["a"] * len(stack))


def test_inside_a_mask_only_and_nothing_at_all_where_it_is_empty() -> None:
    images, masks, brains = heads()
    made = [
        controls.mirror(images, masks, brains, volumes_of(images)),
        controls.fill(images, masks),
        controls.blend(images, 1 - images, masks),
        controls.blend(images, 1 - images, masks.astype(np.float32)),
    ]
    for outputs in made:
        assert outputs.dtype == images.dtype
        assert np.array_equal(outputs[~masks], images[~masks])
        assert np.array_equal(outputs[-1], images[-1])
        assert (outputs[masks] != images[masks]).mean() > 0.9


def test_blur_is_a_gaussian_in_mm() -> None:
    images = np.zeros((2, 61, 61))
    images[0, 30, 30] = 1.0
    found = controls.blur(images, (2.0, 1.0), brains=np.ones_like(images))
    assert found.sum() == pytest.approx(1.0, abs=1e-3)
    rows, columns = found[0].sum(axis=1), found[0].sum(axis=0)
    away = np.arange(61) - 30
    assert (rows * away**2).sum() == pytest.approx((4.0 / 2.0) ** 2, rel=0.02)
    assert (columns * away**2).sum() == pytest.approx(4.0**2, rel=0.02)
    assert not found[1].any()  # slices are blurred one by one


def test_blur_stays_in_the_brain_and_darkens_its_rim() -> None:
    images = np.zeros((1, 60, 60), dtype=np.float32)
    images[:, 10:50, 10:50] = 0.8
    found = controls.blur(images, (1.0, 1.0), sigma=2.0)
    assert np.array_equal(found > 0, images > 0)
    assert found[0, 30, 30] == pytest.approx(0.8, abs=1e-6)
    assert found[0, 10, 30] == pytest.approx(0.8 * 0.6, abs=0.01)  # half the kernel and the pixel's own half
    cut = controls.blur(images[:, 10:50, 10:50], (1.0, 1.0), sigma=2.0)
    assert cut == pytest.approx(found[:, 10:50, 10:50], abs=1e-6)  # beyond the field it is black as well


def test_constant_is_the_median_of_the_volumes_brain_over_all_its_slices() -> None:
    images = np.array([[[0.1, 0.2, 0.0]], [[0.9, 0.9, 0.0]], [[0.8, 0.6, 0.0]]])
    found = controls.constant(images, images > 0, ["a", "b", "a"])
    assert found[0, 0] == pytest.approx([0.4, 0.4, 0.0])  # of 0.1, 0.2, 0.6, 0.8; background does not count
    assert found[1, 0] == pytest.approx([0.9, 0.9, 0.0])
    assert found[2, 0] == pytest.approx([0.4, 0.4, 0.0])


def test_constant_of_no_brain_is_black() -> None:
    images = np.full((1, 2, 2), 0.5)
    assert not controls.constant(images, np.zeros_like(images), ["a"]).any()


def test_the_mirror_stands_in_the_middle_of_the_brain_not_of_the_image() -> None:
    images, masks, brains = heads()
    found = controls.mirror(images, masks, brains, volumes_of(images))
    assert np.array_equal(found[0, 8:12, 5:9], images[0, 8:12, 16:20][:, ::-1])  # 4 + 20 - column
    assert not np.array_equal(found[0, 8:12, 5:9], images[0, :, ::-1][8:12, 5:9])


def test_the_mirror_is_the_volumes_not_the_slices() -> None:
    images, masks, brains = heads(3)
    brains[0, :, 4:6] = False
    found = controls.mirror(images, masks, brains, volumes_of(images))
    assert np.array_equal(found[0, 8:12, 6:9], images[0, 8:12, 16:19][:, ::-1])
    alone = controls.mirror(images, masks, brains, np.array(["a", "b", "b"]))
    assert np.array_equal(alone[0, 8:12, 6:9], images[0, 8:12, 18:21][:, ::-1])  # 6 + 20 - column


def test_where_the_other_side_is_no_brain_the_mirror_takes_the_nearest_brain() -> None:
    images, masks, brains = heads()
    brains[0, 8:12, 17:] = False
    images = images * brains
    found = controls.mirror(images, masks, brains, volumes_of(images))
    # Column c goes to 24 - c: 8 to brain, 7 next to it, 5 nearer to the brain above than to that beside it.
    taken = images[0, [9, 9, 7], [16, 16, 19]]
    assert found[0, 9, [8, 7, 5]].tolist() == taken.tolist()
    assert (taken > 0).all()
    assert np.isin(found[masks], images[brains]).all()


def test_a_mask_beside_the_brain_stays_as_it_is() -> None:
    images, masks, brains = heads()
    masks[0, 10, 25:33] = True
    found = controls.mirror(images, masks, brains, volumes_of(images))
    assert np.array_equal(found[0, 10, 25:33], images[0, 10, 25:33])


def test_fill_continues_a_slope_and_does_not_see_what_it_covers() -> None:
    slope = np.broadcast_to(np.linspace(0.1, 0.9, 40), (2, 30, 40)).copy()
    masks = np.zeros(slope.shape, dtype=np.uint8)
    masks[0, 10:20, 10:20] = 255
    masks[0, 3:5, 30:34] = 255
    found = controls.fill(np.where(masks > 0, 1.0, slope), masks)
    assert found == pytest.approx(slope, abs=1e-9)


def test_fill_equals_scikit_image_whatever_the_image_and_wherever_the_mask() -> None:
    images = texture((3, 90, 80), widths=(2,)).astype(np.float32)
    masks = np.stack(
        [ellipse((90, 80), (35, 35)), ellipse((90, 80), (6, 9)), box((90, 80), (0, 20), (61, 80))]
    )
    masks[1, 85:90, 0:40] = True  # two lesions, one at the border
    found = controls.fill(images, masks)
    expected = [inpaint_biharmonic(x.astype(np.float64), m) for x, m in zip(images, masks, strict=True)]
    assert found.dtype == np.float32
    assert found == pytest.approx(np.array(expected), abs=1e-6)


def test_fill_stays_in_range_and_leaves_a_slice_that_is_all_mask() -> None:
    images = np.zeros((2, 20, 20))
    images[:, :, 8:] = np.linspace(0.2, 1.0, 12)
    masks = np.zeros(images.shape, dtype=np.bool_)
    masks[0, 5:15, 10:20] = True
    masks[1] = True
    found = controls.fill(images, masks)
    assert found.min() >= 0
    assert found.max() <= 1
    assert np.array_equal(found[1], images[1])


def test_threshold_masks_by_hand() -> None:
    images = np.array([[[0.4, 0.5, 0.6, 0.9]]])
    brains = np.array([[[1, 1, 1, 0]]])
    assert controls.threshold_masks(images, brains, 0.5).tolist() == [[[False, True, True, False]]]


def test_the_best_threshold_is_the_best_of_all_tried_one_by_one() -> None:
    images, masks, brains = heads()
    rng = np.random.default_rng(1)
    images = np.where(masks, np.clip(images + rng.uniform(0, 0.4, images.shape), 0, 1), images)
    # Bright lesion beside the brain: no threshold finds it, and it counts all the same.
    masks[0, :2], images[0, :2] = True, 1.0
    found = controls.best_threshold(images, masks, brains)
    tried = [dice(controls.threshold_masks(images, brains, float(t)), masks) for t in np.arange(257) / 256]
    assert found == np.argmax(tried) / 256
    assert max(tried) > 2 * tried[0]


def test_of_equal_thresholds_the_lowest_and_dice_is_pooled() -> None:
    images = np.array([[[0.25, 0.75]], [[0.25, 0.5]]])
    masks = np.array([[[0, 1]], [[0, 1]]])
    assert controls.best_threshold(images, masks, images > 0) == 65 / 256
    with pytest.raises(InputError, match="all masks are empty"):
        controls.best_threshold(images, 0 * masks, images > 0)


def test_blend_by_hand_hard_and_soft() -> None:
    images, outputs = np.array([[[0.2, 0.4]]]), np.array([[[0.6, 0.8]]])
    assert controls.blend(images, outputs, np.array([[[0, 255]]], np.uint8))[0, 0] == pytest.approx(
        [0.2, 0.8]
    )
    assert controls.blend(images, outputs, np.array([[[0.25, 0.5]]]))[0, 0] == pytest.approx([0.3, 0.6])


def test_blend_says_which_weights_it_cannot_use() -> None:
    images = np.zeros((1, 2, 2))
    with pytest.raises(InputError, match="from 0 to 255"):
        controls.blend(images, images, np.array([[[0.0, 255.0], [0, 0]]]))
    with pytest.raises(InputError, match="nan"):
        controls.blend(images, images, np.full((1, 2, 2), np.nan))
