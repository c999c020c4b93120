"""What a reader wants first of a results file: the finding, a short table, and whether its goals are met."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pseudohealthy.catalogue.measures import MEASURES, TESTED, key_of
from pseudohealthy.catalogue.methods import TESTED_METHODS, is_control, method_name
from pseudohealthy.evaluation.healthiness import LEAST_H_REAL_HEALTHY
from pseudohealthy.report.table1 import caption, paper
from pseudohealthy.report.table1.cells import MISSING, cell, get_path, is_measured, point_estimate, text
from pseudohealthy.report.table1.model import STAR, UNRELIABLE, Table, is_method, is_unreliable, marks
from pseudohealthy.report.table1.row_labels import Row, distinct_labels, is_oracle, ordered
from pseudohealthy.report.table1.tables import markdown

CONTROLS = ("inpainter", "mirror", "fill", "constant", "copy")
FILLS = ("constant", "mirror", "fill", "inpainter")
COLUMNS = (
    *("identity", "healthiness.pooled", "healthiness.panel_mean", "healthiness.panel_worst"),
    *("healthiness.held_out", "balance", "texture", "healthiness.insertion_recall"),
    *("reseg_excess_auroc", "truth_transplant.inside.psnr"),
)
WITH_SPREAD = ("identity", "balance")
EXPLAINED = ("balance", "texture")
MARKS = (
    rf"\{STAR} better than the better baseline at 5 % (paired Wilcoxon over volumes, Holm). "
    f"{UNRELIABLE} unreliable: lesions put into these outputs are not found by the judge as they are in "
    "real slices. "
) + " ".join(f"{MEASURES[key].label.capitalize()}: {MEASURES[key].summary}." for key in EXPLAINED)
HEALTHY = (
    "Real healthy slices: what the judges find in slices without a lesion, over the mean lesion of the rest. "
    "A healthiness above this row's is beyond what its judge can tell."
)
PAPER_FORM = (
    "Mean ± standard deviation over test volumes, healthiness by the first judge. "
    rf"\{STAR} better than the better of conditional GAN and CycleGAN at 5 % (paired Wilcoxon over volumes, "
    f"Holm). {UNRELIABLE} unreliable: the judge does not find lesions put into these outputs. The paper's "
    "figures are of other data and another judge, for orientation."
)


class Goal(NamedTuple):
    """A number of a method's raw output, or of the first judge, and what it is to reach.

    Attributes:
        path: of the number in a row, or in `table1.json`.
        least: the number to reach; None: there is no lower bound.
        most: the number not to exceed; None: there is no upper bound.
        size: of the number, without its sign.
        words: what it is; "": as the catalogue of measures calls it.
    """

    path: str
    least: float | None = None
    most: float | None = None
    size: bool = False
    words: str = ""

    @property
    def label(self) -> str:
        """What it is."""
        return self.words or MEASURES[key_of(self.path) or self.path].label


def _goals_of(
    judge_dice: float, paired: tuple[float, float], unpaired: tuple[float, float], segmentor_dice: float
) -> dict[str, tuple[Goal, ...]]:
    """A cohort's goals for the judge and for each method, whose own are of identity and healthiness."""
    of_judge = (
        Goal("judge.dice_pooled", judge_dice, words="Dice, pooled"),
        Goal("judge.h_copy", most=0.15, size=True, words="h(copy), without its sign"),
        Goal("judge.h_real_healthy", 0.97, words="h(real healthy)"),
    )
    marked = "ml that the segmentor marks in a volume without a lesion"
    of_paired = (
        Goal("texture.median", 0.7, 1.3),
        Goal("segmentor_dice", segmentor_dice),
        Goal("healthy_in.marked_ml", most=3.0, words=marked),
    )
    return {
        "judge": of_judge,
        "paired": (*_of_both(*paired), *of_paired),
        "unpaired": _of_both(*unpaired),
    }


def _of_both(identity: float, healthiness: float) -> tuple[Goal, ...]:
    return (
        Goal("identity", identity),
        Goal("healthiness.panel_mean", healthiness),
        Goal("healthy_in.ms_ssim", 0.985),
        Goal("reseg_excess_auroc", most=0.05),
    )


GOALS: Mapping[str, Mapping[str, tuple[Goal, ...]]] = {  # by experiment
    "lgg": _goals_of(0.82, (0.985, 0.985), (0.97, 0.97), 0.80),
    "soop": _goals_of(0.65, (0.98, 0.97), (0.96, 0.92), 0.65),
}
PSNR_MARGIN = 1.0  # dB


