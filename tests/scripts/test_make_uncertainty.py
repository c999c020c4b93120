"""The page on uncertainty holds what the results file says, and that is of the bundled weights."""

from __future__ import annotations

import copy

from pseudohealthy.json_files import read_json
from pseudohealthy.synthesis.bundled_weights import bundled_weights, describe_weights
from scripts.make_uncertainty import PAGE, RESULTS, filled

TEXT, MEASURED = PAGE.read_text(encoding="utf-8"), read_json(RESULTS)


def test_the_page_says_what_the_results_say() -> None:
    assert filled(TEXT, MEASURED) == TEXT, "run `make results`"


def test_another_result_is_another_page() -> None:
    for part, key in (("image", "inside"), ("volume", "own")):
        other = copy.deepcopy(MEASURED)
        other["test"][part][key]["95"]["mean"] = 0.123
        assert "| 12 % [" in filled(TEXT, other)


def test_both_splits_were_measured_of_the_bundled_weights_with_their_calibration() -> None:
    weights = describe_weights(bundled_weights())
    for split in ("val", "test"):
        assert MEASURED[split]["config"]["weights"] == weights["sha256"]
        assert MEASURED[split]["calibration"] == weights["uncertainty"]
        assert MEASURED[split]["commit"]
