"""Steps of an experiment at once: in processes of this machine, or on the workers of a Dask cluster.

On a CPU two of them on one core each are done sooner than one after the other on two: small networks leave
a second thread waiting.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, as_completed, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from pseudohealthy import __version__
from pseudohealthy.dask_cluster import call_on_workers, connected, expect_fit, expect_wanted
from pseudohealthy.errors import InputError, PseudohealthyError
from pseudohealthy.experiment.steps import Step
from pseudohealthy.files import make_folder
from pseudohealthy.processes import processes

if TYPE_CHECKING:
    from distributed import Client

LOG = "log.txt"
POLL_SECONDS = 1.0  # until a worker notices that nobody wants its task any more
GRACE_SECONDS = 5.0  # for a worker to notice that it is ended together with the process of its task
GOES_ON = "the same command goes on where it was"
TRIALS = 10  # of a task, each of four workers that died: each time it goes on from its last checkpoint

Say = Callable[[str], object]  # prints a line
Task = tuple[str, Path]  # a name, and the folder in whose `log.txt` the task says how far it is


class _Outcome(Protocol):
    """A future, of Python or Dask."""

    def result(self) -> object:
        """Wait, then return what the task returned or raise what it raised."""


class Parallel(Protocol):
    """Where tasks are done at once."""

    fewest: ClassVar[int]  # fewer tasks are not worth it, and are left to the program itself

    def run(self, tasks: Sequence[Task], do: Callable[[int], None], say: Say) -> None:
        """Do tasks, the first ones first; the first that fails ends it.

        Args:
            tasks: those to do.
            do: does the task of that number; it is sent to another process, with all that it refers to.
            say: prints a line; called when the tasks begin and as each is done.

        Raises:
            Exception: the first that a task raised.
        """


@contextlib.contextmanager
def parallel(jobs: int, dask: str | None, say: Say) -> Iterator[Parallel | None]:
    """Where tasks are done at once; None: nowhere, the program does one after the other.

    Args:
        jobs: processes on this machine.
        dask: the address of a Dask scheduler, whose workers are taken in place of processes here.
        say: prints a line about the cluster.

    Raises:
        InputError: the cluster cannot be used.
    """
    if dask is None:
        yield LocalProcesses(jobs) if jobs > 1 else None
        return
    with connected(dask, say) as client:
        yield DaskWorkers(client, dask)


@dataclass(frozen=True)
class LocalProcesses:
    """Processes of this machine that share the cores; after an error, what is begun is finished."""

    jobs: int
    fewest: ClassVar[int] = 2

    def run(self, tasks: Sequence[Task], do: Callable[[int], None], say: Say) -> None:
        """See `Parallel`."""
        with processes(self.jobs, tasks_each=1) as pool:
            numbers = {
                pool.submit(_logged, do, number, folder): number for number, (_, folder) in enumerate(tasks)
            }
            done = ((numbers[future], future) for future in as_completed(numbers))
            _report(tasks, done, f"{self.jobs} at once", say)


@dataclass(frozen=True)
class DaskWorkers:
    """Workers of a Dask cluster, on a file system that all see; after an error, what is begun is ended.

    The task of a worker that dies is done again by another.
    """

    client: Client
    address: str
    fewest: ClassVar[int] = 1

    def run(self, tasks: Sequence[Task], do: Callable[[int], None], say: Say) -> None:
        """See `Parallel`."""
        from distributed import KilledWorker  # noqa: PLC0415  (an extra)

        calls = [(name, (do, number, folder, __version__)) for number, (name, folder) in enumerate(tasks)]
        done = call_on_workers(self.client, _do_in_own_process, calls, TRIALS)
        try:
            _report(tasks, done, f"on the workers of {self.address}", say, alone=True)
        except CancelledError as error:
            raise PseudohealthyError(f"--dask {self.address}: lost the scheduler; {GOES_ON}") from error
        except KilledWorker as error:
            name = str(error.task).rpartition("-")[0]
            raise PseudohealthyError(f"{name}: too many workers ended while at it; {GOES_ON}") from error


def parallel_groups(steps: Sequence[Step]) -> list[list[Step]]:
    """The steps in groups that do not wait for each other, the largest first.

    One method's rows, and the controls, are a group: they share what networks made.
    """
    groups: dict[object, list[Step]] = {}
    for step in steps:
        row = step.row
        group: object = "controls"
        if row is None:
            group = step.key
        elif row.preset:
            group = (row.method, row.preset, row.labelled_fraction, row.seed)
        groups.setdefault(group, []).append(step)
    return sorted(groups.values(), key=len, reverse=True)


def _report(
    tasks: Sequence[Task],
    done: Iterable[tuple[int, _Outcome]],
    where: str,
    say: Say,
    *,
    alone: bool = False,
) -> None:
    """Say which task is done, as each is; raises what the first that failed raised.

    Args:
        tasks: all of them.
        done: number and outcome of each, as it is done.
        where: they are done.
        say: prints a line.
        alone: each has a pool of its own; else the end of one's process breaks that of all.
    """
    began = time.monotonic()
    say(f"{len(tasks)} tasks, {where}; each tells how far it is in {LOG} of its folder")
    for count, (number, outcome) in enumerate(done, 1):
        try:
            outcome.result()
        except BrokenProcessPool as error:
            whose = f"{tasks[number][0]}: its" if alone else "a step's"
            raise PseudohealthyError(
                f"{whose} process was ended from outside, perhaps for lack of memory; {GOES_ON}"
            ) from error
        minutes = (time.monotonic() - began) / 60
        say(f"[{count}/{len(tasks)}] {tasks[number][0]} done after {minutes:.0f} min")


def _do_in_own_process(do: Callable[[int], None], number: int, folder: Path, version: str) -> None:
    """On a worker: do a task in a process that ends with the worker, and once nobody wants it any more."""
    expect_fit(version)
    out = folder.parents[1]
    if not out.is_dir():
        raise InputError(
            f"{out}: not there on {platform.node()}, where a worker runs; --dask expects folders that all "
            "machines see under the same path"
        )
    with processes(1) as pool:
        future = pool.submit(_logged, do, number, folder)
        while not wait([future], POLL_SECONDS).done:
            expect_wanted()
    try:
        future.result()
    except BrokenProcessPool:
        time.sleep(GRACE_SECONDS)  # a cluster that ends this worker ends its process, too, perhaps before it
        expect_wanted()
        raise


def _logged(do: Callable[[int], None], number: int, folder: Path) -> None:
    make_folder(folder)
    with (folder / LOG).open("a", encoding="utf-8") as log:
        os.dup2(log.fileno(), sys.stderr.fileno())
        do(number)
