"""The page on reliability holds what the results files say."""

from __future__ import annotations

from typing import Any

import pytest

from pseudohealthy.synthesis.bundled_weights import bundled_weights, describe_weights
from pseudohealthy.synthesis.lesion_caveat import LesionFree, lesion_caveat
from scripts.make_reliability import PAGE, PARTS, SLICES, filled, head, read_results
from scripts.measure_safety import VOLUMES, beside_weights
from scripts.measured_blocks import BLOCK

TEXT = PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    return read_results()


def test_the_page_says_what_the_results_say(results: dict[str, Any]) -> None:
    assert filled(TEXT, results) == TEXT, "run `make results`"


def test_another_result_is_another_page(results: dict[str, Any]) -> None:
    measured = results["honest_output"]
    clean = measured["slices"]["measured"]["clean"]
    other = {**measured, "slices": {**measured["slices"], "measured": dict.fromkeys(SLICES, clean)}}
    assert filled(TEXT, {**results, "honest_output": other}) != TEXT
    whole = {"measured": {"marked_ml": 12.34, "mae": 0.0215, "ms_ssim": 0.9}}
    assert head({"head": whole}).endswith("12.3 ml are marked; MAE 0.021, MS-SSIM 0.900.")


def test_a_part_without_its_marks_is_missed(results: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"once for each of {', '.join(PARTS)}"):
        filled(BLOCK.sub("", TEXT, count=1), results)


def test_the_weights_say_what_the_results_say(results: dict[str, Any]) -> None:
    weights = describe_weights(bundled_weights())
    results = results["honest_output"]
    measured = beside_weights(weights["sha256"], results)
    assert LesionFree.read(bundled_weights(), weights["sha256"]) == measured, "measure these weights again"
    assert {results[part]["weights"]["sha256"] for part in (VOLUMES, "slices")} == {weights["sha256"]}
    assert f"“{lesion_caveat(weights)}”" in TEXT
