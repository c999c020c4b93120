"""Subjects healed at once, in processes of their own, one of which is killed at work."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from pathlib import Path

import pytest
import torch

from fixtures.bids_studies import break_images, study
from fixtures.models import saved
from pseudohealthy.bids_app.output_dataset import describe
from pseudohealthy.bids_app.participant import (
    MEMORY,
    Job,
    jobs_for,
    memory_limits,
    run_pool,
    run_serial,
)
from pseudohealthy.bids_app.records import read_record
from pseudohealthy.bids_app.selection import select
from pseudohealthy.errors import PseudohealthyError
from pseudohealthy.processes import processes

SUBJECTS = 4


def job_on(raw: Path, out: Path, weights: Path) -> Job:
    describe(raw, out)
    return Job.of(raw, out, weights, device="cpu", blend=False, overwrite=False)


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
    told = pytest.raises(PseudohealthyError, match=r"Permission denied; /dev/shm .* give --jobs 1")
    with told, processes(2):
        pass


def test_how_many_at_once() -> None:
    threads = torch.get_num_threads()
    assert jobs_for(1, "cpu") == 1
    assert 1 <= jobs_for(1000, "cpu") <= threads


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
    assert 8 * 2**30 // MEMORY == 3


def test_without_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert memory_limits(tmp_path) == []
