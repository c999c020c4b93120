"""What 8-bit integers cost, against what is worked out by hand; and the committed results."""

from __future__ import annotations

import numpy as np
import pytest

from fixtures.models import judge
from pseudohealthy.evaluation.slice_set import SliceSet
from pseudohealthy.json_files import read_json
from pseudohealthy.synthesis.bundled_weights import bundled_weights, describe_weights
from scripts.calibrate_int8 import LIMITS, Outcome, compare, kept, surroundings
from scripts.make_int8 import PAGE, RESULTS, filled

TEXT, MEASURED = PAGE.read_text(encoding="utf-8"), read_json(RESULTS)


def one_lesion() -> SliceSet:
    """A slice with a lesion of 16 pixels and one without; the brain is all of both."""
    images, masks = np.full((2, 64, 48), 0.4, np.float32), np.zeros((2, 64, 48), bool)
    masks[0, 4:8, 4:8] = True
    images[masks] = 0.9
    names = np.array(["a", "b"])
    return SliceSet(images, masks, names, names)


def test_surroundings_are_in_mm() -> None:
    lesion = np.zeros((2, 1, 20), bool)
    lesion[0, 0, 0] = True
    assert surroundings(lesion, (1.0, 1.0)).sum(2).ravel().tolist() == [9, 0]
    assert surroundings(lesion, (1.0, 2.0)).sum(2).ravel().tolist() == [5, 0]


def test_each_change_by_hand() -> None:
    slices = one_lesion()
    exact = Outcome(np.full_like(slices.images, 0.4), slices.masks.astype(np.float32))
    healthy, probability = exact.healthy.copy(), exact.probability.copy()
    healthy[0, 4, 4:8] = 0.8  # a quarter of the lesion is back
    healthy[1, 30, 30] = 0.43
    probability[0, 7] = 0  # and a quarter of it is no longer marked
    found = compare(slices, exact, Outcome(healthy, probability), {"first": judge(0.7)})
    assert found["f32"] == {"identity": pytest.approx(1), "healthiness": 1, "dice": 1}
    assert found["int8"]["healthiness"] == pytest.approx(0.75)
    assert found["changes"]["healthiness"] == pytest.approx(0.25)
    assert found["changes"]["dice"] == pytest.approx(1 - 24 / 28)
    assert found["changes"]["greatest_change_outside"] == pytest.approx(0.03)
    assert found["greatest_change"] == pytest.approx(0.4)
    assert (found["marked"], found["marked_otherwise"]) == (16, 4)


@pytest.mark.parametrize("name", LIMITS)
def test_one_limit_that_is_not_kept_is_enough(name: str) -> None:
    within = {each: 0.9 * limit for each, limit in LIMITS.items()}
    assert kept(within)
    assert not kept({**within, name: LIMITS[name]})


def test_the_results_are_of_the_embedded_weights_and_keep_their_limits() -> None:
    assert MEASURED["config"]["weights"] == describe_weights(bundled_weights())["sha256"]
    assert MEASURED["limits"] == LIMITS
    assert kept(MEASURED["changes"])
    assert MEASURED["kept"]


def test_the_page_says_what_the_results_say() -> None:
    assert filled(TEXT, MEASURED) == TEXT, "run `make results`"
    other = {**MEASURED, "changes": {**MEASURED["changes"], "dice": 0.00123}}
    assert "0.0012" in filled(TEXT, other)
