"""The paper's table as the specification has it."""

from __future__ import annotations

from pathlib import Path

from pseudohealthy.catalogue.methods import method_name, method_order
from pseudohealthy.report.table1.paper import COLUMNS, TABLE_1

SPECIFICATION = Path(__file__).parents[3] / "docs" / "method.md"


def test_the_figures_are_those_of_the_specification() -> None:
    lines = SPECIFICATION.read_text(encoding="utf-8").split("## 7.")[1].splitlines()
    heads, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[:1] == "|"]
    assert heads[1:] == [f"{data} {measure}" for data, measure in COLUMNS]
    assert len(rows) == len(TABLE_1)
    for (name, *cells), (method, figures) in zip(rows, TABLE_1.items(), strict=True):
        assert method_name(method).replace("(", "").replace(")", "") == name.replace(",", "")
        assert [str(figure) for figure in figures] == [cell.replace("+-", "±") for cell in cells]


def test_methods_stand_in_the_papers_order() -> None:
    shuffled = ["copy", "paired", "a_new_one", "unpaired", "cyclegan", "conditional_gan", "semi_supervised"]
    assert sorted(shuffled, key=method_order)[: len(TABLE_1)] == list(TABLE_1)
