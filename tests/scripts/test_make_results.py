"""What `make results` writes is what is there."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAKE = runpy.run_path(str(ROOT / "scripts/make_results.py"))


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


def test_ablations_have_a_column_for_what_any_of_them_measured(tmp_path: Path) -> None:
    old = {"identity": {"mean": 0.9}, "healthiness": {"pooled": 0.5, "panel_mean": 0.6, "panel_worst": None}}
    new = {**old, "balance": {"mean": 0.75}, "texture": {"median": 0.25}}
    for name, summary in {"base": old, "with_more": new}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "summary.json").write_text(json.dumps(summary))
    lines = MAKE["ablations"](tmp_path)[1].splitlines()
    assert lines[0] == "| changed | identity | healthiness, pooled | panel: mean | balance | texture |"
    assert lines[2:] == [
        "| base | 0.900 | 0.500 | 0.600 | – | – |",
        "| with_more | 0.900 | 0.500 | 0.600 | 0.750 | 0.250 |",
    ]
