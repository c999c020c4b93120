"""A summary in lines; Table 1 in Markdown, in LaTeX and for programs."""

from __future__ import annotations

import io
import json
import re
from math import nan
from typing import Any

import pandas as pd
import pytest

from fixtures.results import one_volume, row, table1
from pseudohealthy.errors import RESEARCH_USE
from pseudohealthy.report.table1.tables import summary_lines, table1_latex, table1_markdown, table1_tsv


def markdown_tables(text: str) -> dict[str, list[dict[str, str]]]:
    """Rows by head, of each table by its title; `|` is escaped within a cell."""
    tables = {}
    for block in text.split("\n## ")[1:]:
        lines = [line for line in block.splitlines() if line.startswith("|")]
        cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
        tables[block.splitlines()[0]] = [dict(zip(cells[0], line, strict=True)) for line in cells[2:]]
    return tables


def test_measures_become_lines_and_all_else_is_left_out() -> None:
    spread = {"std": 0.0125, "low": 0.94, "high": 0.9666}
    summary: dict[str, Any] = {
        "volumes": 5,
        "identity": {"mean": 0.95, **spread},
        "healthiness": {"mean": 0.5, "std": 0.25, "low": 0.1, "high": 0.75, "pooled": 0.625, "rel": 0.4},
        "truth": {"inside": {"mae": {"mean": 0.04, **spread}}, "mae_ratio": {"mean": 0.125, **spread}},
        "model": {"method": "paired", "data": {"train": 68}, "noise": {"median": 0.25, "spread": 0.5}},
        "segmentor": {"dice_pooled": 0.7},
        "texture": {"median": 0.21, "low": 0.15, "high": 0.32, "lower_quartile": 0.1, "slices": 89},
        "split": "val",
    }
    assert list(summary_lines(summary)) == [
        "identity: 0.950 ± 0.013 [0.940, 0.967]",
        "healthiness: 0.500 ± 0.250 [0.100, 0.750], pooled 0.625, rel 0.400",
        "truth.inside.mae: 0.040 ± 0.013 [0.940, 0.967]",
        "truth.mae_ratio: 0.125 ± 0.013 [0.940, 0.967]",
        "model.noise.median: 0.250",
        "model.noise.spread: 0.500",
        "segmentor.dice_pooled: 0.700",
        "texture: median 0.210 [0.150, 0.320]",
    ]


def test_of_one_volume_no_spread_is_shown() -> None:
    one = {"mean": 0.5, "std": nan, "low": nan, "high": nan}
    lines = list(summary_lines({"identity": one, "healthiness": {**one, "pooled": 0.25}}))
    assert lines == ["identity: 0.500", "healthiness: 0.500, pooled 0.250"]


def test_nothing_measured_is_no_line() -> None:
    assert list(summary_lines({})) == []


def test_markdown_holds_the_numbers_of_the_dict() -> None:
    values = table1()
    lines = markdown_tables(table1_markdown(values))["Table 1"]
    order = ["conditional_gan", "cyclegan", "unpaired", "unpaired", "paired", "paired", "semi_supervised"]
    raw = {each["method"]: each for each in values["rows"] if each["output"] == "raw" and not each["mask"]}
    assert len(lines) == len(order)
    for line, method in zip(lines, order, strict=True):
        for measure in ("identity", "healthiness"):
            cell, expected = line[f"{measure} ↑ – ours"], raw[method][measure]
            found = [float(number) for number in re.findall(r"-?\d+\.\d+", cell)]
            for number, key in zip(found, ("mean", "std", "low", "high"), strict=True):
                assert number == pytest.approx(expected[key], abs=0.0005001)
        assert float(line["healthiness, pooled ↑ – ours"]) == pytest.approx(
            raw[method]["healthiness"]["pooled"], abs=0.0005001
        )


def test_markdown_has_all_tables_and_the_sentence_of_research_use() -> None:
    text = table1_markdown(table1())
    tables = markdown_tables(text)
    assert {"Table 1", "Blends and controls", "Oracles", "Healthy in, healthy out", "Provenance"} <= set(
        tables
    )
    assert all(tables.values())
    assert RESEARCH_USE in text
    assert "INVALID" not in text


