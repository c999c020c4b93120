"""Can a fresh network find the lesion in what a method made of it?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from fixtures.brains import Image, box, slices
from pseudohealthy.assessment.resegmentation import SmallUNet, coordinates_auroc, excess_auroc
from pseudohealthy.errors import InputError, PseudohealthyError
from pseudohealthy.evaluation.slice_set import SliceSet

VOLUMES = np.repeat(["d", "c", "b", "a"], 4)
HEIGHTS = np.tile([0.2, 0.4, 0.6, 0.8], 4)
SHAPE = (16, 32, 24)
BRAIN = box(SHAPE[1:], (2, 30), (2, 22))
SHORT: dict[str, Any] = {"seed": 0, "steps": 30}


def masks() -> NDArray[np.uint8]:
    """A lesion anywhere in each volume."""
    found = np.zeros(SHAPE, dtype=np.uint8)
    rng = np.random.default_rng(1)
    for first in range(0, 16, 4):
        row, column = rng.integers(4, 22), rng.integers(3, 15)
        found[first : first + 4, row : row + 6, column : column + 6] = 1
    return found


def noise() -> Image:
    return slices(16, BRAIN, widths=(0,), contrast=0.1)


def slice_set(lesions: NDArray[Any] | None = None) -> SliceSet:
    """What outputs were made from: of it only the brain and the lesions count."""
    return SliceSet(noise(), masks() if lesions is None else lesions, VOLUMES, heights=HEIGHTS)


@pytest.fixture(scope="module")
def coordinates() -> pd.DataFrame:
    return coordinates_auroc(slice_set(), **SHORT)


def excess(outputs: NDArray[Any], coordinates: pd.DataFrame | None = None, **changes: Any) -> pd.DataFrame:
    return excess_auroc(outputs, slice_set(), **{**SHORT, "coordinates": coordinates, **changes})


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
    done = coordinates_auroc(slice_set(), seed=0, steps=2)
    pd.testing.assert_frame_equal(excess(noise(), steps=2), excess(noise(), done, steps=2))


def test_coordinates_know_the_height_of_a_slice() -> None:
    """Lesions left in the lower slices, right in the upper: the place alone is right half the time."""
    lesions = np.zeros(SHAPE, dtype=np.uint8)
    lesions[HEIGHTS < 0.5, 6:26, 4:10] = 1
    lesions[HEIGHTS > 0.5, 6:26, 14:20] = 1
    found = coordinates_auroc(slice_set(lesions), seed=0, steps=40)
    assert (found["reseg_auroc_coordinates"] > 0.9).all()


def known_by_their_grey(sessions_are_subjects: bool) -> tuple[NDArray[np.float32], SliceSet]:
    """Six patients of two volumes each. A patient's grey, and nothing else, tells where its lesion is."""
    patients = np.repeat(np.arange(6), 4)  # two slices of each volume
    brain = np.repeat(BRAIN[None], 24, axis=0)
    lesions = np.zeros_like(brain)
    for row, patient in enumerate(patients):
        top, left = 4 + 9 * (patient % 3), 3 + 10 * (patient // 3)
        lesions[row, top : top + 7, left : left + 8] = True
    outputs = (0.1 + 0.15 * patients[:, None, None] * brain).astype(np.float32)
    volumes = np.repeat(np.arange(12), 2)
    subjects = volumes if sessions_are_subjects else patients
    return outputs, SliceSet(brain.astype(np.float32), lesions, volumes, subjects, heights=np.full(24, 0.5))


def test_nobody_is_ranked_by_a_network_that_has_seen_them() -> None:
    """One that has seen a patient's other session knows from the grey where the lesion is; others cannot."""
    training: dict[str, Any] = {"seed": 0, "steps": 150, "coordinates": None}
    seen = excess_auroc(*known_by_their_grey(sessions_are_subjects=True), **training)["reseg_auroc"]
    unseen = excess_auroc(*known_by_their_grey(sessions_are_subjects=False), **training)["reseg_auroc"]
    assert seen.max() > 0.9
    assert unseen.mean() < 0.6
    assert seen.mean() > unseen.mean() + 0.15


def test_one_subject_cannot_be_measured() -> None:
    with pytest.raises(InputError, match="1 subject, expected 2 or more"):
        coordinates_auroc(replace(slice_set(), subjects=np.array(["one"] * 16)), seed=0)
    with pytest.raises(InputError, match="heights is not known"):
        coordinates_auroc(replace(slice_set(), heights=None), seed=0)


def test_without_subjects_each_volume_is_one() -> None:
    given = replace(slice_set(), subjects=VOLUMES)
    expected = excess_auroc(noise(), given, seed=0, steps=2)
    pd.testing.assert_frame_equal(excess(noise(), steps=2), expected)


def test_a_device_that_is_not_there_is_told() -> None:
    with pytest.raises(InputError, match="device nowhere cannot be used here"):
        excess(noise(), steps=1, device="nowhere")


@pytest.mark.parametrize("learning", [True, False])
def test_a_full_card_is_told_in_one_line_learning_or_ranking(
    monkeypatch: pytest.MonkeyPatch, learning: bool
) -> None:
    forward = SmallUNet.forward

    def full(self: SmallUNet, x: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled() == learning:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return forward(self, x)

    monkeypatch.setattr(SmallUNet, "forward", full)
    with pytest.raises(PseudohealthyError, match=r"too little memory left \(.*\); .*, or give --device cpu$"):
        excess(noise(), steps=1)


def test_only_the_brain_counts(coordinates: pd.DataFrame) -> None:
    """Whatever the masks and outputs hold outside the brain changes nothing."""
    outside = np.broadcast_to(~BRAIN, SHAPE)
    expected = excess(noise(), coordinates, steps=3)
    lesions = np.where(outside, 1, masks())
    shown = np.where(outside, np.float32(0.9), noise())
    found = excess_auroc(shown, slice_set(lesions), **{**SHORT, "steps": 3, "coordinates": coordinates})
    pd.testing.assert_frame_equal(found, expected)


def test_the_ranking_is_that_of_the_volumes_own_voxels() -> None:
    table = excess(np.full(SHAPE, 0.5, dtype=np.float32), steps=1)
    assert table["reseg_auroc"].between(0, 1).all()
    empty = masks()
    empty[VOLUMES == "c"] = 0
    rest = excess_auroc(noise(), slice_set(empty), seed=0, steps=1)
    assert rest["reseg_excess_auroc"].isna().tolist() == [False, True, False, False]


def test_the_random_state_of_every_device_stays_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    before = torch.get_rng_state()
    excess(noise(), steps=1)
    assert (torch.equal(torch.get_rng_state(), before), seeds) == (True, [])
