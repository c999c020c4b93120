"""The command `train`: what comes next, what is refused, and how it ends when it is interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from fixtures.command_line import PROGRAM, SHORT, Run, refused
from fixtures.models import TINY
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.synthesis.model import Model


@pytest.mark.parametrize("method", ["conditional_gan", "cyclegan"])
def test_weights_without_a_segmentor_are_evaluated_next(
    run: Run, prepared_folder: Path, tmp_path: Path, method: str
) -> None:
    out = tmp_path / "run"
    trained = run("train", prepared_folder, "-o", out, "--method", method, *SHORT, "--device", "cpu")
    command = f"pseudohealthy evaluate {prepared_folder} --weights {out}/weights -o SCORES"
    assert trained == (0, f"Weights in {out}/weights. Next: {command}\n", "")
    _, *arguments = command.replace("SCORES", f"{tmp_path}/scores").split()
    assert run(*arguments, "--resegmentation-steps", 0).code == 0


def test_an_inpainter_is_used_in_python(run: Run, prepared_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    trained = run("train", prepared_folder, "-o", out, "--method", "inpainter", *SHORT, "--device", "cpu")
    call = f'Model.load(Path("{out}/weights")).inpaint(slices, masks)'
    assert trained == (0, f"Weights in {out}/weights. Next, in Python: {call}\n", "")
    prepared = Prepared.open(prepared_folder)
    slices, masks = prepared.images[:2], prepared.masks[:2]
    assert eval(call, {"Model": Model, "Path": Path, "slices": slices, "masks": masks}).shape == slices.shape


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(
    run: Run, prepared_folder: Path, tmp_path: Path
) -> None:
    said = run("train", prepared_folder, "-o", tmp_path / "run", *SHORT, "--dry-run")
    planned = yaml.safe_load(said.out)
    assert (said.code, planned["images"]) == (0, 4)
    assert planned["settings"]["networks"]["width"] == TINY["networks"]["width"]
    assert not (tmp_path / "run").exists()


def test_settings_that_cannot_be_used_are_told(run: Run, prepared_folder: Path, tmp_path: Path) -> None:
    command = ["train", prepared_folder, "-o", tmp_path / "run", *SHORT]
    misspelt = "training.imagess is not a setting; did you mean images?"
    refused(run(*command, "--set", "training.imagess=4"), misspelt)
    file = tmp_path / "settings.yaml"
    file.write_text("training: {imagess: 4}")
    refused(run(*command, "--config", file), misspelt)
    file.write_text("- paired")
    refused(run(*command, "--config", file), f"{file}: expected `key: value` lines")
    refused(run(*command, "--config", tmp_path / "none.yaml"), "none.yaml: cannot be read as a settings file")
    refused(run(*command, "--set", "training.images"), "expected KEY=VALUE")
    refused(run(*command, "--processes", 3), "training.batch_size 2 cannot be shared by 3 processes")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_an_interrupted_run_says_how_to_go_on(
    prepared_folder: Path, tmp_path: Path, processes: int, sent: signal.Signals, code: int
) -> None:
    """Ctrl-C comes to every process of a terminal, SIGTERM to the program alone."""
    command = [
        *PROGRAM,
        "train",
        str(prepared_folder),
        "-o",
        str(tmp_path / "run"),
        *SHORT,
        "--device",
        "cpu",
    ]
    process = subprocess.Popen(
        [*command, "--set", "training.images=100000", "--processes", str(processes)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a background job of a shell, as these tests may be, has SIGINT switched off
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "run/metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    send = os.killpg if sent == signal.SIGINT else os.kill
    send(process.pid, sent)
    out, err = process.communicate(timeout=60)  # which waits for all that could still write
    assert (process.returncode, out) == (code, "")
    assert err.endswith("pseudohealthy: interrupted; the same command goes on where it was\n")
    assert len(err.splitlines()) < 12  # the others are Lightning's, of how processes have met
    assert "Traceback" not in err
    assert err.count("interrupted") == 1
