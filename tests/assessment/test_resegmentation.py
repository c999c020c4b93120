"""Can a fresh network find the lesion in what a method made of it?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from pseudohealthy.assessment import resegmentation
from pseudohealthy.assessment.resegmentation import coordinates_auroc, excess_auroc
from pseudohealthy.errors import InputError

VOLUMES = np.repeat(["d", "c", "b", "a"], 4)
HEIGHTS = np.tile([0.2, 0.4, 0.6, 0.8], 4)
SHAPE = (16, 32, 24)
SHORT: dict[str, Any] = {"seed": 0, "steps": 30}


def masks() -> NDArray[np.uint8]:
    """A lesion anywhere in each volume."""
    found = np.zeros(SHAPE, dtype=np.uint8)
    rng = np.random.default_rng(1)
    for first in range(0, 16, 4):
        row, column = rng.integers(4, 22), rng.integers(3, 15)
        found[first : first + 4, row : row + 6, column : column + 6] = 1
    return found


def brains() -> NDArray[np.bool_]:
    found = np.zeros(SHAPE, dtype=np.bool_)
    found[:, 2:30, 2:22] = True
    return found


def noise() -> NDArray[np.float32]:
    return (np.random.default_rng(0).random(SHAPE) * 0.5 * brains()).astype(np.float32)


@pytest.fixture(scope="module")
def coordinates() -> pd.DataFrame:
    return coordinates_auroc(masks(), brains(), VOLUMES, HEIGHTS, **SHORT)


def excess(outputs: NDArray[Any], coordinates: pd.DataFrame | None = None, **changes: Any) -> pd.DataFrame:
    arguments = {**SHORT, "coordinates": coordinates, **changes}
    return excess_auroc(outputs, masks(), brains(), VOLUMES, HEIGHTS, **arguments)


def test_a_lesion_left_in_is_found_far_better_than_by_coordinates(coordinates: pd.DataFrame) -> None:
    table = excess(noise() + 0.4 * masks().astype(np.float32), coordinates)
    assert table.index.tolist() == ["d", "c", "b", "a"]
    assert (table["reseg_auroc"] > 0.95).all()
    assert table["reseg_excess_auroc"].mean() > 0.2
    difference = table["reseg_auroc"] - table["reseg_auroc_coordinates"]
    pd.testing.assert_series_equal(table["reseg_excess_auroc"], difference, check_names=False)
    pd.testing.assert_frame_equal(table[["reseg_auroc_coordinates"]], coordinates)


def test_noise_shows_nothing(coordinates: pd.DataFrame) -> None:
    assert excess(noise(), coordinates)["reseg_excess_auroc"].mean() == pytest.approx(0, abs=0.1)


def test_the_same_seed_gives_the_same_figures_and_torchs_own_state_stays(coordinates: pd.DataFrame) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = excess(noise(), coordinates, steps=3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    pd.testing.assert_frame_equal(excess(noise(), coordinates, steps=3), first)
    assert not excess(noise(), coordinates, steps=3, seed=1).equals(first)


def test_coordinates_done_once_are_those_done_each_time() -> None:
    done = coordinates_auroc(masks(), brains(), VOLUMES, HEIGHTS, seed=0, steps=2)
    pd.testing.assert_frame_equal(excess(noise(), steps=2), excess(noise(), done, steps=2))


def test_coordinates_know_the_height_of_a_slice() -> None:
    """Lesions left in the lower slices, right in the upper: the place alone is right half the time."""
    lesions = np.zeros(SHAPE, dtype=np.uint8)
    lesions[HEIGHTS < 0.5, 6:26, 4:10] = 1
    lesions[HEIGHTS > 0.5, 6:26, 14:20] = 1
    found = coordinates_auroc(lesions, brains(), VOLUMES, HEIGHTS, seed=0, steps=40)
    assert (found["reseg_auroc_coordinates"] > 0.9).all()


def test_no_network_has_seen_the_volume_that_it_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    learnt: list[NDArray[np.intp]] = []
    ranked: list[NDArray[np.float32]] = []
    of_train, of_scores = resegmentation.train, resegmentation._scores

    def train(task: Any, rows: NDArray[np.intp], *rest: Any) -> Any:
        learnt.append(rows)
        return of_train(task, rows, *rest)

    def scores(network: Any, x: NDArray[np.float32], device: str) -> Any:
        ranked.append(x)
        return of_scores(network, x, device)

    monkeypatch.setattr(resegmentation, "train", train)
    monkeypatch.setattr(resegmentation, "_scores", scores)
    outputs = np.broadcast_to(np.arange(16)[:, None, None] / 16, SHAPE)  # by its grey a slice is known
    excess(outputs, pd.DataFrame({"reseg_auroc_coordinates": 0.5}, index=list("dcba")), steps=1, folds=3)
    assert sum(len(x) for x in ranked) == 16
    greys = [
        resegmentation._task(outputs, masks(), brains(), VOLUMES, HEIGHTS, subjects=None, device="cpu").x[
            :, 0, 9, 9
        ]
    ] * 3
    for rows, x, grey in zip(learnt, ranked, greys, strict=True):
        tested = np.flatnonzero(np.isin(grey, x[:, 0, 9, 9]))
        assert len(tested) == len(x)
        assert not set(VOLUMES[rows]) & set(VOLUMES[tested])
        assert set(VOLUMES[rows]) | set(VOLUMES[tested]) == set("abcd")


@pytest.mark.parametrize("seed", range(4))
def test_no_network_has_seen_another_volume_of_the_subject_that_it_ranks(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two sessions of each of two subjects: by volumes, some seed would part them."""
    subjects = np.repeat(["one", "two", "one", "two"], 4)
    learnt: list[set[str]] = []
    of_train = resegmentation.train

    def train(task: Any, rows: NDArray[np.intp], *rest: Any) -> Any:
        learnt.append(set(subjects[rows]))
        return of_train(task, rows, *rest)

    monkeypatch.setattr(resegmentation, "train", train)
    arguments: dict[str, Any] = {"seed": seed, "steps": 1, "subjects": subjects}
    table = excess_auroc(noise(), masks(), brains(), VOLUMES, HEIGHTS, **arguments)
    assert [len(each) for each in learnt] == [1] * 4  # of the output and of the coordinates, two folds each
    assert table.index.tolist() == ["d", "c", "b", "a"]
    with pytest.raises(InputError, match="1 subjects cannot be shared out"):
        coordinates_auroc(masks(), brains(), VOLUMES, HEIGHTS, seed=0, subjects=["one"] * 16)


