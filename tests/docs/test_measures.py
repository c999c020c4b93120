"""Figures on the page of measures are those of the results files."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from pseudohealthy.evaluation.score import balance_of

ROOT = Path(__file__).resolve().parents[2]


def test_the_balances_on_the_page_are_computed_from_the_results() -> None:
    page = (ROOT / "docs/concepts/measures.md").read_text(encoding="utf-8")
    block = page.partition("| computed from `results/lgg/volumes.tsv`")[2].partition("\n\n")[0]
    written = dict(re.findall(r"^\| (\w+) \| (\d\.\d\d) \|$", block, re.MULTILINE))
    values = pd.read_csv(ROOT / "results/lgg/volumes.tsv", sep="\t", keep_default_na=False, na_values=["n/a"])
    values = values[(values["output"] == "raw") & values["mask"].isna()]
    assert len(written) == 5
    for name, balance in written.items():
        own = values[values["method"] == name.lower()]
        table = own.pivot_table(index="volume", columns="measure", values="value", sort=False)
        scored = table[table["slices"].notna()]
        assert len(scored) == 30
        assert f"{balance_of(scored).mean():.2f}" == balance, name
