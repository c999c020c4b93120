from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from pseudohealthy.errors import InputError
from pseudohealthy.evaluation.insertion import (
    insert,
    insertion_recall,
    plan_insertions,
    pooled_recall,
    unreliable,
)

Array = NDArray[Any]
Mask = NDArray[np.bool_]

H, W = 60, 57


def box(top: int, bottom: int, left: int, right: int) -> Mask:
    """(H, W): rows top to bottom and columns left to right, the last ones included."""
    mask = np.zeros((H, W), dtype=np.bool_)
    mask[top : bottom + 1, left : right + 1] = True
    return mask


def table(subjects: list[str], heights: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"subject": subjects, "height": heights})


BRAIN = box(10, 49, 10, 39)
LESION = box(20, 27, 14, 21)  # 8 x 8, well inside


def many(count: int, seed: int = 0, spread: float = 0.1) -> tuple[Mask, Mask, pd.DataFrame]:
    """Lesions of several subjects, all well inside the same brain, at heights drawn from 0 to `spread`."""
    rng = np.random.default_rng(seed)
    masks = np.stack([np.roll(LESION, shift, (0, 1)) for shift in rng.integers(0, 9, (count, 2)).tolist()])
    subjects = [f"sub-{number % 4}" for number in range(count)]
    return masks, np.stack([BRAIN] * count), table(subjects, (spread * rng.random(count)).tolist())


def plan(
    mask: Mask,
    donor_brain: Mask,
    recipient_brain: Mask,
    avoid: Mask | None = None,
    *,
    spacing: float = 1.0,
    heights: tuple[float, float] = (0.5, 0.5),
    **options: Any,
) -> pd.DataFrame:
    """Of one donor and one recipient."""
    return plan_insertions(
        mask[None],
        donor_brain[None],
        table(["d"], [heights[0]]),
        recipient_brain[None],
        table(["r"], [heights[1]]),
        spacing=spacing,
        seed=0,
        avoid=None if avoid is None else avoid[None],
        **options,
    )


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
    mirrored = insert(
        0.5 * recipient[None],
        recipient[None],
        0.5 * BRAIN[None],
        LESION[None],
        BRAIN[None],
        pairs=plan(LESION, BRAIN, recipient),
    )[1][0]
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


def test_at_most_10_percent_on_what_is_to_be_avoided() -> None:
    lesion = box(20, 29, 13, 22)
    both = box(20, 20, 10, 39)  # a row of the lesion, whichever way round
    assert len(plan(lesion, BRAIN, BRAIN, avoid=both)) == 1
    assert plan(lesion, BRAIN, BRAIN, avoid=both | box(21, 21, 10, 39)).empty
    other = plan(lesion, BRAIN, BRAIN, avoid=box(20, 29, 13, 22))
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
    masks, brains, donors = many(40)
    found = plan_insertions(masks, brains, donors, brains, donors, spacing=1, seed=3)
    assert len(found) == 40
    subject = donors["subject"].to_numpy()
    assert (subject[found["donor"]] != subject[found["recipient"]]).all()
    alone = donors.assign(subject="one")
    assert plan_insertions(masks, brains, alone, brains, alone, spacing=1, seed=3).empty


def test_of_donors_all_equally_near_every_one_may_be_drawn() -> None:
    """As of a cohort of one slice a patient, where the first 10 would give all lesions."""
    count = 40
    donors = table([f"d{d}" for d in range(count)], [0.0] * count)
    recipients = table(["r"] * 60, [0.0] * 60)
    masks, brains = np.repeat(LESION[None], count, 0), np.repeat(BRAIN[None], 60, 0)
    found = plan_insertions(masks, brains[:count], donors, brains, recipients, spacing=1, seed=0)
    assert len(found) == 60
    assert found["donor"].nunique() > 20
    again = plan_insertions(masks, brains[:count], donors, brains, recipients, spacing=1, seed=0)
    pd.testing.assert_frame_equal(again, found)


