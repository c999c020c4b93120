"""Files are whole or absent: written beside their place, then renamed into it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deflate import gzip_compress

from pseudohealthy.errors import InputError, PseudohealthyError
from pseudohealthy.partial_files import held, part_in, remove_leftovers

if TYPE_CHECKING:  # not every command that writes a file needs them
    import pandas as pd
    from numpy.typing import NDArray

MEGABYTE = 2**20


def replace(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file beside `path`, then put it in `path`'s place, and remove what killed runs left.

    Raises:
        PseudohealthyError: it cannot be written (a full disk); `path` is as it was, nothing lies beside it.
    """
    with _beside(path) as part:
        write(part)
        part.replace(path)
    remove_leftovers(path.parent)


def gzipped(content: bytes) -> bytes:
    """`content` as a gzip file of no name and no time, so that equal contents are equal files."""
    # ISA-L, which is faster, now and then compresses the same content to other bytes
    return bytes(gzip_compress(content, 1))


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write strict JSON, as `replace` does; a NaN among the values is a `ValueError`."""
    write_text(path, json.dumps(values, indent=1, allow_nan=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write text in UTF-8, as `replace` does; what UTF-8 cannot hold, as parts of some names, is escaped."""
    write_pieces(path, [text])


def write_pieces(path: Path, pieces: Iterable[str]) -> None:
    """Write text as `write_text` does, piece by piece: all of a long one need never be in memory."""

    def write(part: Path) -> None:
        with part.open("w", encoding="utf-8", errors="backslashreplace") as file:
            file.writelines(pieces)

    replace(path, write)


def read_text(path: Path, most: int) -> str:
    """Read a text file in UTF-8 of at most so many bytes, without waiting for a pipe or a device.

    Raises:
        ValueError: it is none; the message is the reason.
        OSError: the system refuses to read it.
    """
    content = read_bytes(path, most)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start + 1} is not UTF-8 text") from error


def read_bytes(path: Path, most: int) -> bytes:
    """Read a file of at most so many bytes, without waiting for a pipe or a device; raises as `read_text`."""
    with open_file(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"larger than {most / MEGABYTE:g} MB, the most for such a file")
    return content


def open_file(path: Path) -> BufferedReader:
    """Open a file to be read; what others would wait for, such as a pipe, is a `ValueError`."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("expected a file, found a folder, pipe or device")
    return path.open("rb")


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays by name into a compressed `.npz`, as `replace` does."""
    import numpy as np  # noqa: PLC0415

    def write(part: Path) -> None:
        with part.open("wb") as file:  # given a name, numpy would add an ending of its own
            np.savez_compressed(file, allow_pickle=False, **arrays)

    replace(path, write)


def tsv_text(table: pd.DataFrame, float_format: str | None = None) -> str:
    """A table as tab-separated text, with its index where that has a name, and n/a for missing values."""
    named = table.index.name is not None
    return table.to_csv(sep="\t", index=named, na_rep="n/a", lineterminator="\n", float_format=float_format)


def write_tsv(path: Path, table: pd.DataFrame, float_format: str | None = None) -> None:
    """Write a table as `tsv_text` gives it, as `replace` does."""
    write_text(path, tsv_text(table, float_format))


def read_tsv(path: Path, index: str | None = None, text: Iterable[str] | None = ()) -> pd.DataFrame:
    """Read a table of `write_tsv`: n/a alone is a missing value, so that a volume may be called NA.

    Args:
        path: of the file.
        index: the column that becomes the index, as text; None: none does.
        text: other columns to be read as text; None: all.

    Raises:
        OSError: the system refuses to read it.
        ValueError: it is no file, or no table.
    """
    import pandas as pd  # noqa: PLC0415

    types = str if text is None else dict.fromkeys([*text, *([index] if index else [])], str)
    with open_file(path) as file:
        table = pd.read_csv(file, sep="\t", dtype=types, keep_default_na=False, na_values=["n/a"])
    if len(table) and not isinstance(table.index, pd.RangeIndex):
        raise ValueError("its rows have more cells than there are columns")
    if index is None:
        return table
    if index not in table:
        raise ValueError(f"no column {index}")
    return table.set_index(index)


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal; what the system refuses is an `OSError`, no file a `ValueError`."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_json(values: Any) -> str:
    """SHA-256 of values as JSON with sorted keys, in hexadecimal."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def flatten(values: Mapping[str, Any], separator: str = ".") -> dict[str, Any]:
    """`{"a": {"b": 1}}` as `{"a.b": 1}`, at any depth; an empty group leaves nothing."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            inner = flatten(value, separator)
            flat.update((f"{key}{separator}{path}", each) for path, each in inner.items())
        else:
            flat[str(key)] = value
    return flat


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """`{"a.b": 1}` as `{"a": {"b": 1}}`, at any depth."""
    nested: dict[str, Any] = {}
    for path, value in flat.items():
        *groups, name = path.split(".")
        place = nested
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = value
    return nested


