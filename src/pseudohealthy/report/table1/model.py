"""The parts of Table 1 as plain tables of text, whatever they are written in afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

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
from pseudohealthy.report.table1.test_summary import tests_made

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


# the shared columns of methods, controls and oracles
MEASURED = (
    "identity ↑",
    "healthiness ↑",
    "pooled",
    "relative to input",
    "panel mean",
    "panel worst",
    "held-back judge",
    "insertion recall ↑",
    "balance ↑",
    "texture (1 is ideal)",
)
TESTED = ("identity", "healthiness", "balance")

# Secondary measures by theme: a key of a row stands for all that lies under it.
THEMES: Mapping[str, tuple[str, ...]] = {
    "Outside the lesion, and what is left of it": (
        "identity_normalised",
        "psnr_outside",
        "mae_outside",
        "residual_contrast",
        "reseg_auroc",
        "reseg_auroc_coordinates",
        "reseg_excess_auroc",
        "checkerboard",
        "through_plane_inconsistency",
    ),
    "Against a truth: a real lesion put into a healthy slice": ("truth_transplant",),
    "Against a truth: phantoms": ("truth_phantom",),
    "Does R obey the mask?": ("cycle", "mask_control"),
    "Healthy in, healthy out": ("healthy_in",),
    "Segmentation, detection and anomaly": (
        "segmentor_dice",
        "anomaly_auprc",
        "anomaly_auprc_flair",
        "detection",
    ),
}
HEADS: Mapping[str, str] = {
    "identity_normalised": "mask-normalised MS-SSIM ↑",
    "psnr_outside": "PSNR outside, dB ↑",
    "mae_outside": "MAE outside ↓",
    "residual_contrast": "residual contrast (0 is ideal)",
    "reseg_auroc": "re-segmentability, AUROC",
    "reseg_auroc_coordinates": "of coordinates alone",
    "reseg_excess_auroc": "above coordinates (0 is ideal)",
    "checkerboard": "checkerboard against input",
    "through_plane_inconsistency": "flicker against input",
    "cycle.l1": "cycle L1",
    "cycle.location_dice": "lesion place, Dice",
    "cycle.l1_quantised": "cycle L1, rounded",
    "cycle.location_dice_quantised": "lesion place, Dice, rounded",
    "mask_control.residual_without_mask": "left by R(x~, 0) ↓",
    "mask_control.moved_mask_dice": "R(x~, moved), Dice ↑",
    "mask_control.leak_at_original_site": "R(x~, moved): share of the old place still found ↓",
    "healthy_in.mae": "MAE of G(x) ↓",
    "healthy_in.ms_ssim": "MS-SSIM of G(x) ↑",
    "healthy_in.false_positive_voxels": "voxels S marks ↓",
    "healthy_in.reconstructed_mae": "MAE of R(x, 0) ↓",
    "segmentor_dice": "Dice of S ↑",
    "anomaly_auprc": "AUPRC of |x - x~| ↑",
    "anomaly_auprc_flair": "AUPRC of FLAIR",
}
WORDS: Mapping[str, str] = {"psnr": "PSNR", "ssim": "SSIM", "mae": "MAE", "auprc": "AUPRC"}
BLENDS = (
    "A blend keeps the input wherever the segmentor sees no lesion, so its identity is high by construction. "
    "Controls know nothing of health; they say what each measure makes of simple changes."
)
ORACLES = "They are given the true mask, which nobody has of a new patient: not to be compared with methods."
ELSEWHERE = (  # in table1, told in other places
    *("rows", "judge", "judges", "statistics", "baselines", "not_tested"),
    *("steps", "choice_rule", "research_use"),
)
NO_MEASURES = (*TESTED, "texture", "p_holm", "star")


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
    return row["method"] in paper.TRAINED and row.get("output") != "blend" and not is_oracle(row)


def main_table(table1: Mapping[str, Any]) -> Table:
    """The methods' raw output, a row a preset and seed, beside the paper's figures."""
    rows = [row for row in ordered(table1.get("rows") or []) if is_method(row)]
    heads = ["method", "preset", "seed", "images", *MEASURED, *(measure for _, measure in paper.COLUMNS)]
    groups = [""] * 4 + ["ours"] * len(MEASURED) + [f"the paper's, {data}" for data, _ in paper.COLUMNS]
    return Table(
        "Table 1", heads, [_identified(row) + _measured(row) + _reported(row) for row in rows], groups
    )


def statistics_table(table1: Mapping[str, Any], named: Sequence[Named]) -> Table:
    """Each comparison with the better baseline; where only the rows tell of them, their adjusted p."""
    heads = ["row", "measure", "against", "volumes", "p", "p after Holm"]
    compared = {
        paper.method_name(method): tests for method, tests in (table1.get("statistics") or {}).items()
    }
    if not compared:
        compared = {name: _tests(row) for name, row in named}
    body = [
        [
            name,
            measure,
            paper.method_name(test["baseline"]) if test.get("baseline") else MISSING,
            text(test.get("n")),
            _probability(test.get("p")),
            _probability(test.get("p_holm")) + (STAR if test.get("star") else ""),
        ]
        for name, tests in compared.items()
        for measure, test in tests.items()
    ]
    return Table("Statistics", heads, body, note=" ".join(tests_made(table1)))


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
    found = {name: _secondary(row) for name, row in named}
    paths = list(dict.fromkeys(path for each in found.values() for path in each))
    left = list(paths)
    for title, keys in THEMES.items():
        chosen = [path for key in keys for path in paths if f"{path}.".startswith(f"{key}.")]
        left = [path for path in left if path not in chosen]
        yield _theme(title, found, chosen)
    yield _theme("Other measures", found, left)


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
    return Table(title, ["row", *MEASURED], [[name, *_measured(row)] for name, row in named], note=note)


def _facts(title: str, values: Mapping[str, Any]) -> Table:
    return Table(title, ["what", "value"], [[path, cell(value)] for path, value in measures(values)])


def _identified(row: Row) -> list[str]:
    return [row_label(row), *(text(row.get(key)) for key in ("preset", "seed", "images"))]


def _measured(row: Row) -> list[str]:
    """The cells of MEASURED; whatever rests on the judges is marked in a unreliable row."""
    unreliable = UNRELIABLE if is_unreliable(row) else ""
    healthiness = dict(row.get("healthiness") or {})
    pooled = healthiness.pop("pooled", None)
    further = [
        point_estimate(healthiness.get(key)) for key in ("rel", "panel_mean", "panel_worst", "held_out")
    ]
    return [
        cell(row.get("identity"), _star(row, "identity")),
        cell(healthiness, _star(row, "healthiness") + unreliable),
        *(cell(value, unreliable) for value in (pooled, *further)),
        cell(healthiness.get("insertion_recall"), unreliable),
        cell(row.get("balance"), _star(row, "balance") + unreliable),
        cell(row.get("texture")),
    ]


def is_unreliable(row: Row) -> bool:
    """The judge does not find lesions known to be in this row's outputs, so its healthiness says nothing."""
    return bool(get_path(row, "healthiness.unreliable"))


