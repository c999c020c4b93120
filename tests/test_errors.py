"""Names and messages as a terminal, a table and JSON can hold them."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from pseudohealthy.errors import PseudohealthyError, escape_what_cannot_be_shown, message, printable


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("sub-01_FLAIR.nii.gz", "sub-01_FLAIR.nii.gz"),
        ("tête [1] & 2", "tête [1] & 2"),
        ("t\udceate", r"t\xeate"),
        ("red\x1b[31m\nsecond\tthird\r", r"red\x1b[31m\nsecond\tthird\r"),
        ("\u202egnp.\u200b", r"\u202egnp.\u200b"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_is_no_letter_is_escaped(given: str, shown: str) -> None:
    assert printable(given) == shown
    assert printable(shown) == shown


def test_a_list_of_files_keeps_its_lines() -> None:
    error = PseudohealthyError("2 volumes:\n  a\x1b\n.nii: empty\n  b.nii: empty")
    assert message(error) == "2 volumes:\n  a\\x1b\\n.nii: empty\n  b.nii: empty"


def test_a_message_is_a_line_that_a_person_can_read() -> None:
    shown = message(f"x.json: the name {'a' * 70_000} is not known; write it again")
    assert len(shown) < 1100
    assert shown.startswith("x.json: the name aaa")
    assert shown.endswith("aaa is not known; write it again")
    assert " characters) ... a" in shown
    assert message("a" * 1000) == "a" * 1000


def test_where_an_object_lies_in_memory_is_not_told() -> None:
    assert message("a.npy: malformed node <ast.Call object at 0x7f295ee43a90>") == (
        "a.npy: malformed node <ast.Call object>"
    )


def test_a_name_reads_alike_in_every_locale() -> None:
    code = "import os, sys; from pseudohealthy.errors import printable; "
    code += "sys.stdout.buffer.write(printable(os.fsdecode(b't\\xc3\\xaate')).encode())"
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for locale in ({}, plain, {**plain, "LC_ALL": "fr_FR.ISO-8859-1"}):
        result = subprocess.run(
            [sys.executable, "-c", code], env={**_path(), **locale}, capture_output=True, check=True
        )
        assert result.stdout.decode() == "tête"


def _path() -> dict[str, str]:
    return {"PYTHONPATH": ":".join(sys.path)}


def test_what_a_terminal_cannot_show_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    escape_what_cannot_be_shown()
    print("tête", flush=True)
    assert raw.getvalue() == b"t\\xeate\n"
