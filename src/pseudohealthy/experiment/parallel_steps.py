"""Steps of an experiment in parallel, in processes of their own with their share of the cores.

On a CPU two of them on one core each are done sooner than one after the other on two: small networks leave
a second thread waiting.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from pathlib import Path

from pseudohealthy.experiment.steps import Step
from pseudohealthy.files import make_folder
from pseudohealthy.processes import processes

LOG = "log.txt"


def parallel_groups(steps: Sequence[Step]) -> list[list[Step]]:
    """The steps in groups that do not wait for each other, the largest first.

    One method's rows, and the controls, are a group: they share what networks made.
    """
    groups: dict[object, list[Step]] = {}
    for step in steps:
        row = step.row
        group = step.key if row is None else (row.method, row.preset, row.seed) if row.preset else "controls"
        groups.setdefault(group, []).append(step)
    return sorted(groups.values(), key=len, reverse=True)


def run_parallel(
    tasks: Sequence[tuple[str, Path]],
    do: Callable[[int], None],
    jobs: int,
    say: Callable[[str], object],
) -> None:
    """Do tasks, `jobs` at once, in their order; the first that fails stops those not yet begun.

    Args:
        tasks: name and folder of each; its messages while it works go to `log.txt` in the folder.
        do: does the task of that number; it is sent to another process, with all that it refers to.
        jobs: processes.
        say: prints a line; called when the tasks begin and as each is done.

    Raises:
        Exception: the first that a task raised.
    """
    with processes(jobs, tasks_each=1) as pool:
        began = time.monotonic()
        futures = {
            pool.submit(_logged, do, number, folder): name for number, (name, folder) in enumerate(tasks)
        }
        say(f"{len(tasks)} tasks, {jobs} at once; each tells how far it is in {LOG} of its folder")
        for number, future in enumerate(as_completed(futures), 1):
            future.result()
            minutes = (time.monotonic() - began) / 60
            say(f"[{number}/{len(tasks)}] {futures[future]} done after {minutes:.0f} min")


def _logged(do: Callable[[int], None], number: int, folder: Path) -> None:
    make_folder(folder)
    with (folder / LOG).open("a", encoding="utf-8") as log:
        os.dup2(log.fileno(), sys.stderr.fileno())
        do(number)
