"""Processes of our own, each with its share of the cores, which never outlive the program."""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

from pseudohealthy import cpu
from pseudohealthy.errors import PseudohealthyError

WATCH_SECONDS = 1.0
END_SECONDS = 10.0  # for a process to remove what it has half written


@contextlib.contextmanager
def processes(jobs: int, tasks_each: int | None = None) -> Iterator[ProcessPoolExecutor]:
    """A pool of `jobs` fresh processes that share the threads of this one.

    After an error inside, running tasks are finished and no more begun. Ctrl-C and SIGTERM reach this process
    alone, which then ends the others at once; they remove what they have half written.

    Args:
        jobs: how many.
        tasks_each: after so many tasks a new process replaces one; None: never.

    Raises:
        PseudohealthyError: the machine has no shared memory for the pool, as in some containers.
    """
    pool = _started(jobs, tasks_each)
    try:
        yield pool
    except Exception:
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        _end_all()
        raise
    pool.shutdown()


def _started(jobs: int, tasks_each: int | None) -> ProcessPoolExecutor:
    try:
        return _Pool(
            jobs,
            mp_context=_Context(),
            initializer=_begin,
            initargs=(os.getpid(), max(1, cpu.threads() // jobs)),
            max_tasks_per_child=tasks_each,
        )
    except OSError as error:
        raise PseudohealthyError(
            f"a process of its own cannot be started for the work ({error}; /dev/shm must be writable)"
            f"{'; give --jobs 1' if jobs > 1 else ''}"
        ) from error


class _Process(SpawnProcess):
    """A process that Ctrl-C on the terminal does not reach, not even while it is starting."""

    def start(self) -> None:
        with _not_daemonic():
            if not hasattr(signal, "pthread_sigmask"):  # Windows
                super().start()
                return
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                super().start()  # which inherits the mask
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def _not_daemonic() -> Iterator[None]:
    """Let a daemonic process, such as a worker of Dask, start one: such may not, lest it be outlived."""
    process = multiprocessing.current_process()
    before, process.daemon = process.daemon, False
    try:
        yield
    finally:
        process.daemon = before


class _Context(SpawnContext):
    Process = _Process


class _Pool(ProcessPoolExecutor):
    def submit(self, do: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return super().submit(_run_task, do, *args, **kwargs)


class _Ended(SystemExit):
    """Raised in a process that SIGTERM ends, so that it cleans up."""


def _run_task(do: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    signal.signal(signal.SIGTERM, _end)  # without a task, there is nothing to clean up
    try:
        return do(*args, **kwargs)
    except _Ended:
        pass
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gc.collect()  # a context that was interrupted while it was entered ends when its generator goes
    os._exit(128 + signal.SIGTERM)  # all is cleaned up; the pool would return the exception as a result


def _end(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once: a second one would interrupt the cleaning up
    raise _Ended(128 + signal.SIGTERM)


def _end_all() -> None:
    """End every process of a pool: politely, then after a while by force."""
    children = [child for child in multiprocessing.active_children() if isinstance(child, _Process)]
    for child in children:
        child.terminate()
    deadline = time.monotonic() + END_SECONDS
    for child in children:
        child.join(max(0.0, deadline - time.monotonic()))
        child.kill()
        child.join()


def _begin(parent: int, threads: int) -> None:
    cpu.set_threads(threads)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process with its parent: another run may be writing to the same folder by then."""
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(1)
