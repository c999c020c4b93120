"""What is said of the tests is what was made of them."""

from __future__ import annotations

from typing import Any

import pytest
from scipy.stats import wilcoxon

from pseudohealthy.report.table1.test_summary import describe_tests

BOTH = {"baselines": ["conditional_gan", "cyclegan"]}


def statistics(number: int, n: int = 12) -> dict[str, Any]:
    """The first of the tests that there can be."""
    names = [(method, key) for key in ("identity", "healthiness") for method in ("unpaired", "paired")]
    tests: dict[str, dict[str, Any]] = {}
    for method, key in names[:number]:
        tests.setdefault(method, {})[key] = {"p": 0.5, "p_holm": 1.0, "star": False, "n": n}
    return {"statistics": tests}


@pytest.mark.parametrize(
    ("number", "words"),
    [(1, ": a single test,"), (2, ": a family of 2 tests,"), (4, ": a family of 4 tests,")],
)
def test_the_family_is_as_large_as_the_tests_that_were_made(number: int, words: str) -> None:
    (only,) = describe_tests({**BOTH, **statistics(number)})
    assert words in only
    assert "the better of conditional GAN and CycleGAN" in only


def test_a_baseline_that_is_the_only_one_is_not_called_the_better() -> None:
    (only,) = describe_tests({"baselines": ["cyclegan"], **statistics(2)})
    assert "against CycleGAN, the only baseline there" in only
    assert "better" not in only
    assert "conditional GAN" not in only


def test_without_a_record_no_number_is_claimed() -> None:
    (only,) = describe_tests({})
    assert "the better baseline" in only
    assert "family" not in only
    assert describe_tests({"statistics": {}}) == ["No test was made."]


def test_what_was_not_tested_is_said() -> None:
    found = describe_tests(
        {**BOTH, **statistics(2), "not_tested": ["healthiness: the judge is invalid.", "b"]}
    )
    assert found[1:] == ["Left out of the tests: healthiness: the judge is invalid; b."]


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("n", [3, 5, 6, 7, 8, 9])
def test_volumes_too_few_for_any_star_are_shown(number: int, n: int) -> None:
    least = float(wilcoxon([float(gain) for gain in range(1, n + 1)]).pvalue)  # each volume gains
    warned = [
        line for line in describe_tests({**BOTH, **statistics(number, n)}) if "no star can be reached" in line
    ]
    assert bool(warned) is (least * number >= 0.05)
    assert all(line.startswith(f"With {n} volumes") for line in warned)


def test_one_test_with_enough_volumes_leaves_a_star_in_reach() -> None:
    values = statistics(2, n=3)
    values["statistics"]["paired"]["identity"]["n"] = 12
    assert len(describe_tests(values)) == 1
