from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from fixtures import brains
from fixtures.brains import Image, Mask, slices
from pseudohealthy.errors import InputError
from pseudohealthy.evaluation.insertion import (
    insert,
    insertion_recall,
    plan_insertions,
    pooled_recall,
    unreliable,
)
from pseudohealthy.evaluation.slice_set import SliceSet

Array = NDArray[Any]

H, W = 60, 57


def box(top: int, bottom: int, left: int, right: int) -> Mask:
    """(H, W): rows top to bottom and columns left to right, the last ones included."""
    return brains.box((H, W), (top, bottom + 1), (left, right + 1))


BRAIN = box(10, 49, 10, 39)
LESION = box(20, 27, 14, 21)  # 8 x 8, well inside


def slice_set(
    images: Array, masks: Array, subjects: Sequence[str], heights: Sequence[float], spacing: float = 1.0
) -> SliceSet:
    """Slices whose brain is where the images are not black."""
    names = np.array(subjects)
    return SliceSet(images, masks, names, heights=np.array(heights), spacing=(spacing, spacing))


def one(image: Array, mask: Mask | None = None, *, subject: str = "r", height: float = 0.5) -> SliceSet:
    """A single slice."""
    lesion = np.zeros(image.shape, dtype=np.bool_) if mask is None else mask
    return slice_set(image.astype(np.float64)[None], lesion[None], [subject], [height])


def many(count: int, seed: int = 0, spread: float = 0.1) -> SliceSet:
    """Lesions of several subjects, all well inside the same brain, at heights drawn from 0 to `spread`."""
    rng = np.random.default_rng(seed)
    masks = np.stack([np.roll(LESION, shift, (0, 1)) for shift in rng.integers(0, 9, (count, 2)).tolist()])
    subjects = [f"sub-{number % 4}" for number in range(count)]
    return slice_set(images_of(count), masks, subjects, (spread * rng.random(count)).tolist())


def recipients(heights: Sequence[float], images: Array | None = None) -> SliceSet:
    """Healthy slices of another subject."""
    images = images_of(len(heights)) if images is None else images
    return slice_set(images, np.zeros(images.shape, dtype=np.bool_), ["r"] * len(heights), heights)


def images_of(count: int, seed: int = 0) -> Image:
    return slices(count, BRAIN, seed, widths=(0,))


def plan(
    mask: Mask,
    donor_brain: Mask,
    recipient_brain: Mask,
    own: Mask | None = None,
    *,
    spacing: float = 1.0,
    heights: tuple[float, float] = (0.5, 0.5),
    **options: Any,
) -> pd.DataFrame:
    """Of one donor and one recipient, which may have a lesion of its own."""
    donor = one(donor_brain, mask, subject="d", height=heights[0])
    recipient = one(recipient_brain, own, height=heights[1])
    pair = [replace(each, spacing=(spacing, spacing)) for each in (donor, recipient)]
    return plan_insertions(pair[0], pair[1], seed=0, **options)


def pair(**changes: Any) -> pd.DataFrame:
    """A plan made by hand: the lesion where it is, but for the changes."""
    same = {"recipient": 0, "donor": 0, "rows": 0, "cols": 0, "flipped": False, "inside_brain": 1.0}
    return pd.DataFrame([{**same, **changes}])


def test_the_lesion_comes_to_the_same_place_relative_to_the_brain() -> None:
    # A brain of twice the height, moved by 5 columns. The lesion's middle, 23.5, lies 13.5 / 24 down its own.
    small, tall = box(10, 34, 10, 39), box(5, 53, 15, 44)
    pair = plan(LESION, small, tall).iloc[0]
    assert pair["rows"] == round(5 + 48 * 13.5 / 24 - 23.5)
    assert pair["cols"] == 5
    assert not pair["flipped"]
    assert pair["inside_brain"] == 1.0


def test_a_lesion_is_mirrored_only_where_it_fits_better_so() -> None:
    recipient = BRAIN & ~box(18, 30, 10, 24)  # nothing where the lesion would come
    recipient[18:31, 10] = True  # but the same box around it
    pair = plan(LESION, BRAIN, recipient).iloc[0]
    assert pair["flipped"]
    assert [pair["rows"], pair["cols"]] == [0, 0]
    pairs = plan(LESION, BRAIN, recipient)
    mirrored = insert(one(0.5 * recipient), one(0.5 * BRAIN, LESION), pairs).masks[0]
    assert np.array_equal(
        mirrored, box(20, 27, 28, 35)
    )  # 10 + 39 - column: the brain's middle, not the field's
    assert not plan(LESION, BRAIN, BRAIN).iloc[0]["flipped"]


