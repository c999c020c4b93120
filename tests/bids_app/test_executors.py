"""Subjects processed at once: by processes, one of which is killed, and by the workers of Dask."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from fixtures.cohorts import NO_IMAGE, break_images, study
from fixtures.dask_programs import PATIENCE, scheduler, wait_for, worker
from fixtures.models import saved
from pseudohealthy.bids_app.executors import (
    BYTES_PER_PROCESS,
    default_jobs,
    memory_limits,
    run_pool,
    run_serial,
)
from pseudohealthy.bids_app.job import Job
from pseudohealthy.bids_app.output_dataset import describe
from pseudohealthy.bids_app.records import read_record
from pseudohealthy.bids_app.selection import select
from pseudohealthy.errors import PseudohealthyError
from pseudohealthy.processes import processes

SUBJECTS = 4
DASK_SUBJECTS = 12


def job_on(raw: Path, out: Path, weights: Path) -> Job:
    describe(raw, out)
    return Job(raw, out, weights, device="cpu").checked()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("weights"))


def test_it_comes_to_the_same(tmp_path: Path, weights: Path) -> None:
    raw = study(tmp_path / "study", SUBJECTS)
    reasons = break_images(raw)
    job = job_on(raw, tmp_path / "at_once", weights)
    statuses = [records[0].status for records in run_pool(select(raw), job, 2)]
    assert (statuses.count("done"), statuses.count("failed")) == (SUBJECTS, len(reasons))
    alone = job_on(raw, tmp_path / "alone", weights)
    assert len(list(run_serial(select(raw), alone))) == len(statuses)
    volumes = [path.relative_to(alone.out) for path in alone.out.rglob("*.nii.gz")]
    assert len(volumes) == 4 * SUBJECTS
    assert all((job.out / path).read_bytes() == (alone.out / path).read_bytes() for path in volumes)


@pytest.mark.slow
def test_a_process_killed_once_takes_nobody_along(tmp_path: Path, weights: Path) -> None:
    raw = study(tmp_path / "study", SUBJECTS)
    job = job_on(raw, tmp_path / "out", weights)
    statuses: list[str] = []
    for records in run_pool(select(raw), job, 2):
        if not statuses:
            os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)
        statuses.append(records[0].status)
    assert len(statuses) == SUBJECTS
    assert set(statuses) <= {"done", "skipped"}


@pytest.mark.slow
def test_processes_killed_again_and_again_are_told_and_a_rerun_does_the_rest(
    tmp_path: Path, weights: Path
) -> None:
    """What an earlier run finished stays finished; the others fail with a reason, until the next run."""
    raw = study(tmp_path / "study", 3)
    job = job_on(raw, tmp_path / "out", weights)
    subjects = select(raw)
    (finished,) = run_serial(subjects[:1], job)
    over = threading.Event()

    def kill() -> None:
        while not over.wait(0.05):
            for child in multiprocessing.active_children():
                os.kill(child.pid or 0, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    records = [record for (record,) in run_pool(subjects, job, 2)]
    over.set()
    killer.join()
    assert [record.status for record in records] == ["failed"] * 3
    assert all("--jobs" in (record.reason or "") for record in records)
    assert read_record(job.out, finished[0].image or "") == finished[0]
    again = sorted(record.status for (record,) in run_pool(subjects, job, 2))
    assert again == ["done", "done", "skipped"]


def test_a_machine_where_processes_cannot_meet_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("_multiprocessing.SemLock", refused)
    result = pytest.raises(PseudohealthyError, match=r"Permission denied; /dev/shm .* give --jobs 1")
    with result, processes(2):
        pass


def test_how_many_at_once() -> None:
    threads = torch.get_num_threads()
    assert default_jobs(1, "cpu") == 1
    assert 1 <= default_jobs(1000, "cpu") <= threads


@pytest.mark.parametrize(
    ("groups", "limits"),
    [
        ("0::/\n", {"memory.max": "8589934592\n"}),
        ("0::/slurm/job_7/step_0\n", {"slurm/job_7/memory.max": "8589934592\n", "memory.max": "max\n"}),
        ("4:memory:/job\n3:cpuset:/\n0::/\n", {"memory/job/memory.limit_in_bytes": "8589934592\n"}),
    ],
)
def test_the_limit_of_a_container_or_job_is_found(
    tmp_path: Path, groups: str, limits: dict[str, str]
) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(groups)
    for name, text in limits.items():
        file = tmp_path / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert memory_limits(tmp_path) == [8 * 2**30]
    assert 8 * 2**30 // BYTES_PER_PROCESS == 3


def test_without_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert memory_limits(tmp_path) == []


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Of a scheduler that runs."""
    with scheduler(tmp_path) as found:
        yield found


def app_on(address: str, raw: Path, out: Path, weights: Path) -> list[str]:
    options = [raw, out, "participant", "--weights", weights, "--dask", address]
    return [sys.executable, "-m", "pseudohealthy.cli.bids_app", *map(str, options)]


def first_record(out: Path) -> dict[str, str]:
    """The record of whichever image is done first."""
    found = wait_for(lambda: list((out / "logs").rglob("sub-*.nii.gz.json")))
    record: dict[str, str] = json.loads(found[0].read_text())
    return record


@pytest.mark.slow
def test_a_killed_worker_s_subjects_are_done_by_the_other(address: str, tmp_path: Path) -> None:
    raw, out = study(tmp_path / "study", DASK_SUBJECTS), tmp_path / "out"
    reasons = break_images(raw)
    command = app_on(address, raw, out, saved(tmp_path / "weights"))
    with worker(address, tmp_path / "a") as one, worker(address, tmp_path / "b") as two:
        app = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        killed = int(first_record(out)["machine"].rpartition(":")[2])
        assert killed in {one.pid, two.pid}
        os.kill(killed, signal.SIGKILL)
        result, failed = app.communicate(timeout=PATIENCE)
    assert app.returncode == 1
    summary = re.search(r"(\d+) done, (\d+) skipped, (\d+) failed, 1 no image; see", result)
    assert summary, result + failed
    # what the killed worker had done, and could not tell of any more, its heir finds finished
    assert int(summary[1]) + int(summary[2]) == DASK_SUBJECTS
    assert int(summary[3]) == len(reasons)
    assert len(list(out.glob("sub-*/anat/*_desc-pseudohealthy_FLAIR.nii.gz"))) == DASK_SUBJECTS
    assert set(re.findall(r"^failed: (\S+): ", failed, re.MULTILINE)) == set(reasons)
    assert f"no image: {NO_IMAGE}: no FLAIR image" in failed
    did = [
        json.loads(path.read_text())["machine"].rpartition(":")[2]
        for path in (out / "logs").rglob("*.nii.gz.json")
    ]
    assert set(did) <= {str(one.pid), str(two.pid)}
    assert did.count(str(killed)) < DASK_SUBJECTS


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
    assert "0 done, 0 skipped, 1 failed; see" in app.stdout
