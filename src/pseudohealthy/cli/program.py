"""How the programs end: one line and an exit code for whatever is not as it should be."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from pseudohealthy.errors import PseudohealthyError, escape_what_cannot_be_shown, message

INTERRUPTED, TERMINATED = 130, 128 + signal.SIGTERM  # typer's exit code after Ctrl-C, and that of SIGTERM


def run(name: str, command: Callable[[], object]) -> None:
    """Run a program's command: one clear line and exit code 1 or 2 for what a person can mend.

    Ctrl-C and SIGTERM (a cluster's time limit, `docker stop`, `kill`) end it in order.
    """
    escape_what_cannot_be_shown()
    try:
        with _sigterm_raises():
            command()
    except PseudohealthyError as error:
        _end(name, error, error.exit_code)
    except ImportError as error:
        _end(name, _broken(error), 1)
    except OSError as error:
        library = error.errno is None and ".so" in str(error)  # the dynamic linker's
        _end(name, _broken(error) if library else error, 1)
    except SystemExit as end:
        if end.code not in (INTERRUPTED, TERMINATED):
            raise
        exec("")  # Python forgets that an import's own exec was interrupted, and ends with the code below
        if os.environ.get("LOCAL_RANK", "0") == "0":  # of processes that train together, one speaks
            print(f"{name}: interrupted; the same command goes on where it was", file=sys.stderr)
        raise


def _end(name: str, reason: object, code: int) -> None:
    print(f"{name}: {message(reason)}", file=sys.stderr)
    sys.exit(code)


def _broken(error: Exception) -> str:
    words = " ".join(str(error).split())
    return (
        f"a package that is needed cannot be loaded ({words}); install it again, with "
        "`pip install --force-reinstall .` in its clone, or in a new environment"
    )


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    """SIGTERM ends the program as an exception does, so that all it has begun is cleaned up."""
    before = signal.getsignal(signal.SIGTERM)
    if before is not signal.SIG_DFL:  # whoever runs the program has plans of their own
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(*_: object) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once: a second one would interrupt the cleaning up
    for child in _children():
        with contextlib.suppress(OSError):  # it has ended already
            os.kill(child, signal.SIGTERM)
    sys.exit(TERMINATED)


def _children() -> list[int]:
    """The processes that this one has begun, where the system tells (Linux)."""
    found: list[int] = []
    for path in Path(f"/proc/{os.getpid()}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that has ended
            found += map(int, path.read_text().split())
    return found
