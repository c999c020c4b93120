"""The program, tiny weights and an image."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from fixtures.brains import brain, write
from fixtures.command_line import Ran, Run
from fixtures.models import saved
from pseudohealthy.cli.program import main


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The program's own entry point with these arguments."""

    def entered(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["pseudohealthy", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return Ran(end.value.code, *capsys.readouterr())

    return entered


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write(tmp_path / "sub-01_FLAIR.nii.gz", brain())