def test_without_subjects_each_volume_is_one() -> None:
    expected = excess(noise(), steps=2)
    pd.testing.assert_frame_equal(excess(noise(), steps=2, subjects=VOLUMES), expected)


def test_only_the_brain_counts(coordinates: pd.DataFrame) -> None:
    """Whatever the masks and outputs hold outside the brain changes nothing."""
    outside = ~brains()
    expected = excess(noise(), coordinates, steps=3)
    lesions = np.where(outside, 1, masks())
    shown = np.where(outside, np.float32(0.9), noise())
    arguments = {**SHORT, "steps": 3, "coordinates": coordinates}
    found = excess_auroc(shown, lesions, brains(), VOLUMES, HEIGHTS, **arguments)
    pd.testing.assert_frame_equal(found, expected)


def test_the_ranking_is_that_of_the_volumes_own_voxels() -> None:
    table = excess(np.full(SHAPE, 0.5, dtype=np.float32), steps=1)
    assert table["reseg_auroc"].between(0, 1).all()
    empty = masks()
    empty[VOLUMES == "c"] = 0
    rest = excess_auroc(noise(), empty, brains(), VOLUMES, HEIGHTS, **{**SHORT, "steps": 1})
    assert rest["reseg_excess_auroc"].isna().tolist() == [False, True, False, False]


@pytest.mark.parametrize("folds", [1, 5])
def test_volumes_that_cannot_be_shared_out_are_refused(folds: int) -> None:
    with pytest.raises(InputError, match=f"4 subjects cannot be shared out among {folds} folds"):
        coordinates_auroc(masks(), brains(), VOLUMES, HEIGHTS, seed=0, folds=folds)
