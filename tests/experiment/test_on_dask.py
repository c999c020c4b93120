"""An experiment on the workers of a Dask cluster, whatever ends on the way: a worker, a step, the program."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from fixtures.command_line import PROGRAM
from fixtures.dask_programs import PATIENCE, scheduler, wait_for, worker
from fixtures.experiments import SMOKE, without_times
from pseudohealthy.training.run_folder import SNAPSHOTS, STATE
from pseudohealthy.training.weights import WEIGHTS

pytestmark = pytest.mark.slow
# time to be killed in, of the quick one and of the slow one
QUICK, SLOW = (f"training: {{images: {images}, snapshot_every: 200}}" for images in (800, 400))
SETTINGS = (
    f"methods=[{{method: conditional_gan, {QUICK}}}, {{method: paired, {SLOW}}}]",
    "judges.first.training.images=24",
    "resegmentation_steps=2",
    "data.phantom.patients=9",
)


class Step(NamedTuple):
    """A training that is running."""

    run: Path
    process: int


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with scheduler(tmp_path_factory.mktemp("scheduler")) as found:
        yield found


def reproduce(out: Path, *more: str) -> list[str]:
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    return [*PROGRAM, "reproduce", str(SMOKE), *settings, "-o", str(out), "--device", "cpu", *more]


def begun(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )


def parent_of(process: int) -> int | None:
    """The process that started it; None: it has ended."""
    shown = subprocess.run(
        ["ps", "-o", "ppid=,stat=", "-p", str(process)], capture_output=True, text=True, check=False
    )
    words = shown.stdout.split()
    return int(words[0]) if words and not words[1].startswith("Z") else None


def running_step(out: Path, worker: int) -> Step | None:
    """A method's training by a worker, at a checkpoint behind a snapshot."""
    for run in out.glob("train/*/run"):
        with contextlib.suppress(OSError, ValueError):
            step = Step(run, int((run / ".lock").read_text().rpartition(":")[2]))
            made = [path.stat().st_mtime for path in (first_snapshot(run), run / STATE)]
            if parent_of(step.process) == worker and made == sorted(made):
                return step
    return None


def running_step_of(
    out: Path, *workers: subprocess.Popen[bytes]
) -> tuple[Step, subprocess.Popen[bytes]] | None:
    """As `running_step`, of any of the workers, and whose it is."""
    return next(((step, each) for each in workers if (step := running_step(out, each.pid))), None)


def first_snapshot(run: Path) -> Path:
    return run / SNAPSHOTS / "0000200" / WEIGHTS


def test_a_killed_worker_s_training_goes_on_at_another_and_the_table_is_the_same(
    address: str, tmp_path: Path
) -> None:
    alone = begun(reproduce(tmp_path / "alone"))
    alone.communicate(timeout=5 * PATIENCE)
    out = tmp_path / "out"
    with worker(address, tmp_path / "a") as one, worker(address, tmp_path / "b") as other:
        program = begun(reproduce(out, "--dask", address))
        step, its = wait_for(lambda: running_step_of(out, one, other))  # whichever got it
        its.kill()
        made = first_snapshot(step.run).stat().st_mtime_ns
        _, lines = program.communicate(timeout=5 * PATIENCE)
    assert (alone.returncode, program.returncode) == (0, 0), lines
    assert first_snapshot(step.run).stat().st_mtime_ns == made, (
        "it went on from its checkpoint: nothing before it was made again"
    )
    for kind in ("judge", "train", "select", "measure"):
        assert f"{kind} " in lines
    assert "[6/6] " in lines, "as each is done"
    tables = [
        json.loads((folder / "results/table1.json").read_text()) for folder in (tmp_path / "alone", out)
    ]
    assert without_times(tables[0]) == without_times(tables[1])


@pytest.mark.parametrize(
    ("ended", "by", "result"),
    [
        ("program", signal.SIGINT, (130, "interrupted; the same command goes on where it was")),
        ("program", signal.SIGKILL, (-signal.SIGKILL, "")),
        ("step", signal.SIGKILL, (1, "for lack of memory; the same command goes on where it was")),
    ],
)
def test_what_ends_on_the_way_leaves_nothing_running(
    address: str, tmp_path: Path, ended: str, by: signal.Signals, result: tuple[int, str]
) -> None:
    """Ctrl-C and a killed program end what its workers do for it, and a killed step ends the program."""
    code, words = result
    with worker(address, tmp_path / "a") as one:
        program = begun(reproduce(tmp_path / "out", "--dask", address))
        step = wait_for(lambda: running_step(tmp_path / "out", one.pid))
        os.kill(program.pid if ended == "program" else step.process, by)
        _, lines = program.communicate(timeout=PATIENCE)
        wait_for(lambda: parent_of(step.process) is None)
        assert one.poll() is None, "the worker is there for the next"
    assert program.returncode == code
    assert lines.splitlines()[-1].endswith(words)
    assert "Traceback" not in lines
