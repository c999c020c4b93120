"""How the programs begin, report and end: one line and an exit code for whatever is not as it should be.

What a program needs is imported once Ctrl-C and SIGTERM are handled, so this module imports little.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

from pseudohealthy.errors import (
    PseudohealthyError,
    escape_what_cannot_be_shown,
    message,
    printable,
    shortened,
)

INTERRUPTED, TERMINATED = 130, 128 + signal.SIGTERM  # typer's exit code after Ctrl-C, and that of SIGTERM


def main() -> None:
    """The program `pseudohealthy`."""

    def command() -> None:
        from pseudohealthy.cli.main import app

        app(prog_name="pseudohealthy")

    run("pseudohealthy", command)


def bids_main() -> None:
    """The program `pseudohealthy-bids`."""

    def command() -> None:
        from pseudohealthy.cli.bids_app import app, spread

        app(args=spread(sys.argv[1:]), prog_name="pseudohealthy-bids")

    run("pseudohealthy-bids", command)


def say(text: str, *, err: bool = False) -> None:
    """Print one line, on standard error if `err`, with escapes for what a file's name may hold."""
    import typer  # which writes UTF-8 whatever the locale

    typer.echo(shortened(printable(text)) if err else printable(text), err=err)


@contextlib.contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int, str], None]]:
    """A function to call with steps done, steps in all and what comes now; silent without a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        TextColumn(label),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total, now: bar.update(task, completed=done, total=total, description=now)


def run(name: str, command: Callable[[], object]) -> None:
    """Run a program's command: one clear line and exit code 1 or 2 for what a person can mend.

    Ctrl-C and SIGTERM (a cluster's time limit, `docker stop`, `kill`) end it in order.
    """
    try:
        escape_what_cannot_be_shown()
        with _sigterm_raises():
            command()
    except KeyboardInterrupt:  # while typer was imported, which handles it from then on
        _interrupted(name, INTERRUPTED)
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
        _interrupted(name, end.code)


def _interrupted(name: str, code: int | str | None) -> NoReturn:
    exec("")  # Python forgets that an import's own exec was interrupted, and ends with the code below
    if os.environ.get("LOCAL_RANK", "0") == "0":  # of processes that train together, one reports it
        print(f"{name}: interrupted; the same command goes on where it was", file=sys.stderr)
    sys.exit(code)


def _end(name: str, reason: object, code: int) -> NoReturn:
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
    if before is not signal.SIG_DFL:  # whoever runs the program handles it
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
    """Process ids of the child processes; none where the system does not list them (not Linux)."""
    from pathlib import Path

    children: list[int] = []
    for path in Path(f"/proc/{os.getpid()}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that has ended
            children += map(int, path.read_text().split())
    return children