def validity(table1: Mapping[str, Any]) -> str:
    """Why the table is not valid, by the rules of today on the figures that it holds; "" where it is."""
    if recorded := caption.validity(table1):
        return recorded
    bound = get_path(table1, "healthy_slices.pooled")
    if bound is None or bound >= LEAST_H_REAL_HEALTHY:
        return ""
    return f"INVALID: the judge's h(real healthy) is {bound:.3f}, under {LEAST_H_REAL_HEALTHY}"


def finding(table1: Mapping[str, Any]) -> str:
    """What the tests of Table 1 say, and what limits it, in a few sentences."""
    rows = [row for row in ordered(table1.get("rows") or []) if is_method(row)]
    sentences = [f"{why}." if (why := validity(table1)) else "", _of_tests(table1.get("statistics") or {})]
    if unreliable := _joined(row for row in rows if is_unreliable(row)):
        sentences.append(f"Nothing can be said of the healthiness of {unreliable}.")
    bound = get_path(table1, "healthy_slices.panel_mean")
    above = [row for row in rows if (get_path(row, "healthiness.panel_mean") or 0) > bound] if bound else []
    if above:
        names = _joined(above)
        sentences.append(f"The judges limit this: they find more in real healthy slices than in {names}.")
    return " ".join(filter(None, sentences))


def _of_tests(statistics: Mapping[str, Mapping[str, Any]]) -> str:
    """Which methods are better than the better baseline, and in what; successes first."""
    better: dict[tuple[str, ...], list[str]] = {}  # the methods that are: measures
    for measure in TESTED:
        tests = {method: each[measure] for method, each in statistics.items() if measure in each}
        if tests:
            names = tuple(method_name(method) for method, test in tests.items() if test.get("star"))
            better.setdefault(names, []).append(MEASURES[measure].label)
    none = better.pop((), [])
    sentences = [
        f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} better than the better baseline in "
        f"{_listed(measures)}, at 5 %."
        for names, measures in better.items()
    ]
    sentences += [f"No proposed method is better in {_listed(none)}."] if none else []
    return " ".join(sentence[0].upper() + sentence[1:] for sentence in sentences)


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + f" and {words[-1]}" if len(words) > 1 else words[0]


def _joined(rows: Iterable[Row]) -> str:
    return " and ".join(dict.fromkeys(method_name(str(row["method"])) for row in rows))


def headlines(table1: Mapping[str, Any]) -> str:
    """The methods' raw outputs and a few controls in Markdown: identity, healthiness and what guards them."""
    rows = [row for row in ordered(table1.get("rows") or []) if _shown(row)]
    body = [
        [name, *(_number(row, key) for key in COLUMNS)]
        for name, row in zip(distinct_labels(rows), rows, strict=True)
    ]
    invalid = [f"**{warning}**"] if (warning := validity(table1)) else []
    notes = MARKS
    if healthy := table1.get("healthy_slices"):
        known = {f"healthiness.{key}": value for key, value in healthy.items()}
        known["texture"] = get_path(table1, "texture_of_healthy_slices.median")
        body.append(["real healthy slices", *(text(known.get(key)) for key in COLUMNS)])
        notes = f"{MARKS} {HEALTHY}"
    heads = ["output", *(MEASURES[key].head for key in COLUMNS)]
    return "\n\n".join([*invalid, markdown(Table("", heads, body)), notes])


def paper_form(experiments: Mapping[str, Mapping[str, Any]]) -> str:
    """Table 1 in the paper's form, in Markdown: its four methods, identity and healthiness of each cohort.

    Args:
        experiments: `table1.json` by what the cohort is called in the head of its columns.
    """
    heads = ["method", *(f"{name}: {what}" for name in experiments for what in TESTED[:2])]
    heads += [f"paper, {cohort}: {what}" for cohort, what in paper.COLUMNS]
    body = [
        [
            method_name(method),
            *(each for table1 in experiments.values() for each in _two_decimals(table1, method)),
            *(str(figure) for figure in figures),
        ]
        for method, figures in paper.TABLE_1.items()
    ]
    invalid = [f"**{name}: {why}.**" for name, table1 in experiments.items() if (why := validity(table1))]
    notes = [*invalid, PAPER_FORM]
    return "\n\n".join([markdown(Table("", heads, body)), " ".join(notes)])


