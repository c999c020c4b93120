"""What killed runs have left is removed, and what others write is left alone."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pseudohealthy.files import (
    folder_beside,
    whole_folder,
    write_json,
    write_text,
)
from pseudohealthy.partial_files import remove_leftovers

LEFT = (".part-0123abcd", ".part-0123abcd.nii.gz", ".part-0123abcd-89ef4567")
OTHERS = (".part-of-mine", ".part-0123abcdef", "part-0123abcd", ".out.part", ".bashrc")


def left(folder: Path, hours: float) -> set[str]:
    """Make folders and a file of our and of other names that were written to so long ago."""
    for name in (*LEFT, *OTHERS):
        path = folder / name
        if path.suffix == ".gz":
            path.touch()
        else:
            (path / "inner").mkdir(parents=True)
            (path / "inner/half.nii").touch()
        for each in (path, *path.rglob("*")):
            os.utime(each, (time.time() - 3600 * hours,) * 2)
    return {*LEFT, *OTHERS}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def write_whole_folder(path: Path) -> None:
    with whole_folder(path):
        pass


def write_beside(path: Path) -> None:
    with folder_beside(path.parent) as part:
        (part / path.name).touch()
        (part / path.name).replace(path)


def write_file(path: Path) -> None:
    write_text(path, "new")


WRITERS = pytest.mark.parametrize("write", [write_file, write_beside, write_whole_folder])


@WRITERS
def test_what_killed_runs_left_is_removed_when_nobody_has_written_to_it_for_a_day(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    every = left(tmp_path, 25)
    (tmp_path / LEFT[2] / "inner/half.nii").touch()  # somebody still writes to it
    with pytest.raises(KeyboardInterrupt), folder_beside(tmp_path):
        raise KeyboardInterrupt
    assert names(tmp_path) == every
    write(tmp_path / "out")
    assert names(tmp_path) == every - {*LEFT[:2]} | {"out"}


@WRITERS
def test_what_others_write_now_is_left_alone(tmp_path: Path, write: Callable[[Path], None]) -> None:
    every = left(tmp_path, 23)  # as on another machine: no part of this one has such a name
    with folder_beside(tmp_path, "scan"):
        pass
    write(tmp_path / "out")
    assert names(tmp_path) == every | {"out"}


KILLED = """
import os, signal, sys
from pathlib import Path
from pseudohealthy.files import folder_beside, whole_folder, write_text, replace

def half(part):
    (part / "half.nii" if part.is_dir() else part).write_text("half")
    sys.stdout.write("writing\\n"); sys.stdout.flush()
    sys.stdin.read()

out = Path(sys.argv[1])
if sys.argv[2] == "file":
    replace(out, half)
else:
    with (whole_folder(out) if sys.argv[2] == "folder" else folder_beside(out.parent)) as part:
        half(part)
"""


@contextlib.contextmanager
def writing(path: Path, kind: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that has written half of something to `path`, or beside it."""
    command = [sys.executable, "-c", KILLED, str(path), kind]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "writing\n"
        yield other


@WRITERS
@pytest.mark.parametrize("kind", ["file", "folder", "beside"])
def test_the_part_of_a_killed_run_is_removed_at_once_and_that_of_a_running_one_stays(
    tmp_path: Path, write: Callable[[Path], None], kind: str
) -> None:
    with writing(tmp_path / "theirs", kind) as other:
        (part,) = names(tmp_path)
        write(tmp_path / "out")
        assert names(tmp_path) == {part, "out"}
        other.kill()
    assert names(tmp_path) == {part, "out"}
    write(tmp_path / "another")
    assert names(tmp_path) == {"out", "another"}


def test_where_there_are_no_locks_the_part_of_a_killed_run_stays_for_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    with writing(tmp_path / "theirs", "file") as other:
        other.kill()
    (part,) = names(tmp_path)
    monkeypatch.setattr("pseudohealthy.partial_files.fcntl.flock", unknown)
    write_text(tmp_path / "out", "new")
    assert names(tmp_path) == {part, "out"}


def test_writers_side_by_side_take_nothing_from_each_other(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: write_json(tmp_path / f"{number % 3}.json", {}), range(1000)))
    assert names(tmp_path) == {"0.json", "1.json", "2.json"}


def test_a_part_made_anew_under_the_name_of_one_left_behind_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where two runs remove one of the same name, and its writer has made it again in between."""
    with folder_beside(tmp_path) as part:
        left_behind = part.with_name(f"{part.name[:-8]}00000000.json")
    left_behind.touch()
    opened = os.open

    def opened_then_made_anew(path: Path, *more: Any, **named: Any) -> int:
        handle = opened(path, *more, **named)
        if path == left_behind:
            left_behind.unlink()
            left_behind.write_text("another's")
        return handle

    monkeypatch.setattr(os, "open", opened_then_made_anew)
    remove_leftovers(tmp_path)
    assert names(tmp_path) == {left_behind.name}


def test_the_part_of_a_killed_run_on_the_same_thing_is_removed_at_once(tmp_path: Path) -> None:
    with folder_beside(tmp_path, "other") as other, folder_beside(tmp_path, "scan") as part:
        left_behind = part.with_name(part.name[:-8] + "00000000")
        left_behind.mkdir()
        (left_behind / "half.nii").touch()
    with folder_beside(tmp_path, "other") as other:
        left_behind.mkdir()
        with folder_beside(tmp_path, "scan"):
            pass
        assert names(tmp_path) == {other.name}


def test_a_link_is_none_of_ours(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").touch()
    (tmp_path / LEFT[0]).symlink_to(tmp_path / "mine")
    for path in (tmp_path / LEFT[0], tmp_path / "mine/file", tmp_path / "mine"):
        os.utime(path, (0, 0), follow_symlinks=False)
    with folder_beside(tmp_path):
        pass
    assert names(tmp_path) == {"mine", LEFT[0]}
    assert names(tmp_path / "mine") == {"file"}
