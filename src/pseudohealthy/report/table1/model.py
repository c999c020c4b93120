"""The parts of Table 1 as plain tables of text, whatever they are written in afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pseudohealthy.catalogue.measures import (
    MAIN,
    MEASURES,
    TESTED,
    THEMES,
    head_of,
    key_of,
    rests_on_judge,
)
from pseudohealthy.catalogue.methods import SYNTHESIS, method_name
from pseudohealthy.report.table1 import paper
from pseudohealthy.report.table1.cells import (
    MISSING,
    cell,
    get_path,
    is_measured,
    measures,
    point_estimate,
    text,
)
from pseudohealthy.report.table1.row_labels import Row, distinct_labels, is_oracle, ordered, row_label
from pseudohealthy.report.table1.test_summary import describe_tests

STAR, UNRELIABLE = "*", "†"
Named = tuple[str, Row]


@dataclass(frozen=True)
class Table:
    """Text in rows and columns.

    Attributes:
        title: what stands above it.
        heads: one a column; the first column names the row.
        rows: as many cells as heads.
        groups: what neighbouring columns have in common, one a column; "" where nothing; () for none.
        note: what a reader must know to read it.
    """

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    groups: Sequence[str] = ()
    note: str = ""

    def spans(self) -> list[tuple[str, int]]:
        """Each group with how many columns it goes over."""
        return [(name, len(list(members))) for name, members in groupby(self.groups)]


BLENDS = (
    "A blend keeps the input wherever the segmentor sees no lesion, so its identity is high by construction. "
    "Controls know nothing of health; they say what value each measure has for simple changes."
)
ORACLES = "They are given the true mask, which nobody has of a new patient: not to be compared with methods."
ELSEWHERE = (  # in table1, shown in other places
    *("rows", "judge", "judges", "statistics", "baselines", "not_tested"),
    *("steps", "choice_rule", "research_use"),
)
NO_MEASURES = (*(key.partition(".")[0] for key in MAIN), "p_holm", "star")


def parts(table1: Mapping[str, Any]) -> list[Table]:
    """Table 1 beside the paper's, controls, oracles, statistics, judges, secondary measures.

    Args:
        table1: what `results/<experiment>/table1.json` holds. Any measure of a row may be missing or None.

    Returns:
        Those that have rows; Table 1 itself always, first.
    """
    rows = ordered(table1.get("rows") or [])
    named = list(zip(distinct_labels(rows), rows, strict=True))
    rest = [(name, row) for name, row in named if not is_method(row)]
    tables = [
        main_table(table1),
        _controls("Blends and controls", [each for each in rest if not is_oracle(each[1])], BLENDS),
        _controls("Oracles", [each for each in rest if is_oracle(each[1])], ORACLES),
        statistics_table(table1, named),
        judges_table(table1),
        members_table(named),
        *secondary_tables(named),
    ]
    return tables[:1] + [table for table in tables[1:] if table.rows]


def provenance(table1: Mapping[str, Any]) -> list[Table]:
    """What each row's training took, and whatever else is recorded of how the figures came about."""
    facts = {key: value for key, value in table1.items() if key not in ELSEWHERE}
    steps = table1.get("steps") or []
    keys = list(dict.fromkeys(key for step in steps for key in step))
    return [
        training_table(ordered(table1.get("rows") or [])),
        Table("Steps", keys, [[cell(step.get(key)) for key in keys] for step in steps]),
        _facts("Provenance", facts),
    ]


def is_method(row: Row) -> bool:
    """A trained method's raw output: what the paper's Table 1 compares."""
    return row["method"] in SYNTHESIS and row.get("output") != "blend" and not is_oracle(row)


def main_table(table1: Mapping[str, Any]) -> Table:
    """The methods' raw output, a row a preset and seed, beside the paper's figures."""
    rows = [row for row in ordered(table1.get("rows") or []) if is_method(row)]
    heads = ["method", "preset", "seed", "images", *_heads(), *(measure for _, measure in paper.COLUMNS)]
    groups = [""] * 4 + ["ours"] * len(MAIN) + [f"the paper's, {data}" for data, _ in paper.COLUMNS]
    return Table(
        "Table 1", heads, [_identified(row) + _measured(row) + _reported(row) for row in rows], groups
    )


def statistics_table(table1: Mapping[str, Any], named: Sequence[Named]) -> Table:
    """Each comparison with the better baseline; where only the rows record them, their adjusted p."""
    heads = ["row", "measure", "against", "volumes", "p", "p after Holm"]
    compared = {method_name(method): tests for method, tests in (table1.get("statistics") or {}).items()}
    if not compared:
        compared = {name: _tests(row) for name, row in named}
    body = [
        [
            name,
            measure,
            method_name(test["baseline"]) if test.get("baseline") else MISSING,
            text(test.get("n")),
            _probability(test.get("p")),
            _probability(test.get("p_holm")) + (STAR if test.get("star") else ""),
        ]
        for name, tests in compared.items()
        for measure, test in tests.items()
    ]
    return Table("Statistics", heads, body, note=" ".join(describe_tests(table1)))


