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
    begin, end = "<!-- results/phantom: written by `make results` -->\n", "<!-- /results -->"
    new = MAKE["readme"](f"before\n{begin}old\n{end}\nafter", ROOT / "results")
    assert new.startswith(f"before\n{begin}")
    assert new.endswith(f"{end}\nafter")
    assert "| copy |" in new
    assert "old" not in new
    with pytest.raises(SystemExit, match="lacks the marks"):
        MAKE["readme"]("no marks", ROOT / "results")