def test_at_least_90_percent_inside_the_brain_eroded_by_2_mm() -> None:
    # 10 x 10 from the margin's first column on: then the brain gets narrower by a column on either side.
    lesion = box(20, 29, 12, 21)
    assert len(plan(lesion, BRAIN, BRAIN)) == 1
    narrow = BRAIN.copy()
    narrow[11:49, 10] = narrow[11:49, 39] = False
    assert plan(lesion, BRAIN, narrow)["inside_brain"].tolist() == [
        1.0
    ]  # 90 % inside the margin: just enough
    narrow[11:49, 11] = narrow[11:49, 38] = False
    assert plan(lesion, BRAIN, narrow).empty  # 80 %


def test_the_margin_is_in_mm_and_never_less_than_a_pixel() -> None:
    lesion = box(20, 29, 10, 19)  # from the brain's first column on, which mirrored is its last
    for spacing, lost in {4.0: 1, 2.0: 1, 1.0: 2, 0.5: 4}.items():  # columns of ten
        assert plan(lesion, BRAIN, BRAIN, spacing=spacing, least=1).empty == (lost > 1)
    assert len(plan(box(20, 29, 13, 22), BRAIN, BRAIN, spacing=0.5, least=1)) == 1  # one of four
    assert plan(box(20, 29, 12, 21), BRAIN, BRAIN, spacing=0.5, least=1).empty  # two of four


def test_at_most_10_percent_on_the_recipient_s_own_lesion() -> None:
    lesion = box(20, 29, 13, 22)
    both = box(20, 20, 10, 39)  # a row of the lesion, whichever way round
    assert len(plan(lesion, BRAIN, BRAIN, own=both)) == 1
    assert plan(lesion, BRAIN, BRAIN, own=both | box(21, 21, 10, 39)).empty
    other = plan(lesion, BRAIN, BRAIN, own=box(20, 29, 13, 22))
    assert other["flipped"].tolist() == [True]  # the other side is free


def test_small_lesions_are_left_out_and_so_are_those_without_tissue_around() -> None:
    assert len(plan(LESION, BRAIN, BRAIN, least=64)) == 1
    assert plan(LESION, BRAIN, BRAIN, least=65).empty
    assert plan(LESION, LESION, BRAIN, least=1).empty


def test_the_least_size_is_an_area() -> None:
    """The 64 pixels of a lesion are 64 mm2 at 1 mm, 49.0 at 0.875 mm and 16 at half a millimetre."""
    assert len(plan(LESION, BRAIN, BRAIN, spacing=0.9)) == 1
    assert plan(LESION, BRAIN, BRAIN, spacing=0.875).empty
    assert len(plan(LESION, BRAIN, BRAIN, spacing=0.5, least=16)) == 1
    assert plan(LESION, BRAIN, BRAIN, spacing=0.5, least=16.1).empty


def test_heights_match_within_a_tenth_of_the_brain_and_the_difference_is_told() -> None:
    for donor in (0.4, 0.6):
        assert plan(LESION, BRAIN, BRAIN, heights=(donor, 0.5))["height_difference"].tolist() == [
            pytest.approx(0.1)
        ]
    assert plan(LESION, BRAIN, BRAIN)["height_difference"].tolist() == [0]
    assert plan(LESION, BRAIN, BRAIN, heights=(0.39, 0.5)).empty
    assert plan(LESION, BRAIN, BRAIN, heights=(0.61, 0.5)).empty


def test_a_donor_of_the_same_subject_is_never_taken() -> None:
    donors = many(40)
    healthy = replace(donors, masks=np.zeros_like(donors.masks))
    found = plan_insertions(donors, healthy, seed=3)
    assert len(found) == 40
    assert (donors.subjects[found["donor"]] != donors.subjects[found["recipient"]]).all()
    alone = np.array(["one"] * 40)
    assert plan_insertions(replace(donors, subjects=alone), replace(healthy, subjects=alone), seed=3).empty