def judges_table(table1: Mapping[str, Any]) -> Table:
    """All that is recorded of each judge, on the unchanged slices."""
    judges = table1.get("judges") or ({"f_pre": table1["judge"]} if table1.get("judge") else {})
    keys = list(dict.fromkeys(key for facts in judges.values() for key in facts))
    body = [[name, *(cell(facts.get(key)) for key in keys)] for name, facts in judges.items()]
    return Table("Judges", ["judge", *(key.replace("_", " ") for key in keys)], body)


def members_table(named: Sequence[Named]) -> Table:
    """Pooled healthiness by each judge of the panel."""
    members = {name: get_path(row, "healthiness.members") or {} for name, row in named}
    judges = list(dict.fromkeys(judge for each in members.values() for judge in each))
    body = [
        [name, *(text(point_estimate(each.get(judge))) for judge in judges)]
        for name, each in members.items()
        if each
    ]
    heads = ["row", *(judge.replace("_", " ") for judge in judges)]
    return Table("Healthiness by each judge of the panel", heads, body)


def secondary_tables(named: Sequence[Named]) -> Iterator[Table]:
    """All further measures by theme; a column that no row has is left out, and so is such a row."""
    values = {name: _secondary(row) for name, row in named}
    paths = list(dict.fromkeys(path for each in values.values() for path in each))
    for theme in THEMES[1:]:
        keys = [key for key, measure in MEASURES.items() if measure.theme == theme]
        yield _theme(theme, values, [path for key in keys for path in paths if key_of(path) == key])
    yield _theme("Other measures", values, [path for path in paths if key_of(path) is None])


def training_table(rows: Sequence[Row]) -> Table:
    """What each row's training took."""
    keys = ("preset", "seed", "images", "width", "device", "hours")
    trained = [row for row in rows if is_method(row) or is_measured(row.get("hours"))]
    body = [
        [name, *(text(row.get(key)) for key in keys)]
        for name, row in zip(map(row_label, trained), trained, strict=True)
    ]
    return Table("Training", ["row", *keys], body)


def _controls(title: str, named: Sequence[Named], note: str) -> Table:
    return Table(title, ["row", *_heads()], [[name, *_measured(row)] for name, row in named], note=note)


def _heads() -> list[str]:
    """The shared columns of methods, controls and oracles."""
    return [MEASURES[key].head for key in MAIN]


def _facts(title: str, values: Mapping[str, Any]) -> Table:
    return Table(title, ["what", "value"], [[path, cell(value)] for path, value in measures(values)])


def _identified(row: Row) -> list[str]:
    return [row_label(row), *(text(row.get(key)) for key in ("preset", "seed", "images"))]


def _measured(row: Row) -> list[str]:
    return [measured(row, key) for key in MAIN]


def measured(row: Row, key: str) -> str:
    """A measure of Table 1 as the text of its cell.

    A part of a measure, such as `healthiness.pooled`, is one number and has a column of its own. A star is
    set behind what was tested, and a dagger behind whatever rests on the judge in an unreliable row.
    """
    value = get_path(row, key)
    if "." in key:
        value = point_estimate(value)
    elif isinstance(value, Mapping):
        value = {name: each for name, each in value.items() if name != "pooled"}
    return cell(value, marks(row, key))


def marks(row: Row, key: str) -> str:
    """The star and the dagger of a measure of Table 1, where they are due."""
    unreliable = UNRELIABLE if rests_on_judge(key) and is_unreliable(row) else ""
    return _star(row, key) + unreliable


def is_unreliable(row: Row) -> bool:
    """The judge does not find lesions known to be in this row's outputs, so its healthiness says nothing."""
    return bool(get_path(row, "healthiness.unreliable"))


def _reported(row: Row) -> list[str]:
    figures = paper.TABLE_1.get(str(row["method"]))
    return [str(figure) for figure in figures] if figures else [MISSING] * len(paper.COLUMNS)


def _star(row: Row, measure: str) -> str:
    return STAR if measure in TESTED and get_path(row, f"star.{measure}") else ""


def _tests(row: Row) -> dict[str, dict[str, Any]]:
    """The tests that a row records, by measure."""
    adjusted = {measure: get_path(row, f"p_holm.{measure}") for measure in TESTED}
    return {
        measure: {"p_holm": p, "star": get_path(row, f"star.{measure}")}
        for measure, p in adjusted.items()
        if is_measured(p)
    }


def _probability(value: Any) -> str:
    return f"{value:.2g}" if is_measured(value) else MISSING


def _secondary(row: Row) -> dict[str, Any]:
    """Measures by path, except the main ones; unknown ones only where they are over volumes."""
    return {
        path: value
        for key in row
        if key not in NO_MEASURES
        for path, value in measures({key: row[key]})
        if cell(value) != MISSING and (key_of(path) or isinstance(value, Mapping))
    }


def _theme(title: str, values: Mapping[str, Mapping[str, Any]], paths: Sequence[str]) -> Table:
    body = [
        [name, *(cell(each.get(path)) for path in paths)]
        for name, each in values.items()
        if any(path in each for path in paths)
    ]
    return Table(title, ["row", *map(head_of, paths)], body)