def test_one_of_the_10_nearest_heights_that_fit() -> None:
    masks, brains, donors = many(60, spread=0.3)
    masks[::3] = box(10, 20, 10, 20)  # do not fit: 81 of 121 pixels inside the margin
    recipients = table(["r"] * 30, [0.15] * 30)
    found = plan_insertions(masks, brains, donors, brains[:30], recipients, spacing=1, seed=0)
    distance = np.abs(donors["height"].to_numpy() - 0.15)
    distance[::3] = np.inf
    nearest = set(np.argsort(distance)[:10].tolist())
    assert set(found["donor"]) <= nearest
    assert len(set(found["donor"])) > 5  # drawn, not always the nearest
    assert found["recipient"].tolist() == list(range(30))
    assert found["height_difference"].tolist() == pytest.approx(distance[found["donor"]].tolist())


def test_the_seed_decides_and_the_index_of_a_table_does_not() -> None:
    masks, brains, donors = many(40)
    recipients = table(["r"] * 40, donors["height"].tolist())
    found = plan_insertions(masks, brains, donors, brains, recipients, spacing=1, seed=1)
    shuffled = np.random.default_rng(0).permutation(40)
    again = plan_insertions(
        masks,
        brains,
        donors.set_index(shuffled),
        brains,
        recipients.set_index(shuffled[::-1]),
        spacing=1,
        seed=1,
    )
    pd.testing.assert_frame_equal(found, again)
    assert list(found.columns) == [
        "recipient",
        "donor",
        "rows",
        "cols",
        "flipped",
        "inside_brain",
        "height_difference",
    ]
    other = plan_insertions(masks, brains, donors, brains, recipients, spacing=1, seed=2)
    assert found["donor"].tolist() != other["donor"].tolist()


def test_recipients_for_which_none_fits_are_left_out() -> None:
    masks, brains, donors = many(5)
    places = np.stack([BRAIN, np.zeros_like(BRAIN), box(10, 14, 10, 14), BRAIN])
    found = plan_insertions(masks, brains, donors, places, table(["r"] * 4, [0.1] * 4), spacing=1, seed=0)
    assert found["recipient"].tolist() == [0, 3]
    with pytest.raises(InputError, match="recipients: 3 rows for 4 slices"):
        plan_insertions(masks, brains, donors, places, table(["r"] * 3, [0.1] * 3), spacing=1, seed=0)


def images_of(count: int, seed: int = 0) -> Array:
    noise = np.random.default_rng(seed).uniform(0.2, 0.4, (count, H, W))
    return (noise * BRAIN).astype(np.float32)


def test_nothing_changes_outside_the_inserted_mask_to_the_bit() -> None:
    masks, brains, donors = many(20)
    recipients = images_of(20, seed=5)
    pairs = plan_insertions(masks, brains, donors, brains, donors, spacing=1, seed=0)
    pairs = pairs.iloc[::-3]  # of only some recipients, in another order
    donor_images = np.where(masks, np.float32(0.9), images_of(20))
    before = recipients.copy()
    made, inserted = insert(recipients, brains, donor_images, masks, brains, pairs=pairs)
    expected = recipients[pairs["recipient"]]
    assert np.array_equal(recipients, before)
    assert made.dtype == np.float32
    assert np.array_equal(made[~inserted], expected[~inserted])
    assert (made[inserted] > expected[inserted]).all()
    assert (np.count_nonzero(inserted, axis=(1, 2)) == 64).all()


def case(brightness: float = 0.3, value: float = 0.6, **options: Any) -> tuple[Array, Mask]:
    """A recipient of 0.5 and a donor of `brightness` with a lesion of `value`."""
    return insert(
        0.5 * BRAIN[None],
        BRAIN[None],
        np.where(LESION, value, brightness * BRAIN)[None],
        LESION[None],
        BRAIN[None],
        pairs=plan(LESION, BRAIN, BRAIN),
        **options,
    )


