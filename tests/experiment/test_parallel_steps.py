"""Steps in groups that may run at once, and tasks in processes of their own, here and on a Dask worker."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fixtures.experiments import experiment
from pseudohealthy import dask_cluster
from pseudohealthy.errors import InputError, PseudohealthyError
from pseudohealthy.experiment.parallel_steps import LOG, parallel, parallel_groups
from pseudohealthy.experiment.steps import list_steps


@dataclass(frozen=True)
class Task:
    """Writes down its process, and a message."""

    out: Path

    def __call__(self, number: int) -> None:
        print(f"at work on {number}", file=sys.stderr, flush=True)
        (self.out / f"{number}.pid").write_text(str(os.getpid()), encoding="utf-8")


def refuse(number: int) -> None:
    raise InputError(f"{number} cannot be used")


def die(number: int) -> None:  # noqa: ARG001
    os.kill(os.getpid(), signal.SIGKILL)


@contextlib.contextmanager
def cluster(**options: int) -> Iterator[str]:
    """The address of a scheduler in this process, with a worker in it."""
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=":0", **options) as local:
        yield local.scheduler_address


def test_a_method_s_rows_are_a_group_and_so_are_the_controls() -> None:
    measures = [step for step in list_steps(experiment(), "data") if step.kind == "measure"]
    groups = parallel_groups(measures)
    assert sorted(step.name for group in groups for step in group) == sorted(step.name for step in measures)
    assert [len(group) for group in groups] == [8, 2, 2, 2], "the largest first"
    for group in groups[1:]:
        assert len({(step.row.method, step.row.seed) for step in group if step.row is not None}) == 1
    trainings = [step for step in list_steps(experiment(), "data") if step.kind == "train"]
    assert parallel_groups(trainings) == [[step] for step in trainings]


@pytest.mark.parametrize("jobs", [2, None])
def test_tasks_run_in_other_processes_and_log_in_their_folders(tmp_path: Path, jobs: int | None) -> None:
    """In two of this machine, and on a worker of Dask."""
    tasks = [(f"task {number}", tmp_path / "log" / str(number)) for number in range(2)]
    lines: list[str] = []
    with contextlib.ExitStack() as stack:
        address = None if jobs else stack.enter_context(cluster(threads_per_worker=1))
        workers = stack.enter_context(parallel(jobs or 1, address, lines.append))
        assert workers is not None
        workers.run(tasks, Task(tmp_path), lines.append)
    processes = {(tmp_path / f"{number}.pid").read_text(encoding="utf-8") for number in range(2)}
    assert len(processes) == 2
    assert str(os.getpid()) not in processes
    for number, (name, folder) in enumerate(tasks):
        assert (folder / LOG).read_text(encoding="utf-8").endswith(f"at work on {number}\n")
        assert any(name in line for line in lines[1:])


def test_one_job_and_no_cluster_is_nothing_at_once() -> None:
    with parallel(1, None, print) as workers:
        assert workers is None


def test_what_a_task_raises_on_a_worker_is_raised_here(tmp_path: Path) -> None:
    task = [("judge first", tmp_path / "judge" / "first")]
    with cluster(threads_per_worker=1) as address, parallel(1, address, print) as workers:
        assert workers is not None
        with pytest.raises(InputError, match="0 cannot be used"):
            workers.run(task, refuse, print)
        with pytest.raises(PseudohealthyError, match="judge first: its process was ended from outside"):
            workers.run(task, die, print)
        with pytest.raises(InputError, match=r"/none: not there on .*, where a worker runs"):
            workers.run([("judge first", tmp_path / "none/judge/first")], refuse, print)


def test_a_worker_that_would_train_several_at_once_is_refused(tmp_path: Path) -> None:
    task = [("judge first", tmp_path / "judge" / "first")]
    with cluster(threads_per_worker=2) as address, parallel(1, address, print) as workers:
        assert workers is not None
        with pytest.raises(InputError, match=r"2 tasks at once, expected one.*--nthreads 1"):
            workers.run(task, refuse, print)


def test_a_worker_of_another_version_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that joins after the versions were compared."""
    task = [("judge first", tmp_path / "judge" / "first")]
    with cluster(threads_per_worker=1) as address, parallel(1, address, print) as workers:
        assert workers is not None
        monkeypatch.setattr(dask_cluster, "__version__", "0.0.1")
        with pytest.raises(InputError, match=r"has pseudohealthy 0\.0\.1, expected .*; install one version"):
            workers.run(task, refuse, print)
