"""The experiment on transplanted lesions: its data sets, its painted lesions, and its sums."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fixtures.brains import ellipse
from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.phantom.dataset import make_phantoms
from scripts.measure_transplants import _subset, compared, painted


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
    def series(*values: float) -> pd.Series[float]:
        return pd.Series(values, index=["a", "b"])

    found = compared(
        {
            "real": [series(0.2, 0.4), series(0.4, 0.4)],
            "painted": [series(0.4, 0.4), series(0.4, 0.4)],
            "transplanted": [series(0.5, 0.4), series(0.5, 0.6)],
        }
    )
    assert found["patients"] == 2
    assert found["dice"]["real"]["mean"] == pytest.approx(0.35)
    assert found["dice"]["transplanted"]["by_seed"] == pytest.approx([0.45, 0.55])
    assert found["gain"]["painted"]["mean"] == pytest.approx(0.05)
    assert found["gain"]["transplanted"]["mean"] == pytest.approx(0.15)
    assert found["gain"]["transplanted_over_painted"]["mean"] == pytest.approx(0.10)
