"""Balance against the formula by hand: neither a copy nor a blank image has both."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from fixtures.brains import box, slices
from pseudohealthy.evaluation.balance import harmonic_mean, volume_balance
from pseudohealthy.evaluation.controls import constant
from pseudohealthy.evaluation.healthiness import volume_healthiness
from pseudohealthy.evaluation.score import Judged, score
from pseudohealthy.evaluation.slice_set import SliceSet


@pytest.mark.parametrize(
    ("identity", "healthiness", "expected"),
    [(1, 1, 1), (0.5, 1, 2 / 3), (0.9, 0, 0), (0.9, -3, 0), (0, 0.9, 0), (-0.1, 0.9, 0), (0.8, 0.8, 0.8)],
)
def test_the_harmonic_mean_by_hand(identity: float, healthiness: float, expected: float) -> None:
    found = harmonic_mean(identity, healthiness)
    assert found == pytest.approx(expected)
    assert harmonic_mean(healthiness, identity) == found
    assert np.isfinite(found)


def test_nothing_of_either_is_nothing_and_what_is_not_known_stays_so() -> None:
    nan = float("nan")
    found = harmonic_mean([0, -1, nan, 0.5, nan], [0, 0, 0.5, nan, 0])
    np.testing.assert_array_equal(found, [0, 0, nan, nan, nan])


def sums(**volumes: tuple[float, float, float, float, float]) -> pd.DataFrame:
    """Identity, slices, pixels of lesion, pixels that two judges find: by volume."""
    columns = ["identity_normalised", "slices", "lesion_voxels", "first", "second"]
    return pd.DataFrame.from_dict(volumes, orient="index", columns=columns)


def balance(table: pd.DataFrame, *judges: str) -> list[float]:
    found = {name: table[name] for name in judges}
    values = volume_balance(table["identity_normalised"], found, table["lesion_voxels"], table["slices"])
    assert values.index.tolist() == table.index.tolist()
    return [float(value) for value in values]


def test_by_volume_by_hand() -> None:
    """The cohort's mean lesion is of 100 pixels; the panel's mean is clipped, not each judge of it.

    Volume c: the judges give 1 - 400/100 and 1, on the average -1, which is 0.
    """
    table = sums(
        a=(0.8, 2, 300, 60, 20), b=(0.9, 1, 50, 0, 0), c=(1.0, 1, 50, 400, 0), d=(float("nan"), 4, 400, 0, 0)
    )
    h = (1 - 30 / 100 + 1 - 10 / 100) / 2
    expected = [2 * 0.8 * h / (0.8 + h), 2 * 0.9 / 1.9, 0, float("nan")]
    assert balance(table, "first", "second") == pytest.approx(expected, nan_ok=True)
    alone = 1 - 30 / 100
    assert balance(table, "first")[0] == pytest.approx(2 * 0.8 * alone / (0.8 + alone))


def test_its_healthiness_is_that_of_the_slices() -> None:
    rng = np.random.default_rng(0)
    volumes = rng.permutation(np.repeat(np.arange(9), 7))
    lesions, found = rng.integers(1, 300, len(volumes)), rng.integers(0, 90, len(volumes))
    by_volume = pd.DataFrame({"lesions": lesions, "found": found}).groupby(volumes, sort=False)
    sums, ones = by_volume.sum(), by_volume["found"].count() * 0 + 1.0
    h = volume_healthiness(found, lesions, volumes)
    values = volume_balance(ones, {"f": sums["found"]}, sums["lesions"], 7 * ones)
    clipped = h.clip(0, 1)
    assert values.tolist() == pytest.approx((2 * clipped / (1 + clipped)).tolist())
    assert (h < 1).all()


def test_one_volume_has_a_balance_and_a_cohort_without_a_lesion_none() -> None:
    assert balance(sums(a=(1.0, 3, 90, 45, 0)), "first") == pytest.approx([2 * 0.5 / 1.5])
    assert np.isnan(balance(sums(a=(1.0, 3, 0, 0, 0)), "first")).all()


def test_a_copy_and_a_constant_score_low_by_construction_and_the_truth_high() -> None:
    """By a judge that marks what is bright: a copy changes nothing, a constant keeps nothing."""
    healthy = slices(
        4, box((96, 80), (8, 88), (8, 72)), 1, (1, 3, 9), 0.07
    )  # folds of every size, as a brain's
    truth = np.minimum(healthy, 0.75)
    masks = box(truth.shape, (0, 4), (20, 40), (16, 36))
    images = np.where(masks, np.float32(0.9), truth)
    volumes = np.array(["a", "a", "b", "b"])
    means = {}
    blank = constant(images, truth > 0, volumes)
    for name, outputs in {"copy": images, "constant": blank, "truth": truth}.items():
        table = score(outputs, SliceSet(images, masks, volumes), judged=Judged({"bright": outputs > 0.8}))
        means[name] = table["balance"].to_numpy()
    assert means["copy"] == pytest.approx([0, 0])
    assert (means["constant"] < 0.3).all()
    assert means["truth"] == pytest.approx([1, 1])
