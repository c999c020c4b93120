"""Whether the libraries of the extra `serve` are installed."""

from __future__ import annotations

from importlib.util import find_spec

from pseudohealthy.errors import InputError, install_command

LIBRARIES = ("starlette", "uvicorn")


def require_extra() -> None:
    """Raise an `InputError` with the command that installs what is missing."""
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        raise InputError(f"serve: {', '.join(missing)} not installed; {install_command('serve')}")
