"""Figures on the page of measures are those of the results files."""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_balances_on_the_page_are_those_of_the_results() -> None:
    page = (ROOT / "docs/concepts/measures.md").read_text(encoding="utf-8")
    block = page.partition("| in `results/lgg/table1.json` | balance |")[2].partition("\n\n")[0]
    written = dict(re.findall(r"^\| ([\w ]+) \| (\d\.\d\d) \|$", block, re.MULTILINE))
    rows = json.loads((ROOT / "results/lgg/table1.json").read_text(encoding="utf-8"))["rows"]
    raw = {row["method"]: row for row in rows if row["output"] == "raw" and row["mask"] is None}
    assert len(written) == 6
    for name, balance in written.items():
        assert f"{raw[name.lower().replace(' ', '_')]['balance']['mean']:.2f}" == balance, name
