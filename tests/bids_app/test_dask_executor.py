"""Subjects on a Dask cluster: a real scheduler and real workers, one of which is killed at work."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures.bids_studies import SKIPPED, break_images, study
from fixtures.models import saved
from pseudohealthy.bids_app import dask_executor
from pseudohealthy.bids_app.output_dataset import describe
from pseudohealthy.bids_app.participant import Job
from pseudohealthy.bids_app.selection import select
from pseudohealthy.errors import InputError

SUBJECTS = 12
PATIENCE = 180  # seconds; what is waited for comes within a few on an idle machine


@contextlib.contextmanager
def process(*command: object) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs until the block ends."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    quiet = subprocess.DEVNULL
    running = subprocess.Popen(
        [sys.executable, *map(str, command)], stdout=quiet, stderr=quiet, env=environment
    )
    try:
        yield running
    finally:
        running.terminate()
        running.wait(PATIENCE)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Of a scheduler that runs."""
    told = tmp_path / "scheduler.json"
    options = ["--host", "127.0.0.1", "--port", 0, "--no-dashboard", "--scheduler-file", told]
    with process("-m", "distributed.cli.dask_scheduler", *options):
        wait_for(told)
        yield json.loads(told.read_text())["address"]


def worker(
    address: str, folder: Path, *more: object
) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    options = ["--nthreads", 1, "--no-nanny", "--no-dashboard", "--local-directory", folder]
    return process("-m", "distributed.cli.dask_worker", address, *options, *more)


def app_on(address: str, raw: Path, out: Path, weights: Path) -> list[str]:
    options = [raw, out, "participant", "--weights", weights, "--dask", address]
    return [sys.executable, "-m", "pseudohealthy.cli.bids_app", *map(str, options)]


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not path.exists() or not path.stat().st_size:
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(0.05)


def first_record(out: Path) -> dict[str, str]:
    """The record of whichever image is done first."""
    deadline = time.monotonic() + PATIENCE
    while not (found := list((out / "logs").rglob("sub-*.nii.gz.json"))):
        assert time.monotonic() < deadline, "nothing got done"
        time.sleep(0.02)
    record: dict[str, str] = json.loads(found[0].read_text())
    return record


@pytest.mark.slow
def test_a_killed_worker_s_subjects_are_done_by_the_other(address: str, tmp_path: Path) -> None:
    raw, out = study(tmp_path / "study", SUBJECTS), tmp_path / "out"
    reasons = break_images(raw)
    command = app_on(address, raw, out, saved(tmp_path / "weights"))
    with worker(address, tmp_path / "a") as one, worker(address, tmp_path / "b") as two:
        app = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        killed = int(first_record(out)["machine"].rpartition(":")[2])
        assert killed in {one.pid, two.pid}
        os.kill(killed, signal.SIGKILL)
        told, failed = app.communicate(timeout=PATIENCE)
    assert app.returncode == 1
    summary = re.search(r"(\d+) done, (\d+) kept, (\d+) failed, 1 skipped; see", told)
    assert summary, told + failed
    # what the killed worker had done, and could not tell of any more, its heir finds finished
    assert int(summary[1]) + int(summary[2]) == SUBJECTS
    assert int(summary[3]) == len(reasons)
    assert len(list(out.glob("sub-*/anat/*_desc-pseudohealthy_FLAIR.nii.gz"))) == SUBJECTS
    assert set(re.findall(r"^failed: (\S+): ", failed, re.MULTILINE)) == set(reasons)
    assert f"skipped: {SKIPPED}: no FLAIR image" in failed
    did = [
        json.loads(path.read_text())["machine"].rpartition(":")[2]
        for path in (out / "logs").rglob("*.nii.gz.json")
    ]
    assert set(did) <= {str(one.pid), str(two.pid)}
    assert did.count(str(killed)) < SUBJECTS


@pytest.mark.slow
def test_a_subject_that_no_worker_survives_is_a_failure(address: str, tmp_path: Path) -> None:
    """One that kills four workers (by their memory, say) must not be sent round for ever."""
    raw, out = study(tmp_path / "study", 1), tmp_path / "out"
    command = app_on(address, raw, out, saved(tmp_path / "weights"))
    deadly = tmp_path / "deadly.py"
    deadly.write_text(
        "import os, pseudohealthy.bids_app.participant as p\n"
        "def process_subject(subject, job):\n    os._exit(9)\n"
        "process_subject.__module__ = p.__name__\np.process_subject = process_subject\n"
    )
    with contextlib.ExitStack() as workers:
        for number in range(4):  # Dask gives up a task at the fourth
            workers.enter_context(worker(address, tmp_path / str(number), "--preload", deadly))
        app = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert app.returncode == 1
    assert "failed: sub-01: KilledWorker: " in app.stderr
    assert "0 done, 0 kept, 1 failed; see" in app.stdout


def test_nobody_at_the_address_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_executor, "PATIENCE", 1)
    raw, out = study(tmp_path / "study", 1), tmp_path / "out"
    describe(raw, out)
    job = Job.of(raw, out, saved(tmp_path / "weights"), device="cpu", blend=False, overwrite=False)
    for address in ("tcp://127.0.0.1:1", "nonsense://here"):
        with pytest.raises(InputError, match=f"--dask {address}: no scheduler answers there"):
            next(dask_executor.run_dask(select(raw), job, address))


def test_without_dask_its_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    job = Job(tmp_path, tmp_path, tmp_path, "")
    with pytest.raises(InputError, match=r"pip install '\.\[cluster\]'"):
        next(dask_executor.run_dask([], job, "tcp://127.0.0.1:1"))
