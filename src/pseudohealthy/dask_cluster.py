"""A Dask cluster: the connection to its scheduler, and functions called on its workers."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pseudohealthy import __version__
from pseudohealthy.errors import InputError, install_command, printable

if TYPE_CHECKING:
    from distributed import Client, Future

SCHEDULER_TIMEOUT = 20  # seconds
OURS = ("pseudohealthy", "torch")  # packages whose versions are compared, beside Python and those of Dask
ESSENTIAL = ("python", "distributed", "pseudohealthy")  # another one of these is refused
COMPUTING = ("numpy", "torch")


@contextlib.contextmanager
def connected(address: str, say: Callable[[str], object]) -> Iterator[Client]:
    """A client of the scheduler at an address; at the end of the block its tasks are wanted no more.

    Args:
        address: such as `tcp://10.0.0.1:8786`.
        say: called with the number of workers, which may be 0, and with versions that differ.

    Raises:
        InputError: Dask is not installed, no scheduler answers at the address, or a machine that is in the
            cluster by now has another version of what must be the same.
    """
    with _client(address) as client:
        differing = _differing_versions(client.get_versions(packages=OURS))
        for package in ESSENTIAL:
            if package in differing:
                raise InputError(
                    f"--dask {address}: {package} is {differing[package]}; install one version everywhere"
                )
        workers = len(workers_of(client))
        say(f"{workers} workers at {address}" + ("" if workers else "; waiting for the first"))
        for package in COMPUTING:
            if package in differing:
                say(f"note: {package} is {differing[package]}: figures may differ in their last digits")
        yield client


def workers_of(client: Client) -> Mapping[str, Mapping[str, Any]]:
    """What the scheduler knows of each worker, by address; `nthreads` is how many tasks it does at once."""
    workers: Mapping[str, Mapping[str, Any]] = client.scheduler_info(n_workers=-1)["workers"]
    return workers


def call_on_workers(
    client: Client, do: Callable[..., object], calls: Sequence[tuple[str, Sequence[object]]], trials: int = 1
) -> Iterator[tuple[int, Future]]:
    """Call a function on whichever worker is free, once for each name and arguments in `calls`.

    The call of a worker that dies goes to another. When more have died than the scheduler's
    `allowed-failures` (3), at work on it or with it in their queue, that was one of its trials; the future of
    the last trial fails with Dask's `KilledWorker`.

    Yields:
        Each call's number and future, as it is done.
    """
    from distributed import KilledWorker, as_completed  # noqa: PLC0415  (an extra)

    def submit(number: int) -> Future:
        name, arguments = calls[number]
        # the key names the trial: a scheduler remembers results of equal keys
        return client.submit(do, *arguments, key=f"{printable(name)}-{uuid4().hex}", pure=False)

    numbers = {submit(number): number for number in range(len(calls))}
    tried = dict.fromkeys(numbers.values(), 1)
    futures = as_completed(list(numbers), loop=client.loop)
    for future in futures:
        number = numbers.pop(future)
        killed = future.status == "error" and isinstance(future.exception(), KilledWorker)
        if killed and tried[number] < trials:
            tried[number] += 1
            again = submit(number)
            numbers[again] = number
            futures.add(again)
        else:
            yield number, future


def expect_fit(version: str) -> None:
    """Raise in a task on a worker that must not do it; workers join at any time.

    Args:
        version: of pseudohealthy, where the task comes from.

    Raises:
        InputError: the worker has another version, or does several tasks at once.
    """
    from distributed import get_worker  # noqa: PLC0415  (an extra)

    worker = get_worker()
    if version != __version__:
        raise InputError(
            f"the worker {worker.address} has pseudohealthy {__version__}, expected {version}; install one "
            "version everywhere"
        )
    if worker.state.nthreads > 1:
        raise InputError(
            f"the worker {worker.address} does {worker.state.nthreads} tasks at once, expected one, for a "
            "training takes all of its cores; start it with --nthreads 1"
        )


def expect_wanted() -> None:
    """Raise in a task on a worker whose result nobody wants any more.

    That is so when its client has ended, or the worker is ending or has lost its scheduler: then the task may
    be another worker's already.

    Raises:
        TaskUnwanted: it is so.
    """
    from distributed import get_worker  # noqa: PLC0415  (an extra)
    from distributed.worker import WORKER_ANY_RUNNING  # noqa: PLC0415

    worker = get_worker()
    task = worker.state.tasks.get(worker.get_current_task())
    if worker.status not in WORKER_ANY_RUNNING or task is None or task.state == "cancelled":
        raise TaskUnwanted


class TaskUnwanted(BaseException):
    """Raised in a task whose result nobody wants: as Ctrl-C does, it ends what it interrupts at once."""


@contextlib.contextmanager
def _client(address: str) -> Iterator[Client]:
    try:
        from distributed import Client  # noqa: PLC0415  (an extra)
        from distributed.utils import silence_logging_cmgr  # noqa: PLC0415
        from distributed.versions import VersionMismatchWarning  # noqa: PLC0415
    except ImportError as error:
        raise InputError(f"--dask needs an extra; install it with: {install_command('cluster')}") from error
    # in place of Dask's tables and traces, whoever uses the client says in one line what is wrong
    with silence_logging_cmgr(logging.CRITICAL):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", VersionMismatchWarning)
                client = Client(address, timeout=SCHEDULER_TIMEOUT, set_as_default=False)
        except (OSError, ValueError) as error:  # a timeout is an OSError
            raise InputError(
                f"--dask {address}: no scheduler answers there ({' '.join(str(error).split())}); expected "
                "the address that `dask scheduler` prints, such as tcp://10.0.0.1:8786"
            ) from error
        with client:
            yield client


def _differing_versions(versions: Mapping[str, Any]) -> dict[str, str]:
    """The packages that have other versions on the cluster than here: `2.0 here, 1.0 on tcp://...`.

    Args:
        versions: as `Client.get_versions` gives them.
    """
    here = versions["client"]["packages"]
    machines = {f"the worker {address}": each["packages"] for address, each in versions["workers"].items()}
    scheduler = versions["scheduler"]["packages"]  # which computes nothing
    machines["the scheduler"] = {name: scheduler[name] for name in ESSENTIAL}
    return {
        name: f"{_short(name, here.get(name))} here, {_short(name, packages[name])} on {machine}"
        for machine, packages in machines.items()
        for name in packages
        if _short(name, packages[name]) != _short(name, here.get(name))
    }


def _short(package: str, version: str | None) -> str:
    """A version; of Python without what does not matter to a cluster: 3.11 of 3.11.9.final.0."""
    if package == "python" and version:
        return ".".join(version.split(".")[:2])
    return version or "not installed"
