"""Steps in groups that may run at once, and tasks in processes of their own."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from fixtures.experiments import experiment
from pseudohealthy.experiment.parallel_steps import LOG, parallel_groups, run_parallel
from pseudohealthy.experiment.steps import list_steps


@dataclass(frozen=True)
class Task:
    """Writes down its process, and a message."""

    out: Path

    def __call__(self, number: int) -> None:
        print(f"at work on {number}", file=sys.stderr, flush=True)
        (self.out / f"{number}.pid").write_text(str(os.getpid()), encoding="utf-8")


def test_a_method_s_rows_are_a_group_and_so_are_the_controls() -> None:
    measures = [step for step in list_steps(experiment(), "data") if step.kind == "measure"]
    groups = parallel_groups(measures)
    assert sorted(step.name for group in groups for step in group) == sorted(step.name for step in measures)
    assert [len(group) for group in groups] == [8, 2, 2, 2], "the largest first"
    for group in groups[1:]:
        assert len({(step.row.method, step.row.seed) for step in group if step.row is not None}) == 1
    trainings = [step for step in list_steps(experiment(), "data") if step.kind == "train"]
    assert parallel_groups(trainings) == [[step] for step in trainings]


def test_tasks_run_in_other_processes_and_log_in_their_folders(tmp_path: Path) -> None:
    tasks = [(f"task {number}", tmp_path / "log" / str(number)) for number in range(2)]
    lines: list[str] = []
    run_parallel(tasks, Task(tmp_path), 2, lines.append)
    processes = {(tmp_path / f"{number}.pid").read_text(encoding="utf-8") for number in range(2)}
    assert len(processes) == 2
    assert str(os.getpid()) not in processes
    for number, (name, folder) in enumerate(tasks):
        assert (folder / LOG).read_text(encoding="utf-8").endswith(f"at work on {number}\n")
        assert any(name in line for line in lines[1:])
