"""The page on lesion filling holds what the results file says."""

from __future__ import annotations

import copy

from pseudohealthy.json_files import read_json
from pseudohealthy.synthesis.bundled_weights import bundled_weights, describe_weights
from scripts.make_registration import LEFT_IN, PAGE, RESULTS, filled, found, tables

TEXT, MEASURED = PAGE.read_text(encoding="utf-8"), read_json(RESULTS)


def test_the_page_says_what_the_results_say() -> None:
    assert filled(TEXT, MEASURED) == TEXT, "run `make results`"


def test_the_bundled_weights_were_measured() -> None:
    assert MEASURED["weights"] == describe_weights(bundled_weights())["sha256"]


def test_another_result_is_another_sentence_and_another_table() -> None:
    other = copy.deepcopy(MEASURED)
    images = other["measured"]["phantoms"]
    for name, each in images.items():
        mean = {LEFT_IN: 1.0, "masked": 0.5}.get(name, 9.0)
        each["inside"]["mean"]["mean"] = mean
        each["inside"]["difference"] |= {"mean": mean - 1, "low": mean - 1.1, "high": mean - 0.9, "std": 0.1}
    first, second = found(other).split(".0 mm in the same scans without one; ")
    assert first == "Inside the lesions of phantoms the error is 1.0 mm with the lesion left in, and 9"
    others = "filled (biharmonic), healthy image, blend, blend (own mask)"
    assert second.startswith(f"surely less: masked; surely more: {others}.")
    assert "| masked | 0.50 (**-0.60 to -0.40**) |" in tables(other)
