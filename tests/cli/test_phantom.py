"""The command `phantom`."""

from __future__ import annotations

from pathlib import Path

from fixtures.command_line import Run, refused


def test_phantoms_that_cannot_be_made_are_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    refused(run("phantom", "-o", tmp_path, "--spacing", 6), "is not the requested phantom data set")
    refused(run("phantom", "-o", tmp_path / "out", "--spacing", 9), "spacing is 9.0 mm; expected 0.5 to 6")
    refused(run("phantom", "-o", tmp_path / "out", "--patients", 0), "expected one subject or more")
