"""Processes of our own, each with its share of the cores, which never outlive the program."""

from __future__ import annotations

import multiprocessing
import os
import threading
import time
from concurrent.futures import ProcessPoolExecutor

import torch

from pseudohealthy.errors import PseudohealthyError

WATCH_SECONDS = 1.0


def processes(jobs: int, tasks_each: int | None = None) -> ProcessPoolExecutor:
    """A pool of `jobs` fresh processes that share torch's threads.

    Args:
        jobs: how many.
        tasks_each: after so many tasks a process makes room for a new one; None: it stays.

    Raises:
        PseudohealthyError: the machine has no place where processes can meet, as some containers have none.
    """
    try:
        return ProcessPoolExecutor(
            jobs,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
            initargs=(os.getpid(), max(1, torch.get_num_threads() // jobs)),
            max_tasks_per_child=tasks_each,
        )
    except OSError as error:
        raise PseudohealthyError(
            f"processes side by side cannot be started here ({error}; /dev/shm must be writable); "
            "give --jobs 1"
        ) from error


def _begin(parent: int, threads: int) -> None:
    torch.set_num_threads(threads)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """Never outlive the program that began it: another may be writing to the same folder by then."""
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(1)
