"""The finished steps of an experiment as the content of its results files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import pandas as pd

from pseudohealthy.assessment.assess import Assessment, summary_of
from pseudohealthy.assessment.checkpoint_selection import RULE
from pseudohealthy.assessment.judge_selection import QUALITY, VALIDATION
from pseudohealthy.catalogue.measures import TESTED, rests_on_judge
from pseudohealthy.catalogue.methods import BASELINES, METHODS, TESTED_METHODS
from pseudohealthy.catalogue.rows import Row, some_of_the_masks
from pseudohealthy.config import SPLITS
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.evaluation.score import strict
from pseudohealthy.evaluation.statistics import against_baselines, averaged_over_seeds
from pseudohealthy.experiment.config import Experiment
from pseudohealthy.experiment.steps import DONE, SELECTION, Step
from pseudohealthy.files import read_tsv
from pseudohealthy.provenance import provenance
from pseudohealthy.training.run_folder import CLOCK

JUDGED = tuple(key for key in TESTED if rests_on_judge(key))
ROW = [field.name for field in fields(Row)]  # columns that say which row a line is of
CURVE = [
    "method",
    "preset",
    "seed",
    "labelled_fraction",
    "images",
    "identity",
    "healthiness",
    "choice",
    "chosen",
]
JUDGE_CURVE = ["judge", "images", *QUALITY, "chosen"]
# Measures of some rows only: null in all others
NOT_OF_EVERY_ROW = ("truth_phantom", "cycle", "mask_control", "segmentor_dice", "detection")
NOT_TRAINED = dict.fromkeys(("images", "images_in_all", "width", "device", "hours"))


@dataclass(frozen=True, eq=False)
class MeasuredRow:
    """A row of Table 1 whose measures are done.

    Attributes:
        row: which.
        table: a row a volume, a column a measure.
        facts: what `table1.json` says of the row, except its tests.
    """

    row: Row
    table: pd.DataFrame
    facts: Mapping[str, Any]

    @classmethod
    def read(cls, step: Step, out: Path, reference_recall: float | None) -> Self:
        """The row of a finished measure.

        Args:
            step: the measure.
            out: the experiment's folder.
            reference_recall: of the first judge on real images, which says whether the row's healthiness is
                reliable.
        """
        row, table = _row(step), read_table(step, out)
        with step.reading(out):
            assessment = Assessment(table, step.read_json(out, "numbers.json"), {})
            summary = summary_of(assessment, reference_recall)
        facts = {**asdict(row), **_training(step, out), **dict.fromkeys(NOT_OF_EVERY_ROW), **strict(summary)}
        return cls(row, table, facts)

    @property
    def unreliable(self) -> bool:
        """Whether its healthiness is, by the insertion check."""
        return bool(self.facts["healthiness"]["unreliable"])


def read_table(step: Step, out: Path) -> pd.DataFrame:
    """A finished measure's table: a row a volume, a column a measure."""
    with step.reading(out):
        return read_tsv(step.folder(out) / "volumes.tsv", index="volume")


def table1(experiment: Experiment, out: Path, steps: Sequence[Step], prepared: Prepared) -> dict[str, Any]:
    """The content of `table1.json`, from the files of the finished steps.

    Raises:
        InputError: one of them is damaged.
    """
    protocol = next(step for step in steps if step.kind == "protocol")
    judges = protocol.read_json(out, "judges.json")
    with protocol.reading(out):
        first = judges["judges"][experiment.first_judge]
        recall, healthy_slices = first["insertion_recall"], _of_healthy_slices(judges["judges"])
    rows = [MeasuredRow.read(step, out, recall) for step in steps if step.kind == "measure"]
    tests, not_tested = _tests(experiment, rows, valid=judges["valid"])
    done = [_about(step, out) for step in steps]
    commits = sorted({str(step["commit"]) for step in done})
    totals = prepared.manifest["totals"]
    return {
        **provenance(),
        "commit": commits[0] if len(commits) == 1 else None,
        "commits": commits,
        "experiment": experiment.name,
        "config": experiment.model_dump(mode="json"),
        "cohort": prepared.manifest["cohort"],
        "data": prepared.manifest["key"],
        "preprocessing": prepared.preprocessing.model_dump(mode="json"),
        "split": {split: totals[split]["volumes"] for split in SPLITS},
        "slices": {split: totals[split]["slices"] for split in SPLITS},
        "judge": first,
        **judges,
        "held_out": experiment.held_out,
        "healthy_slices": healthy_slices,
        "choice_rule": RULE,
        "statistics": tests,
        "baselines": sorted({each.row.method for each in rows} & set(BASELINES)),
        "not_tested": not_tested,
        "rows": [{**each.facts, **_stars(each.row, tests, experiment)} for each in rows],
        "steps": done,
    }


def by_volume(out: Path, steps: Sequence[Step]) -> pd.DataFrame:
    """Every measure of every row and volume: one value a line."""
    parts = []
    for step in steps:
        if step.row is None:
            continue
        long = read_table(step, out).reset_index().melt("volume", var_name="measure")
        parts.append(long.assign(**asdict(step.row)))
    table = pd.concat(parts, ignore_index=True).dropna(subset=["value"])
    return table[[*ROW, "volume", "measure", "value"]]


