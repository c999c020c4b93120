"""Which tests of Table 1 were made, in words: against whom, how many, what was left out, what is in reach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pseudohealthy.catalogue.methods import method_name

LEVEL = 0.05  # of a star


def describe_tests(table1: Mapping[str, Any]) -> list[str]:
    """Sentences on the tests as `statistics` records them.

    Args:
        table1: `statistics`, by method and measure, with `n`, the volumes of that test; `baselines`, the
            methods that took part as such; `not_tested`, what was left out and why. Any may be missing.
    """
    made = _made(table1)
    if made:
        sentence = f"{_against(table1)}: {_family(len(made))}, adjusted after Holm."
    else:
        sentence = (
            "No test was made." if "statistics" in table1 else f"{_against(table1)}, adjusted after Holm."
        )
    left = "; ".join(str(each).rstrip(".") for each in table1.get("not_tested") or ())
    return [sentence, *([f"Left out of the tests: {left}."] if left else []), *_out_of_reach(made)]


def _made(table1: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    statistics = table1.get("statistics") or {}
    return [test for tests in statistics.values() for test in tests.values()]


def _against(table1: Mapping[str, Any]) -> str:
    names = [method_name(str(name)) for name in table1.get("baselines") or ()]
    rival = f"the better of {' and '.join(names)}" if names else "the better baseline"
    if len(names) == 1:
        rival = f"{names[0]}, the only baseline there"
    return f"Paired Wilcoxon over volumes (two-sided), averaged over seeds, against {rival}"


def _family(number: int) -> str:
    return "a single test" if number == 1 else f"a family of {number} tests"


def _out_of_reach(made: list[Mapping[str, Any]]) -> list[str]:
    """Said where even the least p, 2 / 2^n of n volumes that all agree, is no star after Holm."""
    volumes = max((test.get("n") or 0 for test in made), default=0)
    least = 2 / 2**volumes
    if not volumes or least * len(made) < LEVEL:
        return []
    return [
        f"With {volumes} volumes no star can be reached: p is {least:.2g} at the least, "
        f"which {_family(len(made))} makes {min(least * len(made), 1):.2g}, not under 5 %."
    ]
