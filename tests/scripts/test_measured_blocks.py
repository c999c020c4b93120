"""Blocks of a page that are made again, and no others."""

from __future__ import annotations

import pytest

from scripts.measured_blocks import markdown, refilled

PAGE = "a\n<!-- measured: one -->\nold\n<!-- /measured -->\nb\n"


def test_a_block_is_made_again_and_the_rest_stays() -> None:
    assert refilled(PAGE, {"one": lambda: "new\nlines"}) == PAGE.replace("old", "new\nlines")


@pytest.mark.parametrize("names", [(), ("two",), ("one", "two")])
def test_blocks_and_parts_must_be_the_same(names: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="expected <!-- measured: PART -->"):
        refilled(PAGE, dict.fromkeys(names, str))


def test_a_table_by_hand() -> None:
    assert markdown(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
