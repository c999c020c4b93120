"""What `make results` writes is what is there."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAKE = runpy.run_path(str(ROOT / "docs/make_results.py"))


def test_the_results_page_and_the_readme_say_what_the_results_files_say() -> None:
    for path, content in MAKE["pages"]().items():
        assert path.read_text(encoding="utf-8") == content, f"{path.name}: run `make results`"


def test_another_result_is_another_table() -> None:
    phantom = ROOT / "results/phantom"
    old = MAKE["readme"]("before\n" + MAKE["BEGIN"] + "old\n" + MAKE["END"] + "\nafter", phantom)
    assert old.startswith("before\n")
    assert old.endswith("\nafter")
    assert "old" not in old
    with pytest.raises(SystemExit, match="lacks the marks"):
        MAKE["readme"]("no marks", phantom)
