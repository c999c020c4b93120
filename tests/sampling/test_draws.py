"""Random streams, and the slices and masks that are drawn in them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import InputError
from pseudohealthy.sampling.draws import (
    DISCRIMINATORS,
    HEALTHY,
    PATHOLOGICAL,
    HealthySlices,
    LesionFreeSlices,
    MaskLibrary,
    RandomStreams,
    with_labelled_fraction,
)

STREAMS = RandomStreams(seed=0, batch_size=4)
HEIGHTS = [0.0, 0.1, 0.2, 0.5, 0.8, 0.9]
EDGES = {12, 15, 18}
ROWS = np.array([10, 11, 12, 13, 14, 15, 16, 17, 18])
SLICES = LesionFreeSlices(ROWS, np.isin(ROWS, list(EDGES)))


def test_seed_stream_step_and_reader_decide() -> None:
    def first(streams: RandomStreams, *numbers: int) -> float:
        return float(streams.rng(*numbers).random())

    assert first(STREAMS, HEALTHY, 3) == first(RandomStreams(0, 8), HEALTHY, 3)
    others = [
        first(STREAMS, HEALTHY, 4),
        first(STREAMS, PATHOLOGICAL, 3),
        first(replace(STREAMS, seed=6), HEALTHY, 3),
        first(replace(STREAMS, reader=(DISCRIMINATORS,)), HEALTHY, 3),
    ]
    assert first(STREAMS, HEALTHY, 3) not in others
    assert len(set(others)) == 4


def test_every_number_comes_once_before_any_comes_again() -> None:
    drawn = np.concatenate([STREAMS.shuffled(6, step, HEALTHY) for step in range(6)])  # four epochs of six
    epochs = drawn.reshape(4, 6)
    assert (np.sort(epochs, axis=1) == np.arange(6)).all()
    assert len({tuple(epoch) for epoch in epochs}) > 1
    other = RandomStreams(seed=0, batch_size=3)  # the same order, however large the batches
    assert np.array_equal(np.concatenate([other.shuffled(6, step, HEALTHY) for step in range(8)]), drawn)


def slices(heights: list[float], neighbours: int) -> HealthySlices:
    return HealthySlices(pd.DataFrame({"height": heights}), neighbours)


def test_the_nearest_in_height_come_first() -> None:
    assert slices(HEIGHTS, 3).near(0.85).tolist() == [4, 5, 3]
    assert len(slices(HEIGHTS, 20).near(0.85)) == len(HEIGHTS)


def test_of_equally_near_ones_none_is_left_out() -> None:
    assert slices([0.5] * 6, 2).near(0.5).tolist() == list(range(6))


def test_each_height_gets_one_of_its_neighbours() -> None:
    wanted = [0.0, 0.85, 0.5, 0.1]
    for step in range(20):
        places = slices(HEIGHTS, 2).at_heights(wanted, STREAMS, step, slice(None))
        for height, place in zip(wanted, places, strict=True):
            assert place in slices(HEIGHTS, 2).near(height)
        part = slices(HEIGHTS, 2).at_heights(wanted[2:], STREAMS, step, slice(2, 4))
        assert np.array_equal(part, places[2:])


def drawn(slices: LesionFreeSlices, size: int, count: int, *, balanced: bool) -> NDArray[np.int64]:
    streams = RandomStreams(seed=1, batch_size=size)
    draw = slices.balanced if balanced else slices.all_alike
    return np.concatenate([draw(streams, step) for step in range(count // size)])


def test_alike_every_slice_comes_once() -> None:
    assert sorted(drawn(SLICES, 3, 9, balanced=False)) == ROWS.tolist()


@pytest.mark.parametrize("size", [1, 3, 6])
def test_balanced_every_third_is_an_edge_slice(size: int) -> None:
    rows = drawn(SLICES, size, 18, balanced=True)
    assert [row in EDGES for row in rows] == [False, False, True] * 6
    assert set(rows[2:9:3]) == EDGES  # every one before any comes again
    assert np.array_equal(rows, drawn(SLICES, 2, 18, balanced=True))


def test_balanced_without_edge_slices_all_are_healthy() -> None:
    healthy = LesionFreeSlices(ROWS, np.zeros(len(ROWS), dtype=np.bool_))
    assert sorted(drawn(healthy, 3, 9, balanced=True)) == ROWS.tolist()


def library(*subjects: str) -> MaskLibrary:
    table = pd.DataFrame({"subject": subjects, "row": range(10, 10 + len(subjects))})
    return MaskLibrary(np.zeros((20, 4, 4), np.uint8), table)


def test_masks_without_image_are_taken_first_then_those_of_the_slices(prepared: Prepared) -> None:
    assert MaskLibrary.of(prepared, prepared.slices).masks is prepared.mask_library
    own = MaskLibrary.of(replace(prepared, mask_library=None, mask_library_slices=None), prepared.slices)
    assert own.masks is prepared.masks
    assert set(own.table["label"]) == {"pathological"}
    healthy = prepared.slices[prepared.slices["label"] == "healthy"]
    with pytest.raises(InputError, match="no lesion mask in any training slice"):
        MaskLibrary.of(replace(prepared, mask_library=None, mask_library_slices=None), healthy)


def test_no_subject_gets_a_mask_of_its_own() -> None:
    subjects = ["A", "B", "A", "C"]
    seen = set()
    for step in range(20):
        rows = library("A", "A", "B").others(subjects, STREAMS, step, slice(None))
        whose = [("A", "A", "B")[row - 10] for row in rows]
        assert all(own != other for own, other in zip(subjects, whose, strict=True))
        assert library("A", "A", "B").others(subjects[1:3], STREAMS, step, slice(1, 3)).tolist() == [
            *rows[1:3]
        ]
        seen |= {*rows}
    assert seen == {10, 11, 12}


def test_where_all_masks_are_of_one_subject_it_cannot_have_another_s() -> None:
    library("A", "A").expect_others({"B"})
    library("A", "B").expect_others({"A", "B"})
    with pytest.raises(InputError, match="all lesion masks are of one volume"):
        library("A", "A").expect_others({"A", "B"})


def table(patients: int = 10) -> pd.DataFrame:
    """Each patient has two sessions of a pathological and a healthy slice; one more has no mask."""
    rows = [
        ("here", f"{patient:02d}", session, label)
        for patient in range(patients)
        for session in ("a", "b")
        for label in ("pathological", "healthy")
    ]
    rows.append(("here", "99", "a", "unlabelled"))
    return pd.DataFrame(rows, columns=["source", "subject", "session", "label"])


def labelled(fraction: float, seed: int = 0) -> set[tuple[str, str]]:
    out = with_labelled_fraction(table(), fraction, np.random.default_rng(seed))
    rows = out[out["label"] == "pathological"]
    return set(zip(rows["subject"], rows["session"], strict=True))


@pytest.mark.parametrize(("fraction", "count"), [(0, 0), (0.01, 1), (0.1, 2), (0.5, 10), (1, 20)])
def test_a_fraction_of_the_volumes_keeps_its_masks_one_at_least(fraction: float, count: int) -> None:
    assert len(labelled(fraction)) == count


def test_a_larger_fraction_holds_the_smaller_one_and_the_seed_decides() -> None:
    assert labelled(0.1) < labelled(0.3) < labelled(0.9)
    assert labelled(0.3) == labelled(0.3)
    assert labelled(0.3) != labelled(0.3, seed=1)


def test_nothing_else_changes() -> None:
    before, after = table(), with_labelled_fraction(table(), 0.3, np.random.default_rng(0))
    changed = before["label"] != after["label"]
    assert set(before.loc[changed, "label"]) == {"pathological"}
    assert set(after.loc[changed, "label"]) == {"unlabelled"}
    pd.testing.assert_frame_equal(before.drop(columns="label"), after.drop(columns="label"))
