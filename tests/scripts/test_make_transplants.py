"""The page on transplanted lesions holds what the results file says."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from pseudohealthy.json_files import read_json
from scripts.make_transplants import PAGE, RESULTS, filled, found, table

TEXT, MEASURED = PAGE.read_text(encoding="utf-8"), read_json(RESULTS)


def test_the_page_says_what_the_results_say() -> None:
    assert filled(TEXT, MEASURED) == TEXT, "run `make results`"


@pytest.mark.parametrize(
    ("gain", "effect"),
    [
        ({"mean": 0.04, "low": 0.01, "high": 0.07, "by_seed": [0.05, 0.03]}, "help"),
        ({"mean": 0.04, "low": 0.01, "high": 0.07, "by_seed": [0.09, -0.01]}, "make no sure difference to"),
        ({"mean": 0.01, "low": -0.01, "high": 0.03, "by_seed": [0.01, 0.01]}, "make no sure difference to"),
        ({"mean": -0.04, "low": -0.07, "high": -0.01, "by_seed": [-0.04, -0.04]}, "harm"),
    ],
)
def test_a_gain_is_sure_where_the_interval_leaves_out_0_and_the_seeds_agree(
    gain: dict[str, Any], effect: str
) -> None:
    other = copy.deepcopy(MEASURED)
    count, piece = next(iter(other["cohorts"]["lgg"].items()))
    piece["gain"]["transplanted"] = gain
    other["cohorts"] = {"lgg": {count: piece}}
    sentence = f"{effect} a segmentor trained on {count} patients with glioma ({gain['mean']:+.3f})"
    assert found(other) == f"Transplanted lesions {sentence}."
    assert f"{gain['mean']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})" in table(other)


def test_parts_of_other_settings_are_no_table() -> None:
    other = copy.deepcopy(MEASURED)
    part = next(iter(other["cohorts"]["lgg"].values()))
    other["cohorts"]["soop"] = {"20": {**part, "config": {**part["config"], "images": 1}}}
    with pytest.raises(ValueError, match="same settings"):
        table(other)
