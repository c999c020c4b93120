"""What a reader wants first of a results file: a short table, and whether its goals are met."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pseudohealthy.report.table1 import paper
from pseudohealthy.report.table1.caption import validity
from pseudohealthy.report.table1.cells import MISSING, cell, get_path, is_measured, point_estimate, text
from pseudohealthy.report.table1.model import STAR, TESTED, UNRELIABLE, Table, is_method
from pseudohealthy.report.table1.row_labels import Row, distinct_labels, is_oracle, ordered
from pseudohealthy.report.table1.tables import markdown

CONTROLS = ("inpainter", "mirror", "fill", "constant", "copy")
FILLS = ("constant", "mirror", "fill", "inpainter")
HEADS = (
    *("output", "identity", "healthiness, pooled", "panel: mean, worst", "held-back judge"),
    *("balance", "texture", "insertion recall", "re-segmentability", "PSNR inside transplanted lesions"),
)
MARKS = (
    rf"\{STAR} better than the better baseline at 5 % (paired Wilcoxon over volumes, Holm). "
    f"{UNRELIABLE} unreliable: "
    "lesions put into these outputs are not found by the judge as they are in real slices. Balance: harmonic "
    "mean of mask-normalised identity and the panel's healthiness. Texture: gradient energy inside the "
    "lesion's place over that of the mirrored place, median over slices; 1 is ideal, a smooth patch near 0."
)
HEALTHY = (
    "Real healthy slices: what the judges find in slices without a lesion, over the mean lesion of the rest. "
    "A healthiness above this row's is beyond what its judge can tell."
)


class Goal(NamedTuple):
    """A number of a method's raw output, or of the first judge, and what it is to reach.

    Attributes:
        words: what it is.
        path: of the number in a row, or in `table1.json`.
        least: the number to reach; None: there is no lower bound.
        most: the number not to exceed; None: there is no upper bound.
        size: of the number, without its sign.
    """

    words: str
    path: str
    least: float | None = None
    most: float | None = None
    size: bool = False


BOTH = ("paired", "unpaired")


def _goals_of(
    judge_dice: float, paired: tuple[float, float], unpaired: tuple[float, float], segmentor_dice: float
) -> dict[str, tuple[Goal, ...]]:
    """A cohort's goals for the judge and for each method, whose own are of identity and healthiness."""
    of_judge = (
        Goal("Dice, pooled", "judge.dice_pooled", judge_dice),
        Goal("h(copy), without its sign", "judge.h_copy", most=0.15, size=True),
        Goal("h(real healthy)", "judge.h_real_healthy", 0.97),
    )
    of_paired = (
        Goal("texture, median", "texture.median", 0.7, 1.3),
        Goal("Dice of S, pooled", "segmentor_dice", segmentor_dice),
        Goal("ml that S marks in a volume without a lesion", "healthy_in.marked_ml", most=3.0),
    )
    return {
        "judge": of_judge,
        "paired": (*_of_both(*paired), *of_paired),
        "unpaired": _of_both(*unpaired),
    }


def _of_both(identity: float, healthiness: float) -> tuple[Goal, ...]:
    return (
        Goal("identity", "identity", identity),
        Goal("healthiness, mean of the panel", "healthiness.panel_mean", healthiness),
        Goal("MS-SSIM of healthy slices", "healthy_in.ms_ssim", 0.985),
        Goal("re-segmentability above coordinates", "reseg_excess_auroc", most=0.05),
    )


GOALS: Mapping[str, Mapping[str, tuple[Goal, ...]]] = {  # by experiment
    "lgg": _goals_of(0.82, (0.985, 0.985), (0.97, 0.97), 0.80),
    "soop": _goals_of(0.65, (0.98, 0.97), (0.96, 0.92), 0.65),
}
PSNR_MARGIN = 1.0  # dB


def headlines(table1: Mapping[str, Any]) -> str:
    """The methods' raw outputs and a few controls in Markdown: identity, healthiness and what guards them."""
    rows = [row for row in ordered(table1.get("rows") or []) if _shown(row)]
    body = [[name, *_numbers(row)] for name, row in zip(distinct_labels(rows), rows, strict=True)]
    invalid = [f"**{warning}**"] if (warning := validity(table1)) else []
    marks = MARKS
    if healthy := table1.get("healthy_slices"):
        values = {key: text(value) for key, value in healthy.items()}
        panel = f"{values['panel_mean']}, {values['panel_worst']}"
        texture = text(get_path(table1, "texture_of_healthy_slices.median"))
        judged = (values["pooled"], panel, values["held_out"])
        cells = ("real healthy slices", MISSING, *judged, MISSING, texture)
        body.append([*cells, *[MISSING] * (len(HEADS) - len(cells))])
        marks = f"{MARKS} {HEALTHY}"
    return "\n\n".join([*invalid, markdown(Table("", HEADS, body)), marks])


