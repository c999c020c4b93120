from __future__ import annotations

import pytest

from pseudohealthy.config import SPLITS, Split
from pseudohealthy.data.layouts import Group
from pseudohealthy.data.manifest import VolumeRecord
from pseudohealthy.data.split_totals import expect_enough, subject_counts, totals_of
from pseudohealthy.errors import InputError

SHARES = (0.6, 0.15, 0.25)


def record(
    split: Split,
    *slices: int,
    subject: str = "01",
    group: Group = "patient",
    lesion: int = 0,
    share: float | None = None,
) -> VolumeRecord:
    pathological, healthy, unlabelled = slices
    return {
        "subject": subject,
        "session": None,
        "source": "here",
        "group": group,
        "split": split,
        "inputs": {},
        "facts": {
            "ceiling": 1.0,
            "lesion_voxels": lesion,
            "saturated_lesion_share": share,
            "brain_voxels_outside_field": 0,
            "slices": {"pathological": pathological, "healthy": healthy, "unlabelled": unlabelled, "edge": 0},
            "warnings": [],
        },
    }


def with_mask(volume: VolumeRecord) -> VolumeRecord:
    return {**volume, "inputs": {"mask": {"path": "m", "sha256": ""}}}


def test_patients_with_and_without_a_mask_are_counted() -> None:
    masked = with_mask(record("train", 1, 1, 0, lesion=9))
    other = record("train", 0, 0, 1)  # another session of the same patient
    without = record("test", 0, 0, 1, subject="02")
    assert subject_counts([masked, other, without]) == "patients: 1 with a lesion mask, 1 without"
    controls = [{**masked, "group": "control", "subject": name} for name in ("03", "04")]
    library = record("train", 1, 0, 0, subject="B1", group="library")
    counts = subject_counts([masked, *controls, library])  # type: ignore[list-item]
    assert counts == "patients: 1 with a lesion mask, 0 without; controls: 2; library: masks of 1"


def test_patients_whose_masks_are_all_empty_are_named() -> None:
    marked, other_session = (
        record("train", 1, 1, 0, subject="07", lesion=9),
        record("train", 0, 2, 0, subject="07"),
    )
    empty = [record("train", 0, 2, 0, subject=f"{number:02d}") for number in range(1, 7)]
    control = record("val", 0, 2, 0, subject="09", group="control")
    with_masks = [with_mask(volume) for volume in (marked, other_session, *empty, control)]
    counts = subject_counts([*with_masks, record("test", 0, 0, 1, subject="08")])
    of_which = "6 of them empty, taken for no lesion: 01, 02, 03, 04, 05 and 1 more"
    assert counts == f"patients: 7 with a lesion mask ({of_which}), 1 without; controls: 1"


def test_totals_are_sums_over_the_volumes_with_an_image() -> None:
    records = [
        record("train", 4, 8, 0, lesion=300, share=0.5),
        record("train", 2, 1, 0, lesion=100, share=0.1),
        record("train", 0, 5, 0, subject="02"),
        record("train", 9, 0, 0, subject="B1", group="library", lesion=50),
        record("test", 3, 3, 3, subject="03", lesion=10, share=1.0),
    ]
    assert totals_of("train", records) == {
        "subjects": ["01", "02"],
        "volumes": 3,
        "slices": {"pathological": 6, "healthy": 14, "unlabelled": 0, "edge": 0},
        "saturated_lesion_share": pytest.approx(160 / 400),
    }
    assert totals_of("val", records)["saturated_lesion_share"] is None


@pytest.mark.parametrize(
    ("train", "val", "test", "masks"),
    [
        ((3, 5, 0), (1, 0, 0), (1, 2, 0), True),
        ((0, 5, 3), (0, 1, 1), (0, 1, 1), False),  # patients without masks, and healthy controls
    ],
)
def test_enough_is_enough(
    train: tuple[int, ...], val: tuple[int, ...], test: tuple[int, ...], masks: bool
) -> None:
    records = [record("train", *train), record("val", *val), record("test", *test)]
    expect_enough({split: totals_of(split, records) for split in SPLITS}, SHARES, masks=masks)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([record("val", 1, 1, 0), record("test", 1, 1, 0)], "the train split is empty"),
        ([record("train", 1, 1, 0), record("test", 1, 1, 0)], "the val split is empty"),
        ([record("train", 1, 1, 0), record("val", 1, 1, 0)], "the test split is empty"),
        ([record("train", 0, 9, 0)], "no lesion slice in the train split: its 1 volumes"),
        ([record("train", 9, 0, 0)], "no healthy slice in the train split"),
        (
            [record("train", 1, 1, 0), record("val", 0, 9, 0)],
            "no lesion slice in the val split: its 1 volumes",
        ),
        ([record("train", 1, 1, 0), record("val", 1, 9, 0), record("test", 0, 9, 9)], "in the test split"),
    ],
)
def test_what_is_missing_is_told(records: list[VolumeRecord], message: str) -> None:
    with pytest.raises(InputError, match=message):
        expect_enough({split: totals_of(split, records) for split in SPLITS}, SHARES, masks=True)


def test_a_split_of_fraction_0_may_be_empty() -> None:
    totals = {
        split: totals_of(split, [record("train", 1, 1, 0), record("test", 1, 1, 0)]) for split in SPLITS
    }
    expect_enough(totals, (0.8, 0, 0.2), masks=True)