def test_of_donors_all_equally_near_every_one_may_be_drawn() -> None:
    """As of a cohort of one slice a patient, where the first 10 would give all lesions."""
    count = 40
    subjects, masks = [f"d{d}" for d in range(count)], np.repeat(LESION[None], count, 0)
    donors = slice_set(images_of(count), masks, subjects, [0.0] * count)
    found = plan_insertions(donors, recipients([0.0] * 60), seed=0)
    assert len(found) == 60
    assert found["donor"].nunique() > 20
    pd.testing.assert_frame_equal(plan_insertions(donors, recipients([0.0] * 60), seed=0), found)


def test_one_of_the_10_nearest_heights_that_fit() -> None:
    donors = many(60, spread=0.3)
    donors.masks[::3] = box(10, 20, 10, 20)  # do not fit: 81 of 121 pixels inside the margin
    found = plan_insertions(donors, recipients([0.15] * 30), seed=0)
    distance = np.abs(donors.required("heights") - 0.15)
    distance[::3] = np.inf
    nearest = set(np.argsort(distance)[:10].tolist())
    assert set(found["donor"]) <= nearest
    assert len(set(found["donor"])) > 5  # drawn, not always the nearest
    assert found["recipient"].tolist() == list(range(30))
    assert found["height_difference"].tolist() == pytest.approx(distance[found["donor"]].tolist())


def test_the_seed_decides() -> None:
    donors = many(40)
    healthy = recipients(donors.required("heights").tolist())
    found = plan_insertions(donors, healthy, seed=1)
    pd.testing.assert_frame_equal(plan_insertions(donors, healthy, seed=1), found)
    assert list(found.columns) == [
        *("recipient", "donor", "rows", "cols", "flipped", "inside_brain", "height_difference")
    ]
    assert found["donor"].tolist() != plan_insertions(donors, healthy, seed=2)["donor"].tolist()


def test_recipients_for_which_none_fits_are_left_out() -> None:
    brains = np.stack([BRAIN, np.zeros_like(BRAIN), box(10, 14, 10, 14), BRAIN])
    found = plan_insertions(many(5), recipients([0.1] * 4, 0.3 * brains), seed=0)
    assert found["recipient"].tolist() == [0, 3]


def test_heights_must_be_known() -> None:
    with pytest.raises(InputError, match="heights is not known"):
        plan_insertions(many(3), replace(recipients([0.1]), heights=None), seed=0)


def test_nothing_changes_outside_the_inserted_mask_to_the_bit() -> None:
    donors = many(20)
    donors = replace(donors, images=np.where(donors.masks, np.float32(0.9), donors.images))
    healthy = recipients(donors.required("heights").tolist(), images_of(20, seed=5))
    pairs = plan_insertions(donors, healthy, seed=0).iloc[::-3]  # of only some, in another order
    before = healthy.images.copy()
    made = insert(healthy, donors, pairs)
    expected = before[pairs["recipient"]]
    assert np.array_equal(healthy.images, before)
    assert made.images.dtype == np.float32
    assert made.truth is not None
    assert np.array_equal(made.truth, expected)
    assert np.array_equal(made.images[~made.masks], expected[~made.masks])
    assert (made.images[made.masks] > expected[made.masks]).all()
    assert (np.count_nonzero(made.masks, axis=(1, 2)) == 64).all()
    assert made.required("heights").tolist() == healthy.required("heights")[pairs["recipient"]].tolist()


def test_other_images_take_the_recipients_place() -> None:
    """Their brightness counts, but the brain is the recipient's."""
    recipient, donor = one(0.5 * BRAIN), one(np.where(LESION, 0.6, 0.4 * BRAIN), LESION, subject="d")
    output = np.full((1, H, W), 0.2)
    made = insert(recipient, donor, pair(cols=-8), images=output, feather=0)
    assert np.array_equal(made.masks[0], box(20, 27, 10, 13))
    assert made.images[made.masks] == pytest.approx(0.6 * 0.2 / 0.4)
    assert (made.images[~made.masks] == 0.2).all()


def case(brightness: float = 0.3, value: float = 0.6, **options: Any) -> tuple[Array, Mask]:
    """A recipient of 0.5 and a donor of `brightness` with a lesion of `value`."""
    donor = one(np.where(LESION, value, brightness * BRAIN), LESION, subject="d")
    made = insert(one(0.5 * BRAIN), donor, plan(LESION, BRAIN, BRAIN), **options)
    return made.images, made.masks


def test_intensities_are_scaled_to_the_recipients_tissue_and_cut_to_1() -> None:
    made, inserted = case(brightness=0.4, value=0.6, feather=0)
    assert made[inserted] == pytest.approx(0.6 * 0.5 / 0.4)
    assert case(brightness=0.25, value=0.9, feather=0)[0].max() == 1.0


