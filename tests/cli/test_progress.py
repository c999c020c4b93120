"""The bar of work that counts its steps."""

from __future__ import annotations

import re

import pytest

from pseudohealthy.cli.progress import steps


def test_without_a_terminal_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    with steps("prepare") as progress:
        progress(1, 3, "check P001")
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_the_bar_says_what_is_done_and_what_comes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes the output for a terminal
    monkeypatch.setenv("COLUMNS", "120")
    with steps("prepare") as progress:
        progress(0, 3, "hash P001")
        progress(2, 3, "check P002")
    out, err = capsys.readouterr()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", err)
    assert out == ""
    assert all(part in plain for part in ("prepare", "2/3", "check P002"))


def test_a_failure_inside_is_not_swallowed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="of its own"), steps("prepare"):
        raise ValueError("of its own")
    assert capsys.readouterr() == ("", "")
