"""The experiment on transplanted lesions: its data sets, its painted lesions, and its sums."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fixtures.brains import ellipse
from fixtures.models import saved
from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.evaluation.slice_set import SliceSet
from pseudohealthy.phantom.dataset import make_phantoms
from scripts.measure_transplants import Cohort, Draw, _subset, compared, painted, score


def test_a_painted_lesion_is_bright_in_its_mask_and_leaves_the_rest() -> None:
    brain = ellipse((40, 32), (18, 14))[..., None] * np.ones(3)
    healthy = (100 * brain).astype(np.float32)
    lesion = np.zeros(healthy.shape, bool)
    lesion[12:22, 10:18, 1] = True
    made = painted(healthy, lesion, (3,))
    np.testing.assert_array_equal(made[..., [0, 2]], healthy[..., [0, 2]])
    far = ~lesion[..., 1]
    far[6:28, 4:24] = False
    np.testing.assert_allclose(made[far, 1], healthy[far, 1], atol=0.05)
    assert made[lesion].mean() > 110
    np.testing.assert_array_equal(made, painted(healthy, lesion, (3,)))


def test_a_subset_is_a_data_set_of_some_patients_all_for_training(tmp_path: Path) -> None:
    data = make_phantoms(tmp_path / "data", patients=4, seed=0, spacing=4.0)
    chosen = ["sub-P003", "sub-P001"]
    cohort = read_cohort([_subset(data, chosen, tmp_path / "some")])
    assert sorted(f"sub-{each.subject}" for each in cohort.volumes) == sorted(chosen)
    assert {each.split for each in cohort.volumes} == {"train"}
    assert all(each.mask for each in cohort.volumes)


def test_gains_are_of_the_same_patients_and_averaged_over_seeds() -> None:
    def scored(*values: float) -> tuple[pd.Series[float], float]:
        return pd.Series(values, index=["a", "b"]), 0.01

    found = compared(
        {
            "real": [scored(0.2, 0.4), scored(0.4, 0.4)],
            "painted": [scored(0.4, 0.4), scored(0.4, 0.4)],
            "transplanted": [scored(0.5, 0.4), scored(0.5, 0.6)],
        }
    )
    assert found["patients"] == 2
    assert found["dice"]["real"]["mean"] == pytest.approx(0.35)
    assert found["dice"]["transplanted"]["by_seed"] == pytest.approx([0.45, 0.55])
    assert found["gain"]["painted"]["mean"] == pytest.approx(0.05)
    assert found["gain"]["transplanted"]["mean"] == pytest.approx(0.15)
    assert found["gain"]["transplanted"]["by_seed"] == pytest.approx([0.15, 0.15])
    assert found["gain"]["transplanted_over_painted"]["mean"] == pytest.approx(0.10)
    assert found["marked_without_lesion"]["real"] == [0.01, 0.01]


def test_a_patients_slices_count_together_and_what_is_marked_without_a_lesion_apart(tmp_path: Path) -> None:
    brain = ellipse((64, 48), (28, 20))
    masks = np.zeros((3, 64, 48), bool)
    masks[0, 30:40, 20:30] = True
    slices = SliceSet(np.stack([0.5 * brain] * 3).astype(np.float32), masks, np.array(["a", "a", "b"]))
    dice, share = score(saved(tmp_path, "judge", finds=True), slices)  # which marks every pixel
    area = np.count_nonzero(brain)
    assert list(dice.index) == ["a"]
    assert dice["a"] == pytest.approx(2 * 100 / (2 * area + 100))  # the patient's second slice has no lesion
    assert share == 1


def test_the_first_patients_of_a_seed_are_among_its_more_patients(tmp_path: Path) -> None:
    data = make_phantoms(tmp_path / "data", patients=8, seed=0, spacing=4.0)
    cohort = Cohort("phantoms", data, tmp_path / "work")
    few, more = (Draw(cohort, count, 1).patients()[0] for count in (2, 4))
    assert few == more[:2]
    assert set(more) <= set(cohort.training_patients()[0])
    assert few != Draw(cohort, 2, 0).patients()[0] or more != Draw(cohort, 4, 0).patients()[0]