def refuse_existing(paths: Iterable[Path], *, overwrite: bool) -> None:
    """Raise an `InputError` where one of the files is there and must not be replaced."""
    there = next((path for path in paths if path.exists()), None)
    if there and not overwrite:
        raise InputError(f"{there}: exists already; choose another folder, or allow --overwrite")


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
def folder_beside(out: Path, name: str = "") -> Iterator[Path]:
    """An empty folder inside `out`, from which finished files are moved one by one; removed afterwards.

    Once the block ends well, so are those that killed runs have left, see `remove_leftovers`.

    Args:
        out: made if absent.
        name: of what is written, which nobody else writes meanwhile (see `locks`), so that all parts for it
            are left over; "": somebody may.

    Raises:
        PseudohealthyError: `out` cannot be made.
    """
    make_folder(out)
    part = part_in(out, name)
    try:
        with held(part, lambda: part.mkdir(mode=0o700)):
            yield part
        remove_leftovers(out, name)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def temporary_folder() -> Path:
    """The folder for temporary files, as `tempfile` finds it.

    Raises:
        PseudohealthyError: there is none that can be written to.
    """
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise PseudohealthyError(
            "no folder for temporary files can be written to; set TMPDIR to a folder with room"
        ) from error


def move_together(part: Path, out: Path, journal: Path) -> None:
    """Move the files of the folder `part` into `out`, in place of those of their names, and remove `part`.

    JSON comes last, as a report or summary that is there means that all else is.
    While they are moved, the file `journal` in `out` holds their names and digests. A run that is killed
    leaves it, and so the next one knows which files are `unfinished`; it removes them.
    """
    for old in unfinished(journal):
        old.unlink()
    paths = sorted(part.iterdir(), key=lambda path: (path.suffix == ".json", path.name))
    write_json(journal, {path.name: sha256_of(path) for path in paths})
    for path in paths:
        path.replace(out / path.name)
    part.rmdir()  # first: once the journal is gone, no run may come that would remove it
    journal.unlink()


def unfinished(journal: Path) -> list[Path]:
    """The files that a killed `move_together` had moved already, and that nobody has changed since."""
    try:
        digests: dict[str, str] = json.loads(read_text(journal, MEGABYTE))
        paths = {journal.with_name(name): digest for name, digest in digests.items()}
        return [path for path, digest in paths.items() if path.is_file() and sha256_of(path) == digest]
    except (OSError, ValueError, AttributeError, RecursionError):  # there is none, or it is something else
        return []


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """An empty folder beside `path`, which takes its place once the block ends well; else it is removed.

    So are the folders above `path` that were made for it.

    Raises:
        PseudohealthyError: it cannot be written (a full disk); `path` is as it was.
    """
    part = part_in(path.parent)
    absent = [folder for folder in path.parents if not folder.exists()]
    try:
        with held(part, lambda: part.mkdir(parents=True)):
            yield part
            part.replace(path)
        remove_leftovers(path.parent)
    except OSError as error:
        raise PseudohealthyError(f"{path}: cannot be written ({error})") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
        for folder in absent:
            with contextlib.suppress(OSError):  # it holds `path`
                folder.rmdir()


def inside(folder: Path, name: str) -> Path:
    """The path that a file read from disk names inside `folder`.

    Raises:
        InputError: it is absolute, or leads out of the folder.
    """
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise InputError(f"{name or 'nothing'}: expected the path of something inside {folder}")
    return folder / path


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    part = part_in(path.parent, ending=path.suffix)  # known before it is made: a signal may come
    try:
        with held(part, lambda: part.touch(exist_ok=False)):
            part.chmod(0o644)
            yield part
    except (OSError, RuntimeError) as error:  # torch and safetensors turn a full disk into a RuntimeError
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise PseudohealthyError(
            f"{path}: cannot be written ({reason}); make room or choose another folder, and run again"
        ) from error
    finally:
        with contextlib.suppress(OSError):  # no such folder, or no folder
            part.unlink(missing_ok=True)