def test_intensities_are_scaled_to_the_recipients_tissue_and_cut_to_1() -> None:
    made, inserted = case(brightness=0.4, value=0.6, feather=0)
    assert made[inserted] == pytest.approx(0.6 * 0.5 / 0.4)
    assert case(brightness=0.25, value=0.9, feather=0)[0].max() == 1.0


def test_the_border_fades_in_inside_the_mask() -> None:
    made = case(brightness=0.5, value=0.8)[0][0]
    # Three pixels from the border the lesion is itself; at the border a third of it.
    assert made[23, 13:22] == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.8, 0.8, 0.8, 0.7, 0.6])
    assert made[23, 22] == 0.5


def test_lesions_do_not_count_as_tissue() -> None:
    # Without care the donor's own lesion, more than half of its brain, would be the median.
    lesion = box(10, 40, 10, 39)
    donor = np.where(lesion, 0.8, 0.4 * BRAIN)[None]
    pairs = pd.DataFrame(
        [{"recipient": 0, "donor": 0, "rows": 0, "cols": 0, "flipped": False, "inside_brain": 1.0}]
    )
    recipient = np.where(box(10, 40, 10, 39), 0.9, 0.2 * BRAIN)[None]
    made, inserted = insert(
        recipient, BRAIN[None], donor, lesion[None], BRAIN[None], pairs=pairs, feather=0, avoid=lesion[None]
    )
    assert made[inserted] == pytest.approx(0.8 * 0.2 / 0.4)


def test_a_lesion_is_limited_to_the_recipients_brain_and_to_the_image() -> None:
    pairs = pd.DataFrame(
        [{"recipient": 0, "donor": 0, "rows": 0, "cols": -8, "flipped": False, "inside_brain": 0.5}]
    )
    stack = BRAIN[None]
    made, inserted = insert(0.5 * stack, stack, 0.5 * stack, LESION[None], stack, pairs=pairs)
    assert np.array_equal(inserted[0], box(20, 27, 10, 13))
    assert np.array_equal(made > 0, stack)
    pairs["rows"] = -100
    made, inserted = insert(0.5 * stack, stack, 0.5 * stack, LESION[None], stack, pairs=pairs)
    assert np.array_equal(made, 0.5 * stack)
    assert not inserted.any()


def test_the_pattern_of_a_mirrored_lesion_is_mirrored() -> None:
    donor = 0.5 * BRAIN[None]
    donor[0, 20:28, 14:22] = np.linspace(0.6, 0.9, 8)
    pairs = pd.DataFrame(
        [{"recipient": 0, "donor": 0, "rows": 2, "cols": 1, "flipped": True, "inside_brain": 1.0}]
    )
    stack = BRAIN[None]
    made, inserted = insert(0.5 * stack, stack, donor, LESION[None], stack, pairs=pairs, feather=0)
    assert np.array_equal(inserted[0], box(22, 29, 29, 36))
    assert made[0, 25, 29:37] == pytest.approx(np.linspace(0.9, 0.6, 8))


def test_no_pairs_and_a_donor_without_brightness() -> None:
    stack = BRAIN[None]
    none = plan(LESION, BRAIN, BRAIN, least=1000)
    made, inserted = insert(0.5 * stack, stack, 0.5 * stack, LESION[None], stack, pairs=none)
    assert made.shape == inserted.shape == (0, H, W)
    with pytest.raises(InputError, match="donor 0"):
        case(brightness=0.0)


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


def test_void_is_more_than_5_points_under_the_reference() -> None:
    assert not unreliable(0.85, 0.9)
    assert not unreliable(0.9, 0.95)
    assert not unreliable(0.99, 0.9)
    assert unreliable(0.849, 0.9)
    assert unreliable(float("nan"), 0.9)
    assert unreliable(0.9, float("nan"))
