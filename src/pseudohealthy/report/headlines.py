"""What a reader wants first of a results file: a short table, and whether its goals are met."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pseudohealthy.report import paper
from pseudohealthy.report.caption import validity
from pseudohealthy.report.cells import NOTHING, cell, central, known, leaf, text
from pseudohealthy.report.content import STAR, VOID, Table, is_method
from pseudohealthy.report.names import Row, distinct_names, ordered
from pseudohealthy.report.tables import markdown

CONTROLS = ("inpainter", "mirror", "fill", "copy")
HEADS = (
    *("output", "identity", "healthiness, pooled", "panel: mean, worst", "held-back judge"),
    *("insertion recall", "re-segmentability", "PSNR inside transplanted lesions"),
)
MARKS = (
    rf"\{STAR} better than the better baseline at 5 % (paired Wilcoxon over volumes, Holm). {VOID} void: "
    "lesions put into these outputs are not found by the judge as they are in real slices."
)
HEALTHY = (
    "Real healthy slices: what the judges find in slices without a lesion, over the mean lesion of the rest. "
    "A healthiness above this row's is beyond what its judge can tell."
)


class Goal(NamedTuple):
    """A number of a method's raw output and what it is to reach.

    Attributes:
        words: what it is.
        methods: whose.
        path: of the number in a row.
        goal: the number to reach.
        least: whether more is better.
    """

    words: str
    methods: tuple[str, ...]
    path: str
    goal: float
    least: bool = True


BOTH = ("paired", "unpaired")
GOALS = (
    Goal("identity", ("paired",), "identity", 0.97),
    Goal("identity", ("unpaired",), "identity", 0.93),
    Goal("healthiness, mean of the panel", ("paired",), "healthiness.panel_mean", 0.98),
    Goal("healthiness, mean of the panel", ("unpaired",), "healthiness.panel_mean", 0.95),
    Goal("Dice of S, pooled", ("paired",), "segmentor_dice", 0.86),
    Goal("Dice of S, pooled", ("unpaired",), "segmentor_dice", 0.60),
    Goal("MS-SSIM of healthy slices", BOTH, "healthy_in.ms_ssim", 0.98),
    Goal("re-segmentability above coordinates", BOTH, "reseg_excess_auroc", 0.05, least=False),
    Goal("checkerboard energy against the input's", BOTH, "checkerboard", 1.1, least=False),
)
JUDGE_DICE = 0.88
RECALL_MARGIN = 0.05


def headlines(table1: Mapping[str, Any]) -> str:
    """The methods' raw outputs and a few controls in Markdown: identity, healthiness and what guards them."""
    rows = [row for row in ordered(table1.get("rows") or []) if _shown(row)]
    body = [[name, *_numbers(row)] for name, row in zip(distinct_names(rows), rows, strict=True)]
    invalid = [f"**{warning}**"] if (warning := validity(table1)) else []
    marks = MARKS
    if healthy := table1.get("healthy_slices"):
        values = {key: text(value) for key, value in healthy.items()}
        panel = f"{values['panel_mean']}, {values['panel_worst']}"
        cells = ("real healthy slices", NOTHING, values["pooled"], panel, values["held_back"])
        body.append([*cells, *[NOTHING] * (len(HEADS) - len(cells))])
        marks = f"{MARKS} {HEALTHY}"
    return "\n\n".join([*invalid, markdown(Table("", HEADS, body)), marks])


def goals(table1: Mapping[str, Any]) -> str:
    """Each goal in Markdown: what was asked, what was found, and by how much it is missed."""
    return markdown(Table("", ("goal", "asked", "found", "missed by"), list(_goals(table1))))


def _shown(row: Row) -> bool:
    return is_method(row) or (row["method"] in CONTROLS and row.get("mask") != "true")


def _numbers(row: Row) -> list[str]:
    mark = VOID if leaf(row, "healthiness.void") else ""
    stars = {key: STAR if leaf(row, f"star.{key}") else "" for key in ("identity", "healthiness")}
    identity = row.get("identity") or {}
    panel = (text(leaf(row, f"healthiness.panel_{which}")) + mark for which in ("mean", "worst"))
    return [
        cell({key: identity.get(key) for key in ("mean", "std")}, stars["identity"]),
        text(leaf(row, "healthiness.pooled")) + stars["healthiness"] + mark,
        ", ".join(panel),
        text(leaf(row, "healthiness.held_back")) + mark,
        text(leaf(row, "healthiness.insertion_recall")),
        text(central(leaf(row, "reseg_excess_auroc"))),
        f"{text(leaf(row, 'truth_transplant.inside.psnr.mean'))} dB",
    ]


def _goals(table1: Mapping[str, Any]) -> Iterator[list[str]]:
    dice = leaf(table1, "judge.dice_pooled")
    yield _line("the judge: Dice, pooled", dice, JUDGE_DICE)
    rows = {row["method"]: row for row in reversed(table1.get("rows") or []) if row.get("output") != "blend"}
    for words, methods, path, goal, least in GOALS:
        for method in methods:
            if method in rows:
                found = central(leaf(rows[method], path))
                yield _line(f"{paper.method_name(method)}: {words}", found, goal, least=least)
    recall = leaf(table1, "judge.insertion_recall")
    for method in (name for name in BOTH if name in rows):
        name, row = paper.method_name(method), rows[method]
        if known(recall):
            found = leaf(row, "healthiness.insertion_recall")
            yield _line(f"{name}: insertion recall", found, recall - RECALL_MARGIN)
        for measure in ("identity", "healthiness"):
            met = bool(leaf(row, f"star.{measure}"))
            asked = "ahead of both baselines, at 5 %"
            yield [f"{name}: {measure}", asked, "yes" if met else "no", NOTHING if met else "no star"]
        yield from _truth(name, row, table1)


def _truth(name: str, row: Row, table1: Mapping[str, Any]) -> Iterator[list[str]]:
    """Truth inside transplanted lesions against the better of mirror and fill inside S's mask."""
    fills = [
        other
        for other in table1["rows"]
        if other["method"] in ("mirror", "fill") and other.get("mask") == "segmentor"
    ]
    for measure in ("psnr", "ssim"):
        path = f"truth_transplant.inside.{measure}.mean"
        others = [value for other in fills if known(value := leaf(other, path))]
        if others:
            words = f"{name}: {measure.upper()} inside transplants, ahead of mirror and fill"
            yield _line(words, leaf(row, path), max(others))


def _line(words: str, found: Any, goal: float, *, least: bool = True) -> list[str]:
    sign = "≥" if least else "≤"
    missed = (goal - found if least else found - goal) if known(found) else None
    if missed is None:
        return [words, f"{sign} {text(goal)}", NOTHING, "not measured"]
    return [words, f"{sign} {text(goal)}", text(found), NOTHING if missed <= 0 else text(float(missed))]
