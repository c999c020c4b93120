"""The server's side of the worker: started at once, killed when a person cancels, started again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self

from pseudohealthy.errors import PseudohealthyError

MOST_BYTES = 2**20  # of a reply


class WorkerProcess:
    """A process of `worker.py`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, folder: Path, weights: Path, temporary: Path) -> Self:
        """Start one; it needs some seconds until it works, and takes requests before that.

        Args:
            folder: the server's private one.
            weights: a weights folder.
            temporary: an empty folder inside it, for temporary files, which a worker that is killed leaves.

        Raises:
            OSError: the system refuses to start it.
        """
        module = ("-P", "-m", "pseudohealthy.serve.worker")  # -P: nothing is imported from where one stands
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *module, str(folder), str(weights.absolute())),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))},
            limit=MOST_BYTES,
            start_new_session=True,  # Ctrl-C on the terminal is the server's; and a group to be killed
        )
        return cls(process)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self._process.returncode is not None

    async def replies(self, request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """Send a request; its replies, of which the last one has `done` or `error`.

        Raises:
            PseudohealthyError: the process has ended.
        """
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):  # its end is noticed below
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            await self._process.stdin.drain()
        while reply := await self._reply():
            yield reply
            if "done" in reply or "error" in reply:
                return
        code = await self._process.wait()
        raise PseudohealthyError(
            f"the process that did the work has ended (exit code {code}); the memory may not have been "
            "enough, so close other programs and try again"
        )

    async def _reply(self) -> dict[str, Any] | None:
        """The next reply; None where the process has ended, or says what is none and is killed for it."""
        assert self._process.stdout is not None
        try:
            line = await self._process.stdout.readline()
            reply: dict[str, Any] | None = json.loads(line) if line else None
        except ValueError:  # a line that the end of the process has cut, or one without an end
            await self.kill()
            return None
        return reply

    async def kill(self) -> None:
        """End it at once, with all that it has started; does nothing where it has ended."""
        if self.ended:  # its number may be another's by now
            return
        with contextlib.suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(self.pid, signal.SIGKILL)
            else:
                self._process.kill()
        await self._process.wait()
