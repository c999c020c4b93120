"""The server's life: a private folder, one address, and an orderly end whichever way it ends."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import tempfile
import threading
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from uvicorn import Config, Server
from uvicorn.protocols.http.h11_impl import H11Protocol

from pseudohealthy.errors import InputError
from pseudohealthy.files import temporary_folder
from pseudohealthy.serve.app import build_app
from pseudohealthy.serve.job_queue import JobQueue
from pseudohealthy.serve.limits import Limits
from pseudohealthy.serve.security import Access, address

GRACE_SECONDS = 2  # for downloads that are under way when the server ends
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # Ctrl-C, kill, a closed terminal


def serve(host: str, port: int, weights: Path, limits: Limits, started: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C or a signal; then nothing of it is left.

    Args:
        host: where to listen.
        port: 0: any that is free.
        weights: a weights folder.
        limits: what is taken.
        started: called with the address once it can be opened.

    Raises:
        InputError: host or port cannot be used.
        PseudohealthyError: there is no folder for temporary files.
    """
    place = temporary_folder()
    with (
        _listening(host, port) as listener,
        tempfile.TemporaryDirectory(prefix="pseudohealthy-", dir=place) as folder,
    ):
        access = Access.of(host, listener.getsockname()[1])
        # 0700, as all that is made in it: other users see neither images nor names
        asyncio.run(
            _run(listener, access, JobQueue(Path(folder), weights, limits), address(host, access), started)
        )


async def _run(
    listener: socket.socket, access: Access, queue: JobQueue, opened: str, started: Callable[[str], None]
) -> None:
    limits = queue.limits
    async with queue:
        config = Config(
            build_app(queue, access),
            http=_timed(limits.head_seconds),
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            log_level="error",
            server_header=False,
            limit_concurrency=limits.connections,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        server = _Server(config)
        with server.ending_on_signals():
            started(opened)
            await server.serve(sockets=[listener])


@contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    try:
        family, *_, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(where[:2], family=family)
    except (OSError, UnicodeError) as error:  # the latter of a name with a part that is empty or too long
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"--host {host} --port {port}: cannot be used ({reason}); leave them out, or choose others"
        ) from error
    with listener:
        yield listener


class _Server(Server):
    """Ends on signals without passing them on: the program ends as it does when it is done."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """`ending_on_signals` does."""
        yield

    @contextmanager
    def ending_on_signals(self) -> Iterator[None]:
        """A signal ends the server; a second one does not wait for what is under way."""
        numbers = [getattr(signal, name) for name in SIGNALS if hasattr(signal, name)]
        heard = [
            number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN
        ]  # as of nohup
        before = {number: signal.signal(number, self.handle_exit) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _timed(seconds: float) -> type[H11Protocol]:
    """HTTP whose connections are closed where the head of a request is not there in time."""

    class Timed(H11Protocol):
        _closing: asyncio.TimerHandle | None = None

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self._watch()

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            self._stop()

        def _watch(self) -> None:
            cycle: Any = self.cycle
            if cycle is not None and not cycle.response_complete:
                self._stop()
            elif self._closing is None:
                self._closing = self.loop.call_later(seconds, self.transport.close)

        def _stop(self) -> None:
            if self._closing:
                self._closing.cancel()
                self._closing = None

    return Timed


def open_browser(opened: str) -> None:
    """Open the address in the person's browser, where there is a screen; does not wait for it."""
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    threading.Thread(target=webbrowser.open, args=(opened,), daemon=True).start()
