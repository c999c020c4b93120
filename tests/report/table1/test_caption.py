"""What is said with the table."""

from __future__ import annotations

import pytest

from fixtures.results import table1
from pseudohealthy.errors import RESEARCH_USE
from pseudohealthy.report.table1.caption import caption, title, validity


def test_the_caption_says_how_it_was_measured() -> None:
    words = " ".join(caption(table1()))
    for part in (
        "12 test volumes",
        "slices of 208 x 160 pixels are zero-padded to 208 x 176",
        "raises the value",
        "five scales",
        "Dice pooled 0.812",
        "h(copy) 0.048",
    ):
        assert part in words
    for part in ("Holm", "† ", "* ", "not ours", "0.16 on BraTS", RESEARCH_USE):
        assert part in words
    assert "cohort" not in title({})
    assert title(table1()).endswith("made_up")


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ([208, 160], "slices of 208 x 160 pixels are zero-padded to 208 x 176, without which"),
        ([96, 80], "slices of 96 x 80 pixels are zero-padded to 176 x 176, without which"),
        ([176, 192], "slices of 176 x 192 pixels, not padded)"),
        (None, "slices are zero-padded where a side is under 176, without which"),
    ],
)
def test_padding_is_that_of_the_field(field: list[int] | None, words: str) -> None:
    identity = caption({"preprocessing": {"slice_shape": field}} if field else {})[1]
    assert words in identity
    assert ("raises the value" in identity) is (field != [176, 192])


def test_the_number_of_tests_and_the_star_are_shown_together() -> None:
    (marks,) = [line for line in caption({"statistics": {"paired": {"identity": {"n": 12}}}}) if "* " in line]
    assert "a single test" in marks
    assert "four" not in " ".join(caption({}))


@pytest.mark.parametrize("commits", [["abc", "def"], ["abc", None]])
def test_several_versions_of_the_code_are_shown(commits: list[str | None]) -> None:
    (sentence,) = [
        line for line in caption({"commit": None, "commits": commits}) if "several versions" in line
    ]
    assert all(str(commit) in sentence for commit in commits)


def test_one_version_of_the_code_is_not_several() -> None:
    for values in (
        {"commit": "abc", "commits": ["abc"]},
        {"commit": None},
        {"commit": None, "commits": ["abc"]},
    ):
        assert "several versions" not in " ".join(caption(values))


def test_it_tells_of_a_single_volume_and_of_an_unknown_number() -> None:
    assert "nothing of spread" in caption({"split": {"test": 1}})[0]
    assert "over the test volumes" in caption({})[0]


def test_a_valid_judge_needs_no_warning_and_any_other_does() -> None:
    assert validity({"valid": True}) == ""
    assert validity({"valid": False, "invalid_reason": "h(copy) is 0.3."}).startswith(
        "INVALID: h(copy) is 0.3. Do"
    )
    sentence = validity({"valid": False, "judge": {"dice_pooled": 0.6543, "h_copy": 0.3210}})
    assert sentence.startswith("INVALID")
    assert "0.654" in sentence
    assert "0.321" in sentence
    for unknown in ({}, {"valid": None}):
        assert validity(unknown).startswith("INVALID")


def test_balance_and_texture_are_explained_where_their_columns_stand() -> None:
    sentence = " ".join(caption(table1()))
    assert "Balance is the harmonic mean, by volume, of mask-normalised identity and the panel's" in sentence
    assert "an outline of the lesion that stayed raises it" in sentence
    assert "healthiness and balance are unreliable" in sentence
