"""Who processes the subjects: this process, a pool of processes, or the workers of a Dask cluster."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from pseudohealthy import cpu
from pseudohealthy.bids_app.job import Job
from pseudohealthy.bids_app.participant import load_model, process_subject
from pseudohealthy.bids_app.records import Record, failure_records
from pseudohealthy.bids_app.selection import Subject
from pseudohealthy.dask_cluster import call_on_workers, connected
from pseudohealthy.devices import device_of, on_cpu
from pseudohealthy.errors import PseudohealthyError
from pseudohealthy.processes import processes

BYTES_PER_PROCESS = 5 * 2**29  # stripping a skull takes nine tenths of it, other volumes take half

Results = Generator[list[Record], None, None]


def run_serial(subjects: Iterable[Subject], job: Job) -> Results:
    """Process one subject after the other in this process.

    Raises:
        InputError: before the first subject, for weights, a device or a backend that cannot be used.
    """
    load_model(job)
    for subject in subjects:
        yield process_subject(subject, job)


def run_pool(subjects: Sequence[Subject], job: Job, jobs: int) -> Results:
    """Process `jobs` subjects at once, each in a process of its own; results come as they are finished.

    While one process reads and writes, the others compute.

    Raises:
        InputError: before the first subject, for weights, a device or a backend that cannot be used.
    """
    load_model(job)
    with processes(min(jobs, len(subjects))) as pool:
        futures = {pool.submit(process_subject, subject, job): subject for subject in subjects}
        lost = []
        for future in as_completed(futures):
            try:
                yield future.result()
            except BrokenProcessPool:  # one subject broke it; every waiting one gets the error
                lost.append(futures[future])
    for subject in lost:
        yield _process_alone(subject, job)


def run_dask(
    subjects: Sequence[Subject], job: Job, address: str, say: Callable[[str], object] = print
) -> Results:
    """Process subjects on the workers of a Dask scheduler; results come as they are finished.

    The subjects of a worker that dies go to another, which skips what the first one had finished. A subject
    at which more workers died than the scheduler's `allowed-failures` (3) fails.

    Args:
        subjects: one task each.
        job: its folders must be the same on every worker.
        address: such as `tcp://10.0.0.1:8786`.
        say: called at the beginning with the number of workers, which may be 0.

    Raises:
        InputError: before the first subject, as `connected` does.
    """
    with connected(address, say) as client:
        calls = [(subject.label, (subject, job)) for subject in subjects]
        for number, future in call_on_workers(client, process_subject, calls):
            try:
                done = future.result()
            except Exception as error:  # such as KilledWorker: this subject's, and no other's
                done = failure_records(subjects[number], error, job)
            yield done


def default_jobs(subjects: int, device: str) -> int:
    """How many subjects are best processed at once: one for each core and 2.5 GiB of memory; on a GPU one."""
    if not on_cpu(device_of(device)):
        return 1
    known = hasattr(os, "sysconf")
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if known else BYTES_PER_PROCESS
    memory = min(physical, *memory_limits())
    return max(1, min(subjects, cpu.threads(), memory // BYTES_PER_PROCESS))


def memory_limits(root: Path = Path("/")) -> list[int]:
    """Bytes that the container or cluster job of this process may use (Linux' control groups).

    Args:
        root: of the file system.

    Returns:
        A limit for each group, of version 1 or 2, from the process's own to the outermost; none elsewhere.
    """
    try:
        groups = [line.split(":", 2) for line in (root / "proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return []
    tops = {"": ("", "memory.max"), "memory": ("memory", "memory.limit_in_bytes")}
    limits = []
    for _, kind, where in groups:
        if kind not in tops:
            continue
        folder, name = tops[kind]
        group = Path(where.lstrip("/"))
        for each in (group, *group.parents):
            with contextlib.suppress(OSError, ValueError):  # a group without a limit says "max"
                limits.append(int((root / "sys/fs/cgroup" / folder / each / name).read_text()))
    return limits


def _process_alone(subject: Subject, job: Job) -> list[Record]:
    """Process a subject in a pool of its own, so that a crash is this subject's."""
    with processes(1) as pool:
        try:
            return pool.submit(process_subject, subject, job).result()
        except BrokenProcessPool:
            error = PseudohealthyError(
                "the process was ended from outside, perhaps for lack of memory; the same command goes on "
                "where it was, with a smaller --jobs if it happens again"
            )
            return failure_records(subject, error, job)