def curves(out: Path, steps: Sequence[Step]) -> pd.DataFrame:
    """Identity and healthiness over training on validation slices, and which checkpoint was selected."""
    lines = []
    for step in steps:
        if step.kind != "select":
            continue
        selection, settings = step.read_json(out, SELECTION), step.training.settings
        training = settings["training"]
        which = {"method": settings["method"], "preset": settings["preset"], "seed": training["seed"]}
        which["labelled_fraction"] = some_of_the_masks(training["labelled_fraction"])
        with step.reading(out):
            lines += [{**which, **point} for point in _with_selected(selection)]
    return pd.DataFrame(lines, columns=CURVE)


def judge_curves(out: Path, steps: Sequence[Step]) -> pd.DataFrame:
    """Each judge's quality on validation slices over training, and which of its weights were selected."""
    lines = []
    for step in steps:
        if step.kind == "judge":
            selection = step.read_json(out, f"run/{VALIDATION}")
            with step.reading(out):
                lines += [{"judge": step.name, **point} for point in _with_selected(selection)]
    return pd.DataFrame(lines, columns=JUDGE_CURVE)


def _with_selected(selection: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The points of a selection's curve, each with whether its checkpoint was selected."""
    return [{**point, "chosen": point["images"] == selection["images"]} for point in selection["curve"]]


def _of_healthy_slices(judges: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """The healthiness of as many real healthy slices: what judges find where there is no lesion."""
    values = {name: facts["h_real_healthy"] for name, facts in judges.items()}
    panel = [value for name, value in values.items() if not judges[name]["held_out"]]
    (held_out,) = (value for name, value in values.items() if judges[name]["held_out"])
    return {
        "pooled": next(iter(values.values())),
        "panel_mean": sum(panel) / len(panel),
        "panel_worst": min(panel),
        "held_out": held_out,
    }


def _stars(row: Row, tests: Mapping[str, Mapping[str, Any]], experiment: Experiment) -> dict[str, Any]:
    """The tests of a row: those of its method, where the row is the one that was tested."""
    own = tests.get(row.method, {}) if _is_tested(row, experiment) else {}
    return {
        "p_holm": {name: own[name]["p_holm"] if name in own else None for name in TESTED},
        "star": {name: bool(own[name]["star"]) if name in own else False for name in TESTED},
    }


def _row(step: Step) -> Row:
    if step.row is None:
        raise ValueError(f"{step.name} is no row")
    return step.row


def _training(step: Step, out: Path) -> dict[str, Any]:
    """What the row's own network was trained with; nulls for a control."""
    row = _row(step)
    if row.preset is None:
        return NOT_TRAINED
    selection = step.selections[0]
    # the inpainter is a U-Net as the segmentor is
    width = "segmentor_width" if METHODS[row.method].can("inpaint") else "width"
    clock = selection.training.read_json(out, f"run/{CLOCK}")
    done = selection.training.read_json(out, DONE)
    with selection.training.reading(out):
        device = done["device"]
    return {
        "images": selection.read_json(out, SELECTION)["images"],
        "images_in_all": clock["images"],
        "width": selection.training.settings["networks"][width],
        "device": device,
        "hours": round(clock["seconds"] / 3600, 4),
    }


def _is_tested(row: Row, experiment: Experiment) -> bool:
    """Whether a row stands for its method in the tests: raw, and as the file lists the method first."""
    first = next((run for run in experiment.runs if run.method == row.method), None)
    if first is None or row.output != "raw":
        return False
    masks = some_of_the_masks(first.training.labelled_fraction)
    return (row.preset, row.labelled_fraction) == (first.preset, masks)


def _tests(
    experiment: Experiment, rows: Sequence[MeasuredRow], *, valid: bool
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The proposed methods against the better baseline (section 6, Statistics), each averaged over seeds.

    Returns:
        The tests by method and measure, and what could not be tested: healthiness and balance that are
            unreliable, or all of them where the judge may not be believed; a measure that a row was made
            without.
    """
    every_judged = " and ".join(JUDGED)
    values = {}
    not_tested = [] if valid else [f"{every_judged} of every method: the judge may not be believed"]
    for method in (*BASELINES, *TESTED_METHODS):
        label = METHODS[method].label
        own = [each for each in rows if each.row.method == method and _is_tested(each.row, experiment)]
        is_unreliable = any(each.unreliable for each in own)
        if is_unreliable and valid:
            not_tested.append(f"{every_judged} of {label}: unreliable by the insertion check")
        believed = [name for name in TESTED if name not in JUDGED or (valid and not is_unreliable)]
        for name in believed if own else ():
            if all(name in each.table for each in own):
                values[method, name] = averaged_over_seeds([each.table[name].dropna() for each in own])
            else:
                not_tested.append(f"{name} of {label}: not measured")
    tests: dict[str, dict[str, Any]] = strict(against_baselines(values, TESTED_METHODS, BASELINES, TESTED))
    return tests, not_tested


def _about(step: Step, out: Path) -> dict[str, Any]:
    done = step.read_json(out, DONE)
    with step.reading(out):
        facts = {key: done[key] for key in ("key", "commit", "seconds")}
    return {"kind": step.kind, "name": step.name, **facts}
