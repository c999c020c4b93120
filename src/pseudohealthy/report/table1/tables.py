"""Tables from plain results: as lines, Markdown, LaTeX, and for programs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from pseudohealthy.files import flatten, tsv_text
from pseudohealthy.report.table1.caption import caption, title, validity
from pseudohealthy.report.table1.cells import cell, is_measure
from pseudohealthy.report.table1.model import Table, main_table, parts, provenance
from pseudohealthy.report.table1.row_labels import ordered

# A row, for a program
IDENTIFIED = ("valid", "method", "preset", "output", "mask", "seed", "labelled_fraction")
LATEX = {  # what LaTeX would take for something else, or its fonts lack
    "\\": r"\textbackslash{}",
    **{letter: f"\\{letter}" for letter in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "†": r"$\dagger$",
    "–": "--",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
}


def summary_lines(summary: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Each measure of a score summary as `name: mean ± standard deviation [95 % interval]`, or its median.

    One volume says nothing of spread: only its value is shown. So is a number that stands for all volumes.
    """
    for name, value in summary.items():
        if isinstance(value, float):
            yield f"{prefix}{name}: {value:.3f}"
        if not isinstance(value, Mapping):
            continue
        if not is_measure(value):
            yield from summary_lines(value, f"{prefix}{name}.")
            continue
        if "mean" not in value:
            yield f"{prefix}{name}: median {cell(value)}"
            continue
        line = f"{prefix}{name}: {value['mean']:.3f}"
        if math.isfinite(value["std"]):
            line += f" ± {value['std']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
        pooled = [f", {key} {value[key]:.3f}" for key in ("pooled", "rel") if key in value]
        yield line + "".join(pooled)


def table1_markdown(table1: Mapping[str, Any]) -> str:
    """The report's tables as Markdown: Table 1 with what must be said of it, then all further ones.

    Args:
        table1: what `results/<experiment>/table1.json` holds; what is missing or None becomes a dash.
    """
    first, *further = parts(table1)
    warning = validity(table1)
    blocks = [f"# {_escaped(title(table1))}", f"**{_escaped(warning)}**" if warning else ""]
    blocks += [f"## {first.title}{' – INVALID' if warning else ''}", markdown(first)]
    blocks += ["\n".join(f"- {_escaped(line)}" for line in caption(table1))]
    for table in [*further, *(table for table in provenance(table1) if table.rows)]:
        blocks += [f"## {table.title}", markdown(table), _escaped(table.note)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def table1_latex(table1: Mapping[str, Any]) -> str:
    """Table 1 beside the paper's as a LaTeX table; it needs the packages booktabs and graphicx.

    Args:
        table1: as of `table1_markdown`.
    """
    table = main_table(table1)
    words = " ".join([f"{title(table1)}.", validity(table1), *caption(table1)])
    lines = [
        r"\begin{table*}",
        r"\centering",
        rf"\caption{{{_latex(words)}}}",
        r"\resizebox{\textwidth}{!}{%",
        rf"\begin{{tabular}}{{l{'c' * (len(table.heads) - 1)}}}",
        r"\toprule",
        *_latex_groups(table),
        _latex_line(table.heads),
        r"\midrule",
        *map(_latex_line, table.rows),
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{table*}",
    ]
    return "% booktabs, graphicx\n" + "\n".join(lines) + "\n"


def table1_tsv(table1: Mapping[str, Any]) -> str:
    """Every row with every number, for programs: one line a row, a column each dotted path, n/a for nothing.

    Args:
        table1: as of `table1_markdown`; its `valid` is repeated in each line.
    """
    rows = [{"valid": table1.get("valid"), **_measured(row)} for row in ordered(table1.get("rows") or [])]
    columns = list(dict.fromkeys([*IDENTIFIED, *(path for row in rows for path in row)]))
    frame = pd.DataFrame(rows, columns=columns, dtype=object)  # as they are: a seed of 0 stays 0
    return tsv_text(frame)


def _measured(row: Mapping[str, Any]) -> dict[str, Any]:
    """By dotted path; a group that was not measured is no column beside its own parts."""
    return {path: value for path, value in flatten(row).items() if value is not None}


def markdown(table: Table) -> str:
    """A table in Markdown, without its title and note."""
    groups = table.groups or [""] * len(table.heads)
    heads = [f"{head} – {group}" if group else head for head, group in zip(table.heads, groups, strict=True)]
    rule = ["---", *[":---:"] * (len(heads) - 1)]
    return "\n".join("| " + " | ".join(map(_escaped, line)) + " |" for line in (heads, rule, *table.rows))


def _escaped(words: str) -> str:
    return re.sub(r"([|*_<~\\])", r"\\\1", " ".join(words.split()))


def _latex_groups(table: Table) -> list[str]:
    """A line of heads over several columns, and the rules under them."""
    heads, rules, start = [], [], 1
    for name, width in table.spans():
        heads.append(rf"\multicolumn{{{width}}}{{c}}{{{_latex(name)}}}")
        if name:
            rules.append(rf"\cmidrule(lr){{{start}-{start + width - 1}}}")
        start += width
    return [" & ".join(heads) + r" \\", " ".join(rules)]


def _latex_line(cells: Sequence[str]) -> str:
    return " & ".join(map(_latex, cells)) + r" \\"


def _latex(words: str) -> str:
    letters = "".join(LATEX.get(letter, letter) for letter in " ".join(words.split()))
    return re.sub(r"(?<![\w-])-(?=\d)", "$-$", letters)  # a minus, not a hyphen
