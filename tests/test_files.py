"""Files are whole or absent, whatever stops the writer."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from fixtures.full_disk import full_disk
from pseudohealthy.errors import InputError, PseudohealthyError
from pseudohealthy.files import (
    flatten,
    folder_beside,
    gzipped,
    inside,
    move_together,
    nest,
    read_tsv,
    replace,
    sha256_of,
    sha256_of_json,
    temporary_folder,
    tsv_text,
    unfinished,
    whole_folder,
    write_json,
    write_text,
    write_tsv,
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.txt"
    path.write_text("old")
    return path


def test_a_new_file_and_one_that_takes_anothers_place(file: Path) -> None:
    for path in (file, file.with_name("new.txt")):
        replace(path, lambda part: part.write_text("new"))
        assert path.read_text() == "new"
        assert path.stat().st_mode & 0o777 == 0o644
    assert {path.name for path in file.parent.iterdir()} == {"file.txt", "new.txt"}


def test_a_writer_sees_a_file_beside_with_the_same_ending(file: Path) -> None:
    """Libraries choose the format by the ending; a rename is whole only inside one folder."""
    seen = []

    def write(part: Path) -> None:
        seen.append(part)
        assert file.read_text() == "old"

    replace(file, write)
    assert seen[0].parent == file.parent
    assert seen[0] != file
    assert seen[0].suffix == ".txt"


def failing(error: BaseException) -> Callable[[Path], None]:
    def write(part: Path) -> None:
        part.write_text("half of the n")
        raise error

    return write


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt(), InputError("not this image")])
def test_a_writer_that_fails_half_way_leaves_the_old_file_alone(file: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        replace(file, failing(error))
    assert file.read_text() == "old"
    assert list(file.parent.iterdir()) == [file]


def test_without_a_folder_for_temporary_files_the_line_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/none"])
    with pytest.raises(PseudohealthyError, match="set TMPDIR to a folder with room") as failure:
        temporary_folder()
    assert failure.value.exit_code == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (RuntimeError("unexpected pos 64\nvs 0"), "unexpected pos 64 vs 0"),  # as torch.save says it
    ],
)
def test_what_the_disk_refuses_is_told_in_one_line(file: Path, error: Exception, reason: str) -> None:
    with pytest.raises(PseudohealthyError) as failure:
        replace(file, failing(error))
    assert str(failure.value).startswith(f"{file}: cannot be written ({reason}); make room")
    assert "\n" not in str(failure.value)
    assert failure.value.exit_code == 1
    assert file.read_text() == "old"
    assert list(file.parent.iterdir()) == [file]


def test_a_full_disk_leaves_the_old_file_and_nothing_beside(file: Path) -> None:
    with full_disk(), pytest.raises(PseudohealthyError, match="cannot be written"):
        replace(file, lambda part: part.write_bytes(bytes(20_000)))
    with full_disk(), pytest.raises(PseudohealthyError, match="cannot be written"):
        write_json(file, {"long": "x" * 20_000})
    assert file.read_text() == "old"
    assert list(file.parent.iterdir()) == [file]


def test_a_folder_that_is_not_there_or_in_the_way_is_told(tmp_path: Path) -> None:
    with pytest.raises(PseudohealthyError, match="cannot be written"):
        replace(tmp_path / "none/file.txt", lambda part: part.write_text("new"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(PseudohealthyError, match="cannot be written"):
        replace(tmp_path / "folder", lambda part: part.write_text("new"))
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_json_comes_back(file: Path) -> None:
    values = {"name": "Größe", "mm": [1.0, 0.45], "none": None, "nested": {"a": True}}
    write_json(file, values)
    assert json.loads(file.read_text(encoding="utf-8")) == values
    assert file.read_text().endswith("}\n")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_json_does_not_know_are_refused(file: Path, value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        write_json(file, {"mean": {"of": [1.0, value]}})
    assert file.read_text() == "old"
    assert list(file.parent.iterdir()) == [file]


def test_a_name_as_long_as_can_be_is_written(tmp_path: Path) -> None:
    path = tmp_path / f"{'a' * 250}.json"
    write_json(path, {})
    assert path.read_text() == "{}\n"


def test_text_that_utf_8_cannot_hold_is_escaped(tmp_path: Path) -> None:
    write_text(tmp_path / "page.html", "t\udceate, tête")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == r"t\udceate, tête"


def test_a_path_read_from_disk_stays_inside_its_folder(tmp_path: Path) -> None:
    assert inside(tmp_path, "snapshots/0001") == tmp_path / "snapshots/0001"
    for name in ("/etc/passwd", "../x", "a/../../x", "", "."):
        with pytest.raises(InputError, match="expected the path of something inside"):
            inside(tmp_path, name)


def test_a_table_comes_back_whatever_its_rows_are_called(tmp_path: Path) -> None:
    table = pd.DataFrame({"volume": ["NA", "07", "null"], "mask": ["0", None, "1"], "dice": [0.5, None, 1]})
    write_tsv(tmp_path / "table.tsv", table)
    text = "volume\tmask\tdice\nNA\t0\t0.5\n07\tn/a\tn/a\nnull\t1\t1.0\n"
    assert (tmp_path / "table.tsv").read_text() == text
    pd.testing.assert_frame_equal(read_tsv(tmp_path / "table.tsv", text=("volume", "mask")), table)


def test_an_index_with_a_name_is_a_column(tmp_path: Path) -> None:
    table = pd.DataFrame({"dice": [0.51, 0.25]}, index=pd.Index(["NA", "07"], name="volume"))
    write_tsv(tmp_path / "table.tsv", table, float_format="%.1f")
    assert (tmp_path / "table.tsv").read_text() == "volume\tdice\nNA\t0.5\n07\t0.2\n"
    read = read_tsv(tmp_path / "table.tsv", "volume")
    pd.testing.assert_frame_equal(read, table.round(1))
    assert tsv_text(read) == "volume\tdice\nNA\t0.5\n07\t0.2\n"


def test_a_full_disk_leaves_the_old_table(file: Path) -> None:
    table = pd.DataFrame({"a": range(10_000)})
    with full_disk(), pytest.raises(PseudohealthyError, match="cannot be written"):
        write_tsv(file, table)
    assert file.read_text() == "old"


def test_dots_open_groups() -> None:
    flat = {"a.b": 1, "a.c.d": None, "e": [3]}
    groups = {"a": {"b": 1, "c": {"d": None}}, "e": [3]}
    assert nest(flat) == groups
    assert flatten(groups) == flat
    assert nest({}) == flatten({}) == flatten({"a": {}}) == {}
    assert flatten({"a": {"b.c": {"d": 1}}}, ", ") == {"a, b.c, d": 1}


def test_digests_by_hand(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"abc")  # the example of FIPS 180-2
    assert sha256_of(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_of_json([1, {"b": 1, "a": 2}]) == hashlib.sha256(b'[1, {"a": 2, "b": 1}]').hexdigest()
    with pytest.raises(FileNotFoundError):
        sha256_of(tmp_path / "none")


@pytest.mark.parametrize("exists", [False, True])
def test_a_whole_folder_appears_at_the_end(tmp_path: Path, exists: bool) -> None:
    out = tmp_path / "above" / "out"
    if exists:
        out.mkdir(parents=True)
    with whole_folder(out) as part:
        (part / "file").write_text("new")
        assert not (out / "file").exists()
    assert (out / "file").read_text() == "new"
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt(), InputError("not this image")])
def test_a_folder_whose_writer_fails_is_absent(tmp_path: Path, error: BaseException) -> None:
    def write() -> None:
        with whole_folder(tmp_path / "out") as part:
            (part / "file").write_text("half")
            raise error

    with pytest.raises(type(error)):
        write()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_no_folder(tmp_path: Path) -> None:
    result = pytest.raises(PseudohealthyError, match="out: cannot be written")
    with result, full_disk(), whole_folder(tmp_path / "out") as part:
        (part / "file").write_bytes(bytes(20_000))
    assert list(tmp_path.iterdir()) == []


def test_writing_files_needs_neither_numpy_nor_pandas() -> None:
    code = "import sys, pseudohealthy.files; sys.exit(bool({'numpy', 'pandas'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", code], check=True)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    "content",
    ["", "[1]", "3", "{", '{"../a": "b"}', '{"": "b"}', '{"a": 1}', "[" * 100_000, f'{{"{"a" * 300}": ""}}'],
)
def test_a_journal_that_is_none_names_nothing(tmp_path: Path, content: str) -> None:
    (tmp_path / "a").touch()
    (tmp_path / "journal").write_text(content)
    assert unfinished(tmp_path / "journal") == []


def test_files_are_moved_together(tmp_path: Path) -> None:
    for name in ("a", "b", "t\udceate"):
        (tmp_path / name).write_text("old")
    with folder_beside(tmp_path) as part:
        for name in ("a", "t\udceate"):
            (part / name).write_text("new")
        move_together(part, tmp_path, tmp_path / ".journal")
    texts = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert texts == {"a": "new", "b": "old", "t\udceate": "new"}


def test_when_the_journal_is_removed_nothing_else_is_left_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a run that is killed then is complete, and the same command may refuse to do it again."""
    unlink, seen = Path.unlink, dict[str, set[str]]()

    def noting(path: Path, missing_ok: bool = False) -> None:
        seen[path.name] = names(tmp_path)
        unlink(path, missing_ok)

    monkeypatch.setattr(Path, "unlink", noting)
    with folder_beside(tmp_path) as part:
        (part / "a").write_text("new")
        move_together(part, tmp_path, tmp_path / ".journal")
    assert seen[".journal"] == {"a", ".journal"}
    assert names(tmp_path) == {"a"}


def test_a_journal_that_is_a_pipe_names_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "journal")
    assert unfinished(tmp_path / "journal") == []


def test_nobody_waits_for_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for read in (sha256_of, read_tsv):
        with pytest.raises(ValueError, match="expected a file, found a folder, pipe or device"):
            read(pipe)
    assert unfinished(pipe) == []


def test_gzip_holds_the_content_and_nothing_of_when_or_where() -> None:
    content = bytes(range(256)) * 1000
    packed = gzipped(content)
    assert gzip.decompress(packed) == content
    assert len(packed) < len(content) / 10
    assert packed[3:8] == bytes(5)  # no name, no comment, no time
    assert gzip.decompress(gzipped(b"")) == b""
