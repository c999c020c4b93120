"""What is read as JSON, and what is refused in one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pseudohealthy.errors import InputError
from pseudohealthy.files import write_json
from pseudohealthy.json_files import LARGEST_JSON, read_json


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"{", "not JSON: "),
        (b"[]", "expected a mapping, found a list"),
        (b"null", "expected a mapping, found null"),
        (b"3", "expected a mapping, found a number"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested more than 50 levels deep"),
        (b'{"a": ' + b"[" * 50 + b"]" * 50 + b"}", "nested more than 50 levels deep"),
        (b'{"a": NaN}', "NaN is not a finite number"),
        (b'{"a": -Infinity}', "-Infinity is not a finite number"),
        (b'{"a": 1e999}', "1e999 is not a finite number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "a number of 5000 digits, expected one of 64 bits"),
        (b'{"a": 9223372036854775808}', "a number of 19 digits, expected one of 64 bits"),
        (b'{"a": 1, "b": {"c": 1, "d": 2, "c": 1}}', 'the key "c" is there twice; remove one'),
        (b'{"a": "\xff"}', "byte 8 is not UTF-8 text"),
    ],
)
def test_json_that_the_program_would_not_write_is_refused(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as failure:
        read_json(path, "no report", "make it again")
    assert str(failure.value).startswith(f"{path}: no report ({reason}")
    assert str(failure.value).endswith("); make it again")
    assert "\n" not in str(failure.value)


def test_json_comes_back_as_it_was_written(tmp_path: Path) -> None:
    values = {"a": [1, -2.5, None, True, "b"], "c": {"d": -(2**63) + 1}}
    write_json(tmp_path / "x.json", values)
    assert read_json(tmp_path / "x.json") == values


def test_no_json_file_is_refused_without_waiting_or_reading_all_of_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(InputError, match="expected a file, found a folder, pipe or device"):
            read_json(path)
    with pytest.raises(InputError, match=r"none\.json: cannot be read \(No such file or directory\)"):
        read_json(tmp_path / "none.json")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(LARGEST_JSON + 1)
    with pytest.raises(InputError, match="larger than 64 MB, the most for such a file"):
        read_json(tmp_path / "huge")