def goals(table1: Mapping[str, Any]) -> str:
    """Each goal in Markdown: what was asked, what was found, and by how much it is missed.

    Args:
        table1: its `experiment` says which goals; nothing where none were set for it.
    """
    asked = GOALS.get(str(table1.get("experiment")))
    if asked is None:
        return ""
    return markdown(Table("", ("goal", "asked", "found", "missed by"), list(_goals(table1, asked))))


def _shown(row: Row) -> bool:
    return is_method(row) or (row["method"] in CONTROLS and row.get("mask") != "true")


def _numbers(row: Row) -> list[str]:
    mark = UNRELIABLE if get_path(row, "healthiness.unreliable") else ""
    stars = {key: STAR if get_path(row, f"star.{key}") else "" for key in TESTED}
    identity, balance = (row.get(key) or {} for key in ("identity", "balance"))
    panel = (text(get_path(row, f"healthiness.panel_{which}")) + mark for which in ("mean", "worst"))
    return [
        cell({key: identity.get(key) for key in ("mean", "std")}, stars["identity"]),
        text(get_path(row, "healthiness.pooled")) + stars["healthiness"] + mark,
        ", ".join(panel),
        text(get_path(row, "healthiness.held_out")) + mark,
        cell({key: balance.get(key) for key in ("mean", "std")}, stars["balance"] + mark),
        text(get_path(row, "texture.median")),
        text(get_path(row, "healthiness.insertion_recall")),
        text(point_estimate(get_path(row, "reseg_excess_auroc"))),
        f"{text(get_path(row, 'truth_transplant.inside.psnr.mean'))} dB",
    ]


def _goals(table1: Mapping[str, Any], asked: Mapping[str, tuple[Goal, ...]]) -> Iterator[list[str]]:
    yield from (
        _line(f"the judge: {goal.words}", get_path(table1, goal.path), goal) for goal in asked["judge"]
    )
    raw = [row for row in table1.get("rows") or [] if row.get("output") != "blend" and not is_oracle(row)]
    rows = {row["method"]: row for row in reversed(raw)}
    for method in (name for name in BOTH if name in rows):
        name, row = paper.method_name(method), rows[method]
        yield from (
            _line(f"{name}: {goal.words}", point_estimate(get_path(row, goal.path)), goal)
            for goal in asked[method]
        )
        yield from _balance(name, row, [each for each in raw if each["method"] in paper.CONTROLS])
    if "paired" in rows:
        fills = [rows[method] for method in FILLS if method in rows]
        yield from _truth(paper.method_name("paired"), rows["paired"], fills)


def _balance(name: str, row: Row, controls: Sequence[Row]) -> Iterator[list[str]]:
    """Balance against both baselines, tested, and in the mean against controls without the true mask."""
    star = get_path(row, "star.balance")
    found = MISSING if star is None else "yes" if star else "no"
    missed = "not measured" if star is None else MISSING if star else "no star"
    yield [f"{name}: balance", "ahead of both baselines, at 5 %", found, missed]
    others = [value for each in controls if is_measured(value := get_path(each, "balance.mean"))]
    words = f"{name}: balance, ahead of every control without the true mask"
    best = max(others) if others else None
    yield _line(words, get_path(row, "balance.mean") if others else None, Goal(words, "balance.mean", best))


def _truth(name: str, row: Row, fills: Sequence[Row]) -> Iterator[list[str]]:
    """Truth inside transplanted lesions against the best of what fills S's mask, and of a constant."""
    for measure, margin in (("psnr", PSNR_MARGIN), ("ssim", 0.0)):
        path = f"truth_transplant.inside.{measure}.mean"
        others = [value for other in fills if is_measured(value := get_path(other, path))]
        if others:
            ahead = f"ahead by {margin:g} dB of" if margin else "ahead of"
            rivals = f"{', '.join(FILLS[:-1])} and {FILLS[-1]}"
            words = f"{name}: {measure.upper()} inside transplants, {ahead} {rivals}"
            yield _line(words, get_path(row, path), Goal(words, path, max(others) + margin))


def _line(words: str, found: Any, goal: Goal) -> list[str]:
    bounds = [(sign, bound) for sign, bound in (("≥", goal.least), ("≤", goal.most)) if bound is not None]
    asked = ", ".join(f"{sign} {text(bound)}" for sign, bound in bounds) or MISSING
    if not is_measured(found) or not bounds:
        return [words, asked, MISSING, "not measured"]
    value = abs(found) if goal.size else found
    missed = max(bound - value if sign == "≥" else value - bound for sign, bound in bounds)
    return [words, asked, text(value), MISSING if missed <= 0 else text(float(missed))]
