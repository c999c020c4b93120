"""The command `export`."""

from __future__ import annotations

from pathlib import Path

from fixtures.command_line import Run, refused
from pseudohealthy.errors import RESEARCH_USE


def test_networks_are_exported_into_an_empty_folder_alone(run: Run, weights: Path, tmp_path: Path) -> None:
    command = ["export", "--weights", weights, "--format", "monai", "-o", tmp_path / "out"]
    ran = run(*command)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[0] == str(tmp_path / "out/configs/inference.json")
    assert ran.out.endswith(f"{RESEARCH_USE}\n")
    refused(run(*command), "out: is not empty")