def test_an_invalid_table_says_so_above_all_numbers() -> None:
    values = {**table1(), "valid": False, "invalid_reason": "the judge's Dice is 0.61"}
    text = table1_markdown(values)
    assert 0 < text.index("INVALID: the judge's Dice is 0.61") < text.index("|")
    assert "## Table 1 – INVALID" in text
    assert "INVALID: the judge's Dice is 0.61" in table1_latex(values)
    assert set(pd.read_csv(io.StringIO(table1_tsv(values)), sep="\t")["valid"]) == {False}


def test_words_cannot_break_markdown() -> None:
    text = table1_markdown(
        {"cohort": "a|b*c_d<e>", "commit": "x|y\nz", "rows": [row("copy") | {"method": "a|b"}]}
    )
    assert r"a\|b\*c\_d\<e>" in text.splitlines()[0]
    assert all(len(set(map(len, table))) == 1 for table in markdown_tables(text).values() if table)
    assert r"| commit | x\|y z |" in text


def test_latex_is_balanced_and_escaped() -> None:
    text = table1_latex({**table1(), "cohort": r"my_co{hort & 5% #1 $^~\ "})
    assert text.count("{") - text.count(r"\{") == text.count("}") - text.count(r"\}")
    assert text.count(r"\begin{") == text.count(r"\end{") == 2
    assert not re.search(r"(?<!\\)[_#]", text)
    assert text.isascii()
    assert r"my\_co\{hort \& 5\% \#1 \$\textasciicircum{}\textasciitilde{}\textbackslash{}" in text
    assert r"0.912 $\pm$ 0.031* [0.893, 0.928]" in text
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0].strip().splitlines()
    assert len(body) == 7
    assert {line.count("&") for line in body} == {17}
    widths = [int(width) for width in re.findall(r"\\multicolumn\{(\d+)\}", text)]
    assert sum(widths) == 18
    assert re.findall(r"\\cmidrule\(lr\)\{(.*?)\}", text) == ["5-14", "15-16", "17-18"]


def test_latex_knows_a_minus() -> None:
    values = table1()
    values["rows"][7]["identity"] = one_volume(-0.25)
    assert "& $-$0.250* &" in table1_latex(values)
    assert "held-out" in table1_latex(values)


def test_tsv_holds_every_number_as_it_is() -> None:
    values = json.loads(json.dumps(table1()))
    table = pd.read_csv(io.StringIO(table1_tsv(values)), sep="\t", dtype=str, keep_default_na=False)
    assert len(table) == len(values["rows"])
    assert list(table.columns[:6]) == ["valid", "method", "preset", "output", "mask", "seed"]
    for each in values["rows"]:
        wanted = [each["method"], each["preset"], each["output"], each["mask"] or "n/a", str(each["seed"])]
        (line,) = (cells for _, cells in table.iterrows() if list(cells.iloc[1:6]) == wanted)
        for measure in ("identity", "healthiness", "psnr_outside"):
            for key in ("mean", "std", "low", "high"):
                assert float(line[f"{measure}.{key}"]) == each[measure][key]
        assert line["healthiness.unreliable"] == str(each["healthiness"]["unreliable"])
        assert line["images"] == str(each.get("images", "n/a"))
    assert not {"cycle", "through_plane_inconsistency"} & set(table.columns)


def test_a_single_volume_and_null_are_no_numbers_in_a_tsv() -> None:
    text = table1_tsv(
        {
            "rows": [
                row("paired", identity=one_volume(0.5), cycle=None),
                row("copy", through_plane_inconsistency=nan),
            ]
        }
    )
    first, second = pd.read_csv(io.StringIO(text), sep="\t", dtype=str, keep_default_na=False).to_dict(
        "records"
    )
    assert first["valid"] == "n/a"
    assert first["identity.mean"] == "0.5"
    assert first["identity.std"] == "n/a"
    assert second["through_plane_inconsistency"] == "n/a"
    assert table1_tsv({}).splitlines() == ["valid\tmethod\tpreset\toutput\tmask\tseed\tlabelled_fraction"]