def _reported(row: Row) -> list[str]:
    figures = paper.TABLE_1.get(str(row["method"]))
    return [str(figure) for figure in figures] if figures else [MISSING] * len(paper.COLUMNS)


def _star(row: Row, measure: str) -> str:
    return STAR if get_path(row, f"star.{measure}") else ""


def _tests(row: Row) -> dict[str, dict[str, Any]]:
    """What a row tells of its comparisons, by measure."""
    adjusted = {measure: get_path(row, f"p_holm.{measure}") for measure in TESTED}
    return {
        measure: {"p_holm": p, "star": get_path(row, f"star.{measure}")}
        for measure, p in adjusted.items()
        if is_measured(p)
    }


def _probability(value: Any) -> str:
    return f"{value:.2g}" if is_measured(value) else MISSING


def _secondary(row: Row) -> dict[str, Any]:
    """Measures by path, except the main ones; where no theme names them, only those over volumes."""
    named = {key for keys in THEMES.values() for key in keys}
    return {
        path: value
        for key in row
        if key not in NO_MEASURES
        for path, value in measures({key: row[key]})
        if cell(value) != MISSING and (key in named or isinstance(value, Mapping))
    }


def _theme(title: str, found: Mapping[str, Mapping[str, Any]], paths: Sequence[str]) -> Table:
    body = [
        [name, *(cell(each.get(path)) for path in paths)]
        for name, each in found.items()
        if any(path in each for path in paths)
    ]
    return Table(title, ["row", *map(_head, paths)], body)


def _head(path: str) -> str:
    words = path.removeprefix("truth_transplant.").removeprefix("truth_phantom.").replace(".", "_").split("_")
    return HEADS.get(path, " ".join(WORDS.get(word, word) for word in words))
