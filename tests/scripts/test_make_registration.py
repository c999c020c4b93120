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
        mean = 1.0 if name == LEFT_IN else 9.0
        each["inside"]["error"]["mean"] = mean
        each["inside"]["difference"] |= {"mean": mean - 1, "low": mean - 1.5, "high": mean}
    images["masked"]["inside"] = {
        "error": {"mean": 0.5, "std": 0.1, "low": 0.4, "high": 0.6},
        "difference": {"mean": -0.5, "std": 0.1, "low": -0.6, "high": -0.4},
    }
    sentence = found(other).split(". Inside")[0]
    assert sentence.startswith(
        "Inside the lesions of phantoms, masked comes out best (0.5 mm, with the lesion"
    )
    assert (
        "masked is better and filled (biharmonic), healthy image, blend, blend, own mask are worse"
        in sentence
    )
    assert "| masked | 0.50 (**-0.60 to -0.40**) |" in tables(other)
