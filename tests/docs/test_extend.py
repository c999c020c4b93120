"""The page on extensions: its new files, written into a copy of the package, pass their own tests."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/howto/extend.md"
BLOCK = re.compile(
    r"^#### `([^`]+)`(?:, (after|before) `([^`]+)`)?\n\n```(?:python|text|markdown)\n(.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """A new file, or lines next to a line of a file that is there."""

    path: str
    side: str
    line: str
    text: str


def blocks() -> list[Block]:
    return [Block(*found) for found in BLOCK.findall(PAGE.read_text(encoding="utf-8"))]


def test_every_block_of_code_stands_under_the_name_of_its_file() -> None:
    fences = re.findall(r"^```\w+$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(blocks()) == len(fences) > 10
    new = [block.path for block in blocks() if not block.side]
    assert [path for path in new if (ROOT / path).exists()] == []
    for path in (path for path in new if path.startswith("src/pseudohealthy/")):
        *room, name = Path(path).relative_to("src/pseudohealthy").parts
        assert str(Path("tests", *room, f"test_{name}")) in new


@pytest.mark.slow
def test_the_new_files_pass_their_own_tests(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src")
    shutil.copytree(ROOT / "tests/fixtures", tmp_path / "tests/fixtures")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    tests = []
    for block in blocks():
        if not block.side:
            (tmp_path / block.path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / block.path).write_text(block.text, encoding="utf-8")
            tests += [block.path] if block.path.startswith("tests/") else []
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert len(tests) == 3
