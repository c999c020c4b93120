"""What is said with the table."""

from __future__ import annotations

from pseudohealthy.errors import RESEARCH_USE
from pseudohealthy.report.caption import caption, title, validity
from report.made_up import table1


def test_the_caption_says_how_it_was_measured() -> None:
    words = " ".join(caption(table1()))
    for part in (
        "12 test volumes",
        "zero-padded to a width of 176",
        "five scales",
        "Dice pooled 0.812",
        "h(copy) 0.048",
    ):
        assert part in words
    for part in ("Holm", "† ", "* ", "not ours", "0.16 on BraTS", RESEARCH_USE):
        assert part in words
    assert "cohort" not in title({})
    assert title(table1()).endswith("made_up")


def test_it_names_the_split_and_a_single_volume() -> None:
    assert "12 val volumes" in caption({**table1(), "evaluated": "val"})[0]
    assert "nothing of spread" in caption({"split": {"test": 1}})[0]
    assert "over the test volumes" in caption({})[0]


def test_a_valid_judge_needs_no_warning_and_any_other_does() -> None:
    assert validity({"valid": True}) == ""
    assert validity({"valid": False, "invalid_reason": "h(copy) is 0.3."}).startswith(
        "INVALID: h(copy) is 0.3. Do"
    )
    told = validity({"valid": False, "judge": {"dice_pooled": 0.6543, "h_copy": 0.3210}})
    assert told.startswith("INVALID")
    assert "0.654" in told
    assert "0.321" in told
    for unknown in ({}, {"valid": None}):
        assert validity(unknown).startswith("INVALID")
