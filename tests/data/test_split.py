from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pseudohealthy.config import SPLITS, Split
from pseudohealthy.data.layouts import CohortVolume, Group
from pseudohealthy.data.prepared import VolumeRecord
from pseudohealthy.data.split import expect_enough, subject_counts, totals_of, with_splits
from pseudohealthy.errors import InputError
from pseudohealthy.settings_files import read_yaml

ROOT = Path(__file__).resolve().parents[2]
SHARES = (0.6, 0.15, 0.25)


def volumes(
    count: int,
    group: Group = "patient",
    *,
    source: str = "a",
    split: Split | None = None,
    sessions: int = 1,
    mask: Path | None = None,
) -> list[CohortVolume]:
    name = f"{source}-{group}-{mask}"
    return [
        CohortVolume(f"{name}-{number}", group, None, mask, None, split, source, str(session), Path())
        for number in range(count)
        for session in range(sessions)
    ]


def counts(found: list[CohortVolume]) -> dict[Split | None, int]:
    return dict(Counter(volume.split for volume in found))


@pytest.mark.parametrize(
    ("subjects", "expected"),
    [
        (20, (12, 3, 5)),
        (100, (60, 15, 25)),
        (5, (3, 1, 1)),
        (4, (2, 1, 1)),  # of few subjects, one each first
        (3, (1, 1, 1)),
    ],
)
def test_shares(subjects: int, expected: tuple[int, int, int]) -> None:
    found = counts(with_splits(volumes(subjects), SHARES, seed=0))
    assert (found["train"], found["val"], found["test"]) == expected


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ((18 / 28, 4 / 28, 6 / 28), (18, 4, 6)),  # ISLES 2015: the paper's 22 and 6
        ("isles2015", (18, 4, 6)),
        ((42 / 79, 8 / 79, 29 / 79), (42, 8, 29)),  # BraTS 2018: the paper's 50 and 29
        ("brats2018", (42, 8, 29)),
    ],
)
def test_the_paper_s_numbers_of_volumes(shares: Any, expected: tuple[int, int, int]) -> None:
    if isinstance(shares, str):  # as the experiment's file rounds them
        shares = tuple(read_yaml(ROOT / f"configs/{shares}.yaml")["data"]["fractions"])
    found = counts(with_splits(volumes(sum(expected), mask=Path("mask")), shares, seed=0))
    assert (found["train"], found["val"], found["test"]) == expected


def test_a_share_of_nothing_gets_nobody() -> None:
    assert counts(with_splits(volumes(10), (0.8, 0, 0.2), seed=0)) == {"train": 8, "test": 2}


def test_each_kind_of_subject_is_shared_out_alike() -> None:
    kinds = [volumes(20), volumes(20, "control"), volumes(20, source="b"), volumes(20, mask=Path("mask"))]
    found = with_splits([volume for kind in kinds for volume in kind], SHARES, seed=0)
    for part in (found[:20], found[20:40], found[40:60], found[60:]):
        assert counts(part) == {"train": 12, "val": 3, "test": 5}


def test_the_volumes_of_a_subject_stay_together() -> None:
    found = with_splits(volumes(20, sessions=3), SHARES, seed=0)
    of_subject = {
        subject: {v.split for v in found if v.subject == subject} for subject in {v.subject for v in found}
    }
    assert all(len(splits) == 1 for splits in of_subject.values())
    assert counts(found) == {"train": 36, "val": 9, "test": 15}


def test_the_seed_alone_decides() -> None:
    people = volumes(30)
    first = {v.subject: v.split for v in with_splits(people, SHARES, seed=1)}
    assert {v.subject: v.split for v in with_splits(people[::-1], SHARES, seed=1)} == first
    assert {v.subject: v.split for v in with_splits(people, SHARES, seed=2)} != first


def test_an_own_split_wins_and_a_library_is_for_training() -> None:
    own = [*volumes(5, split="test"), *volumes(4, "library"), *volumes(1, "library", source="b", split="val")]
    assert [v.split for v in with_splits(own, SHARES, seed=0)] == ["test"] * 5 + ["train"] * 4 + ["val"]


@pytest.mark.parametrize("shares", [(0.5, 0.1, 0.1), (1.2, -0.2, 0.0), (0.5, 0.5)])
def test_shares_that_are_none_are_refused(shares: Any) -> None:
    with pytest.raises(InputError, match="split fractions"):
        with_splits(volumes(10), shares, seed=0)


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


@pytest.mark.parametrize("seed", [-1, 2**32, 10**30])
def test_a_seed_that_the_manifest_could_not_hold_is_refused(seed: int) -> None:
    with pytest.raises(InputError, match=r"the split's seed is .*; expected 0 to 4294967295"):
        with_splits(volumes(10), SHARES, seed=seed)
