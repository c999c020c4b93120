from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import ArrayLike

from pseudohealthy.evaluation.healthiness import (
    healthiness,
    healthiness_of_healthy,
    panel,
    reasons_against,
    relative_healthiness,
    volume_healthiness,
)

# Two volumes: "b" with one slice, "a" with three.
VOLUMES = np.array(["b", "a", "a", "a"])
LESIONS = np.array([100, 20, 30, 50])
FOUND = np.array([40, 0, 5, 5])
FOUND_IN_INPUTS = np.array([80, 10, 40, 70])


def test_pooled_by_hand() -> None:
    assert healthiness(FOUND, LESIONS) == pytest.approx(1 - 50 / 200)
    assert relative_healthiness(FOUND, FOUND_IN_INPUTS) == pytest.approx(1 - 50 / 200)


def test_by_volume_by_hand() -> None:
    by_volume = volume_healthiness(FOUND, LESIONS, VOLUMES)
    assert by_volume.index.tolist() == ["b", "a"]
    assert by_volume.tolist() == pytest.approx([1 - 40 / 50, 1 - (10 / 3) / 50])


def test_mean_over_volumes_weighted_by_slices_is_the_pooled_value() -> None:
    rng = np.random.default_rng(0)
    volumes = rng.permutation(np.repeat(np.arange(12), rng.integers(1, 30, 12)))
    lesions, found = rng.integers(1, 3000, len(volumes)), rng.integers(0, 900, len(volumes))
    by_volume = volume_healthiness(found, lesions, volumes)
    slices = [np.count_nonzero(volumes == volume) for volume in by_volume.index]
    assert np.average(by_volume, weights=slices) == pytest.approx(healthiness(found, lesions), abs=1e-12)


def test_a_copy_is_exactly_0_relative_to_the_judge() -> None:
    assert relative_healthiness(FOUND_IN_INPUTS, FOUND_IN_INPUTS) == 0.0


def test_nothing_found_is_1_and_more_than_there_was_is_negative() -> None:
    assert healthiness(np.zeros(4), LESIONS) == 1.0
    assert healthiness(2 * LESIONS, LESIONS) == -1.0


def test_a_small_lesion_does_not_explode() -> None:
    by_volume = volume_healthiness([300, 0], [3, 597], ["small", "large"])
    assert by_volume["small"] == pytest.approx(0.0)  # 300 over the cohort's 300, not over its own 3


def test_without_any_lesion_there_is_no_healthiness() -> None:
    assert np.isnan(healthiness([3, 4], [0, 0]))
    assert np.isnan(relative_healthiness([0, 0], [0, 0]))
    assert volume_healthiness([3, 4], [0, 0], ["a", "b"]).isna().all()


def test_real_healthy_slices_by_hand() -> None:
    """30 pixels in 3 slices against lesions of 100 in 2: 10 a slice over 50 a slice."""
    assert healthiness_of_healthy([20, 10, 0], [60, 40]) == pytest.approx(0.8)
    assert healthiness_of_healthy([0], [60, 40]) == 1
    assert np.isnan(healthiness_of_healthy([], [60, 40]))
    assert np.isnan(healthiness_of_healthy([3], []))
    assert np.isnan(healthiness_of_healthy([3], [0, 0]))


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        ((0.70, 0.2, 0.95), []),
        ((0.70, -0.2, 1.0), []),
        ((0.699, 0.0, 1.0), ["the judge's pooled Dice is 0.699, under 0.7"]),
        ((0.8, 0.21, 1.0), ["the judge's h(copy) is 0.210, beyond 0.2 either way"]),
        ((0.8, 0.1, 0.949), ["the judge's h(real healthy) is 0.949, under 0.95"]),
        ((0.8, 0.1, np.nan), ["the judge's h(real healthy) is not known, there is no healthy slice"]),
    ],
)
def test_a_judge_is_believed_by_its_dice_its_copy_and_real_healthy_slices(
    figures: tuple[float, float, float], message: list[str]
) -> None:
    assert reasons_against(*figures) == message


def test_all_that_speaks_against_a_judge_is_told() -> None:
    assert len(reasons_against(0.1, -0.3, 0.5)) == 3
    assert len(reasons_against(np.nan, np.nan, np.nan)) == 3


def test_a_panel_by_hand() -> None:
    found: dict[str, ArrayLike] = {"f_pre": FOUND, "wide": 2 * FOUND, "threshold": [200, 0, 0, 20]}
    judged = panel(found, LESIONS, {"wide": [200, 0, 0, 0]})
    assert judged["members"] == {
        "f_pre": {"pooled": pytest.approx(0.75)},
        "wide": {"pooled": pytest.approx(0.5), "rel": pytest.approx(0.5)},
        "threshold": {"pooled": pytest.approx(-0.1)},
    }
    assert judged["panel_mean"] == pytest.approx((0.75 + 0.5 - 0.1) / 3)
    assert judged["panel_worst"] == pytest.approx(-0.1)


def test_a_panel_is_worth_its_members_pooled_values_not_volumes_own() -> None:
    """A judge that is right on large lesions and wrong on a tiny one: its mean over volumes would be bad."""
    judged = panel({"f_pre": [10, 0, 0]}, [1, 500, 499])
    assert judged["panel_worst"] == judged["panel_mean"] == pytest.approx(1 - 10 / 1000)


def test_a_panel_of_one_says_what_that_one_says() -> None:
    judged = panel({"f_pre": FOUND}, LESIONS, {"f_pre": FOUND_IN_INPUTS})
    assert judged["members"]["f_pre"] == {"pooled": 0.75, "rel": 0.75}
    assert judged["panel_mean"] == judged["panel_worst"] == 0.75