def _two_decimals(table1: Mapping[str, Any], method: str) -> list[str]:
    """Identity and healthiness of a method's first row of raw output, as the paper prints them."""
    rows = [row for row in ordered(table1.get("rows") or []) if is_method(row) and row["method"] == method]
    if not rows:
        return [MISSING] * 2
    return [
        f"{get_path(rows[0], f'{key}.mean'):.2f} ± {get_path(rows[0], f'{key}.std'):.2f}"
        + marks(rows[0], key)
        for key in TESTED[:2]
    ]


def goals(table1: Mapping[str, Any]) -> str:
    """Each goal in Markdown: its target, what was measured, and by how much it is missed.

    Args:
        table1: its `experiment` says which goals; nothing where none were set for it.
    """
    targets = GOALS.get(str(table1.get("experiment")))
    if targets is None:
        return ""
    return markdown(Table("", ("goal", "target", "measured", "missed by"), list(_goals(table1, targets))))


def _shown(row: Row) -> bool:
    return is_method(row) or (row["method"] in CONTROLS and row.get("mask") != "true")


def _number(row: Row, key: str) -> str:
    """A cell: one number, with its spread over volumes where that is asked for."""
    value = get_path(row, key)
    if key in WITH_SPREAD and isinstance(value, Mapping):
        value = {name: value.get(name) for name in ("mean", "std")}
    else:
        value = point_estimate(value)
    return cell(value, marks(row, key.removesuffix(".pooled")))


def _goals(table1: Mapping[str, Any], targets: Mapping[str, tuple[Goal, ...]]) -> Iterator[list[str]]:
    yield from (
        _line(f"the judge: {goal.label}", get_path(table1, goal.path), goal) for goal in targets["judge"]
    )
    raw = [row for row in table1.get("rows") or [] if row.get("output") != "blend" and not is_oracle(row)]
    rows = {row["method"]: row for row in reversed(raw)}
    for method in (name for name in reversed(TESTED_METHODS) if name in targets and name in rows):
        name, row = method_name(method), rows[method]
        yield from (
            _line(f"{name}: {goal.label}", point_estimate(get_path(row, goal.path)), goal)
            for goal in targets[method]
        )
        yield from _balance(name, row, [each for each in raw if is_control(each["method"])])
    if "paired" in rows:
        fills = [rows[method] for method in FILLS if method in rows]
        yield from _truth(method_name("paired"), rows["paired"], fills)


def _balance(name: str, row: Row, controls: Sequence[Row]) -> Iterator[list[str]]:
    """Balance against both baselines, tested, and in the mean against controls without the true mask."""
    star = get_path(row, "star.balance")
    measured = MISSING if star is None else "yes" if star else "no"
    missed = "not measured" if star is None else MISSING if star else "no star"
    yield [f"{name}: balance", "ahead of both baselines, at 5 %", measured, missed]
    others = [value for each in controls if is_measured(value := get_path(each, "balance.mean"))]
    words = f"{name}: balance, ahead of every control without the true mask"
    best = max(others) if others else None
    yield _line(words, get_path(row, "balance.mean") if others else None, Goal("balance.mean", best))


def _truth(name: str, row: Row, fills: Sequence[Row]) -> Iterator[list[str]]:
    """Truth inside transplanted lesions against the best control that fills the mask, or a constant."""
    for measure, margin in (("psnr", PSNR_MARGIN), ("ssim", 0.0)):
        path = f"truth_transplant.inside.{measure}.mean"
        others = [value for other in fills if is_measured(value := get_path(other, path))]
        if others:
            ahead = f"ahead by {margin:g} dB of" if margin else "ahead of"
            rivals = f"{', '.join(FILLS[:-1])} and {FILLS[-1]}"
            words = f"{name}: {measure.upper()} inside transplanted lesions, {ahead} {rivals}"
            yield _line(words, get_path(row, path), Goal(path, max(others) + margin))


def _line(words: str, value: Any, goal: Goal) -> list[str]:
    bounds = [(sign, bound) for sign, bound in (("≥", goal.least), ("≤", goal.most)) if bound is not None]
    target = ", ".join(f"{sign} {text(bound)}" for sign, bound in bounds) or MISSING
    if not is_measured(value) or not bounds:
        return [words, target, MISSING, "not measured"]
    size = abs(value) if goal.size else value
    missed = max(bound - size if sign == "≥" else size - bound for sign, bound in bounds)
    return [words, target, text(size), MISSING if missed <= 0 else text(float(missed))]
