"""Subjects sent to a running Dask cluster, whose machines see the same folders."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING
from uuid import uuid4

from pseudohealthy.bids_app.participant import Job, failure_records, process_subject
from pseudohealthy.bids_app.records import Record
from pseudohealthy.bids_app.selection import Subject
from pseudohealthy.errors import InputError, install_command, printable

if TYPE_CHECKING:
    from distributed import Client, Future

PATIENCE = 20  # seconds for the scheduler to answer


def run_dask(
    subjects: Sequence[Subject], job: Job, address: str, say: Callable[[str], object] = print
) -> Generator[list[Record], None, None]:
    """Heal subjects on the workers of a scheduler, in the order in which they get done.

    A worker that dies gives its subjects back: they are done by another, and what it had finished is found.
    A subject at which more than the scheduler's `allowed-failures` workers died (3) fails.

    Args:
        subjects: one task each.
        job: its folders must be the same on every worker.
        address: such as `tcp://10.0.0.1:8786`.
        say: told how many workers there are at the beginning; there may be none yet.

    Raises:
        InputError: before the first of them, nobody answers at the address, or Dask is not installed.
    """
    with _connected(address) as client:
        workers = len(client.scheduler_info(n_workers=-1)["workers"])
        say(f"{workers} workers at {address}" + ("" if workers else "; waiting for the first"))
        yield from _results(client, subjects, job)


def _connected(address: str) -> Client:
    try:
        from distributed import Client  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise InputError(f"--dask needs an extra; install it with: {install_command('cluster')}") from error
    try:
        return Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:  # a timeout is an OSError
        raise InputError(
            f"--dask {address}: no scheduler answers there ({' '.join(str(error).split())}); expected the "
            "address that `dask scheduler` tells, such as tcp://10.0.0.1:8786"
        ) from error


def _results(client: Client, subjects: Sequence[Subject], job: Job) -> Iterator[list[Record]]:
    from distributed import as_completed  # noqa: PLC0415

    run = uuid4().hex  # the key names the run: a scheduler remembers results of equal keys
    futures: dict[Future, Subject] = {
        client.submit(
            process_subject, subject, job, key=f"{printable(subject.label)}-{run}", pure=False
        ): subject
        for subject in subjects
    }
    for future in as_completed(list(futures), loop=client.loop):
        subject = futures.pop(future)
        try:
            done = future.result()
        except Exception as error:  # such as KilledWorker: this subject's, and no other's
            done = failure_records(subject, error, job)
        yield done
