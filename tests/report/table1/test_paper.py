"""The paper's table as the specification has it."""

from __future__ import annotations

from pathlib import Path

from pseudohealthy.report.table1.paper import COLUMNS, METHODS, TABLE_1, method_name, method_order

SPECIFICATION = Path(__file__).parents[3] / "docs" / "method.md"


def test_the_figures_are_those_of_the_specification() -> None:
    lines = SPECIFICATION.read_text(encoding="utf-8").split("## 7.")[1].splitlines()
    heads, _, *rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[:1] == "|"]
    assert heads[1:] == [f"{data} {measure}" for data, measure in COLUMNS]
    assert len(rows) == len(TABLE_1)
    for (name, *cells), (method, figures) in zip(rows, TABLE_1.items(), strict=True):
        assert method_name(method).replace("(", "").replace(")", "") == name.replace(",", "")
        assert [str(figure) for figure in figures] == [cell.replace("+-", "±") for cell in cells]


def test_methods_stand_in_the_papers_order_and_unknown_ones_last() -> None:
    shuffled = ["copy", "paired", "a_new_one", "unpaired", "cyclegan", "conditional_gan", "semi_supervised"]
    found = sorted(shuffled, key=method_order)
    assert found[:4] == list(TABLE_1)
    assert found[4:] == ["semi_supervised", "copy", "a_new_one"]
    assert method_name("a_new_one") == "a new one"
    assert len(set(METHODS.values())) == len(METHODS)