def test_the_border_fades_in_inside_the_mask() -> None:
    made = case(brightness=0.5, value=0.8)[0][0]
    # Three pixels from the border the lesion is itself; at the border a third of it.
    assert made[23, 13:22] == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.8, 0.8, 0.8, 0.7, 0.6])
    assert made[23, 22] == 0.5


def test_the_border_fades_in_over_mm() -> None:
    """Over 2 mm of 2 mm pixels: half of the lesion at its border, all of it one pixel inside."""
    donor = one(np.where(LESION, 0.8, 0.5 * BRAIN), LESION, subject="d")
    recipient = replace(one(0.5 * BRAIN), spacing=(2.0, 2.0))
    made = insert(recipient, donor, pair()).images[0]
    assert made[23, 13:22] == pytest.approx([0.5, 0.65, 0.8, 0.8, 0.8, 0.8, 0.8, 0.8, 0.65])


def test_lesions_do_not_count_as_tissue() -> None:
    # Without care the donor's own lesion, more than half of its brain, would be the median.
    lesion = box(10, 40, 10, 39)
    donor = one(np.where(lesion, 0.8, 0.4 * BRAIN), lesion, subject="d")
    recipient = one(np.where(lesion, 0.9, 0.2 * BRAIN), lesion)
    made = insert(recipient, donor, pair(), feather=0)
    assert made.images[made.masks] == pytest.approx(0.8 * 0.2 / 0.4)


def test_a_lesion_is_limited_to_the_recipients_brain_and_to_the_image() -> None:
    recipient, donor = one(0.5 * BRAIN), one(0.5 * BRAIN, LESION, subject="d")
    made = insert(recipient, donor, pair(cols=-8))
    assert np.array_equal(made.masks[0], box(20, 27, 10, 13))
    assert np.array_equal(made.images[0] > 0, BRAIN)
    made = insert(recipient, donor, pair(cols=-8, rows=-100))
    assert np.array_equal(made.images[0], 0.5 * BRAIN)
    assert not made.masks.any()


def test_the_pattern_of_a_mirrored_lesion_is_mirrored() -> None:
    image = 0.5 * BRAIN
    image[20:28, 14:22] = np.linspace(0.6, 0.9, 8)
    made = insert(
        one(0.5 * BRAIN), one(image, LESION, subject="d"), pair(rows=2, cols=1, flipped=True), feather=0
    )
    assert np.array_equal(made.masks[0], box(22, 29, 29, 36))
    assert made.images[0, 25, 29:37] == pytest.approx(np.linspace(0.9, 0.6, 8))


def test_no_pairs_and_a_donor_without_brightness() -> None:
    made = insert(one(0.5 * BRAIN), one(0.5 * BRAIN, LESION), plan(LESION, BRAIN, BRAIN, least=1000))
    assert made.images.shape == made.masks.shape == (0, H, W)
    tissue_of_zeros = np.where(LESION, 0.6, 0.0)
    donor = one(
        np.where(box(10, 11, 10, 11), 0.3, tissue_of_zeros), LESION | box(10, 11, 10, 11), subject="d"
    )
    with pytest.raises(InputError, match="donor 0"):
        insert(one(0.5 * BRAIN), donor, pair())


def test_recall_by_hand() -> None:
    inserted = np.zeros((3, 4, 4), dtype=np.bool_)
    inserted[0, :2] = inserted[2, :1] = True
    judged = np.zeros_like(inserted)
    judged[0, 0] = judged[2, :, 0] = judged[1] = True
    found = insertion_recall(judged, inserted, ["b", "a", "b"])
    assert found.index.tolist() == ["b", "a"]
    assert found.loc["b", "insertion_recall"] == pytest.approx(5 / 12)
    assert found["insertion_recall"].isna().tolist() == [False, True]  # in a nothing was inserted
    assert pooled_recall(judged, inserted) == pytest.approx(5 / 12)


def test_unreliable_is_more_than_5_points_under_the_reference() -> None:
    assert not unreliable(0.85, 0.9)
    assert not unreliable(0.9, 0.95)
    assert not unreliable(0.99, 0.9)
    assert unreliable(0.849, 0.9)
    assert unreliable(float("nan"), 0.9)
    assert unreliable(0.9, float("nan"))
