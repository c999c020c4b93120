"""Work shared among threads, which Ctrl-C and SIGTERM do not leave behind."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


def in_threads(do: Callable[[In], Out], things: Iterable[In], threads: int | None) -> list[Out]:
    """`do(thing)` of every thing, computed by at most so many threads; None: a few more than there are cores.

    Ctrl-C and SIGTERM come when the threads have ended: whoever cleans up then does so after all of them. An
    interruption of the thread that starts and awaits them could leave one at work, or waiting for ever.

    Raises:
        Exception: what `do` raises, for the first of the things for which it does.
    """
    with _signals_deferred(), ThreadPoolExecutor(threads) as pool:
        return list(pool.map(do, things))


@contextlib.contextmanager
def _signals_deferred() -> Iterator[None]:
    """SIGINT and SIGTERM are handled at the end of the block, where Python handles them at all."""
    if threading.current_thread() is not threading.main_thread():  # they come to that one alone
        yield
        return
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    received: list[int] = []
    for each, handler in handlers.items():
        if callable(handler):
            signal.signal(each, lambda number, _: received.append(number))
    try:
        yield
    finally:
        for each, handler in handlers.items():
            if callable(handler):
                signal.signal(each, handler)
        for number in dict.fromkeys(received):
            signal.raise_signal(number)
