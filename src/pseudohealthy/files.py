"""Files are whole or absent: written beside their place, then renamed into it."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pseudohealthy.errors import PseudohealthyError


def replace(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file beside `path`, then put it in `path`'s place.

    Raises:
        PseudohealthyError: it cannot be written (a full disk); `path` is as it was, nothing lies beside it.
    """
    with _beside(path) as part:
        write(part)
        part.replace(path)


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write strict JSON, as `replace` does; a NaN among the values is a `ValueError`."""
    write_text(path, json.dumps(values, indent=1, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write text in UTF-8, as `replace` does."""
    replace(path, lambda part: part.write_text(text, encoding="utf-8"))


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays by name into a compressed `.npz`, as `replace` does."""

    def write(part: Path) -> None:
        with part.open("wb") as file:  # given a name, numpy would add an ending of its own
            np.savez_compressed(file, allow_pickle=False, **arrays)

    replace(path, write)


def make_folder(path: Path) -> None:
    """Make a folder and those above it; one that is there stays as it is.

    Raises:
        PseudohealthyError: it cannot be made, such as below a file.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PseudohealthyError(
            f"{path}: no folder can be made there ({error.strerror}); choose another"
        ) from error


@contextlib.contextmanager
def folder_beside(out: Path) -> Iterator[Path]:
    """An empty folder inside `out`, to be moved from file by file once all are written; gone afterwards.

    Raises:
        PseudohealthyError: `out` cannot be made.
    """
    make_folder(out)
    with tempfile.TemporaryDirectory(prefix=".part-", dir=out) as name:
        yield Path(name)


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    part: Path | None = None
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        part = Path(name)
        part.chmod(0o644)  # mkstemp's is for its owner alone
        yield part
    except (OSError, RuntimeError) as error:  # torch and safetensors turn a full disk into a RuntimeError
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise PseudohealthyError(
            f"{path}: cannot be written ({reason}); make room or choose another folder, and run again"
        ) from error
    finally:
        if part is not None:
            part.unlink(missing_ok=True)
