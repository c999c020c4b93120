"""How the programs end where something around them is broken, or a signal comes; their progress bar."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from fixtures.cohorts import study
from pseudohealthy.cli.program import progress_bar

ROOT = Path(__file__).parents[2]
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
    scan = next(study(tmp_path / "study", 1).rglob("*_FLAIR.nii*"))
    for name, *command in (
        ("pseudohealthy", "-m", MAIN, "synthesize", str(scan), "-o", "out"),
        ("pseudohealthy-bids", "-m", APP, "study", "out", "participant"),
    ):
        done = ran(tmp_path, *command, "--backend", "torch")
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


def entry_points() -> dict[str, str]:
    """The programs that are installed, and `module:function` of each."""
    scripts: dict[str, str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    return scripts


@pytest.mark.parametrize("name", ["pseudohealthy", "pseudohealthy-bids"])
@pytest.mark.parametrize("sent", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("when", ["import", "exec"])
def test_an_interruption_of_the_first_imports_is_one_line(
    tmp_path: Path, name: str, sent: str, when: str
) -> None:
    """The first package that is imported sends the signal, by itself or in code that it runs as text."""
    send = f"import os, signal; os.kill(os.getpid(), signal.{sent})"
    (tmp_path / "typer.py").write_text(send if when == "import" else f"exec({send!r})")
    module, _, function = entry_points()[name].partition(":")
    code = f"import sys; sys.argv[:] = ['{name}', '--help']\nfrom {module} import {function}\n{function}()"
    done = ran(tmp_path, "-c", code)
    assert done.stderr == f"{name}: interrupted; the same command goes on where it was\n"
    assert (done.returncode, done.stdout) == (130 if sent == "SIGINT" else 143, "")


def test_little_is_imported_before_interruptions_are_handled() -> None:
    """What is imported by then is the package's own, and what Python itself needs to start."""
    modules = {entry.partition(":")[0] for entry in entry_points().values()} | {"pseudohealthy.__main__"}
    code = f"import sys, {', '.join(sorted(modules))}\nprint(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert {"pseudohealthy.cli.program", "pseudohealthy.errors"} <= set(loaded.split())
    assert not {"typer", "rich", "click", "numpy", "json", "subprocess", "asyncio"} & set(loaded.split())


def test_without_a_terminal_nothing_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("prepare") as progress:
        progress(1, 3, "check P001")
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_the_bar_says_what_is_done_and_what_comes(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes the output for a terminal
    monkeypatch.setenv("COLUMNS", "120")
    with progress_bar("prepare") as progress:
        progress(0, 3, "hash P001")
        progress(2, 3, "check P002")
    out, err = capsys.readouterr()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", err)
    assert out == ""
    assert all(part in plain for part in ("prepare", "2/3", "check P002"))


def test_a_failure_inside_is_not_swallowed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="of its own"), progress_bar("prepare"):
        raise ValueError("of its own")
    assert capsys.readouterr() == ("", "")
