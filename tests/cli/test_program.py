"""How the programs end where something around them is broken, or a signal comes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.bids_studies import study

MAIN = "pseudohealthy.cli.main"
APP = "pseudohealthy.cli.bids_app"


def ran(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Python with the packages in a folder before all others."""
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, check=False, cwd=folder
    )


BROKEN = {
    "missing": "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')",
    "link": "raise ImportError('libtorch_cpu.so: undefined symbol: iJIT_NotifyEvent\\nsecond line')",
    "library": "import ctypes; ctypes.CDLL('libcudart.so.99')",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_torch_is_told_in_one_line_with_what_to_do(tmp_path: Path, kind: str) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").write_text(BROKEN[kind])
    study(tmp_path / "study", 1)
    for name, *command in (
        ("pseudohealthy", "-m", MAIN, "synthesize", "scan.nii", "-o", "out"),
        ("pseudohealthy-bids", "-m", APP, "study", "out", "participant"),
    ):
        done = ran(tmp_path, *command)
        assert (done.returncode, done.stdout) == (1, "")
        assert len(done.stderr.splitlines()) == 1
        assert done.stderr.startswith(f"{name}: a package that is needed cannot be loaded (")
        assert "; install it again, with `pip install" in done.stderr


@pytest.mark.parametrize(
    "command", [(MAIN, "--help"), (MAIN, "info"), (MAIN, "train", "--help"), (APP, "--help")]
)
def test_help_and_info_need_no_torch(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "torch.py").write_text(BROKEN["link"])
    done = ran(tmp_path, "-m", *command)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_interrupted_import_ends_with_the_same_exit_code(tmp_path: Path) -> None:
    """Packages run text as code while they are imported, which Python itself would end by the signal."""
    script = """
import typer
from pseudohealthy.cli.program import run

app = typer.Typer()

@app.command()
def command():
    exec("raise KeyboardInterrupt")

run("program", app)
"""
    done = ran(tmp_path, "-c", script)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "program: interrupted; the same command goes on where it was\n"
