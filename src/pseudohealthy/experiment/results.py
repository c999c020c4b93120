"""The finished steps of an experiment as the content of its results files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pseudohealthy.assessment.checkpoint_selection import RULE
from pseudohealthy.assessment.judge_selection import QUALITY, VALIDATION
from pseudohealthy.catalogue.rows import Row
from pseudohealthy.config import SPLITS
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.evaluation.insertion import unreliable
from pseudohealthy.evaluation.score import strict, summarise
from pseudohealthy.evaluation.statistics import TESTED, against_baselines, averaged_over_seeds
from pseudohealthy.experiment.steps import DONE, Experiment, Step
from pseudohealthy.files import nest, read_tsv
from pseudohealthy.provenance import provenance
from pseudohealthy.report.table1.paper import method_name
from pseudohealthy.training.loop import CLOCK

JUDGED = ("healthiness", "balance")  # of TESTED, what rests on the judges
CURVE = ["method", "preset", "seed", "images", "identity", "healthiness", "choice", "chosen"]
JUDGE_CURVE = ["judge", "images", *QUALITY, "chosen"]
PROPOSED, BASELINES = ("unpaired", "paired"), ("conditional_gan", "cyclegan")
ONLY_SOME = (
    "truth_phantom",
    "cycle",
    "mask_control",
    "segmentor_dice",
    "detection",
)  # null in all other rows


def read_table(step: Step, out: Path) -> pd.DataFrame:
    """A measured row by volume."""
    return read_tsv(step.folder(out) / "volumes.tsv", "volume")


def table1(experiment: Experiment, out: Path, steps: Sequence[Step], prepared: Prepared) -> dict[str, Any]:
    """The content of `table1.json`, from the files of the finished steps."""
    references = next(step for step in steps if step.kind == "references")
    judges = _json(references.folder(out) / "judges.json")
    first = judges["judges"][experiment.first_judge]
    measured = [step for step in steps if step.kind == "measure"]
    rows = [_row(step, out, first["insertion_recall"]) for step in measured]
    tests, left_out = _tests(experiment, out, measured, rows, valid=judges["valid"])
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
        "preprocessing": prepared.manifest["settings"],
        "split": {split: totals[split]["volumes"] for split in SPLITS},
        "slices": {split: totals[split]["slices"] for split in SPLITS},
        "judge": first,
        **judges,
        "held_out": experiment.held_out,
        "healthy_slices": _of_healthy_slices(judges["judges"]),
        "choice_rule": RULE,
        "statistics": tests,
        "baselines": sorted({row["method"] for row in rows} & set(BASELINES)),
        "not_tested": left_out,
        "rows": [{**row, **_stars(row, tests, experiment)} for row in rows],
        "steps": done,
    }


def _of_healthy_slices(judges: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """The healthiness of as many real healthy slices: what judges see where there is nothing to heal."""
    found = {name: facts["h_real_healthy"] for name, facts in judges.items()}
    panel = [value for name, value in found.items() if not judges[name]["held_out"]]
    (held_out,) = (value for name, value in found.items() if judges[name]["held_out"])
    return {
        "pooled": next(iter(found.values())),
        "panel_mean": sum(panel) / len(panel),
        "panel_worst": min(panel),
        "held_out": held_out,
    }


def by_volume(out: Path, steps: Sequence[Step]) -> pd.DataFrame:
    """Every measure of every row and volume: one value a line."""
    parts = []
    for step in steps:
        if step.row is None:
            continue
        long = read_table(step, out).reset_index().melt("volume", var_name="measure")
        parts.append(long.assign(**_named(step.row)))
    table = pd.concat(parts, ignore_index=True).dropna(subset=["value"])
    return table[[*_named(Row("copy")), "volume", "measure", "value"]]


def curves(out: Path, steps: Sequence[Step]) -> pd.DataFrame:
    """Identity and healthiness over training on validation slices, and which checkpoint was taken."""
    parts = []
    for step in steps:
        if step.kind != "choose":
            continue
        choice = _json(step.folder(out) / "choice.json")
        settings = step.after[0].settings
        for point in choice["curve"]:
            parts.append(
                {
                    "method": settings["method"],
                    "preset": settings["preset"],
                    "seed": settings["training"]["seed"],
                    **point,
                    "chosen": point["images"] == choice["images"],
                }
            )
    return pd.DataFrame(parts, columns=CURVE)


def judge_curves(out: Path, steps: Sequence[Step]) -> pd.DataFrame:
    """What each judge made of the validation slices over training, and which of its weights were taken."""
    parts = []
    for step in steps:
        if step.kind == "judge":
            selected = _json(step.folder(out) / "run" / VALIDATION)
            taken = selected["images"]
            parts += [
                {"judge": step.name, **point, "chosen": point["images"] == taken}
                for point in selected["curve"]
            ]
    return pd.DataFrame(parts, columns=JUDGE_CURVE)


def _row(step: Step, out: Path, reference_recall: float | None) -> dict[str, Any]:
    """One row as `table1.json` has it, but for its tests."""
    row = step.row or Row("copy")
    summary = summarise(read_table(step, out))
    numbers = nest(_json(step.folder(out) / "numbers.json"))
    for group, values in numbers.items():
        summary.setdefault(group, {}).update(values)
    recalls = [summary["healthiness"]["insertion_recall"], reference_recall]
    known = [math.nan if recall is None else recall for recall in recalls]
    summary["healthiness"]["unreliable"] = unreliable(known[0], known[1])
    summary.pop("insertion_recall", None)
    return {**_named(row), **_training(step, out), **dict.fromkeys(ONLY_SOME), **strict(summary)}


def _stars(
    row: Mapping[str, Any], tests: Mapping[str, Mapping[str, Any]], experiment: Experiment
) -> dict[str, Any]:
    """The tests of a row: those of its method, where the row is what was tested."""
    tested = row["output"] == "raw" and row["preset"] == _presets(experiment).get(row["method"])
    own = tests.get(row["method"], {}) if tested else {}
    return {
        "p_holm": {name: own[name]["p_holm"] if name in own else None for name in TESTED},
        "star": {name: bool(own[name]["star"]) if name in own else False for name in TESTED},
    }


def _named(row: Row) -> dict[str, Any]:
    return {
        "method": row.method,
        "preset": row.preset,
        "output": row.output,
        "mask": row.mask,
        "seed": row.seed,
    }


def _training(step: Step, out: Path) -> dict[str, Any]:
    """What the row's own network was trained with; nulls for a control."""
    if step.row is None or step.row.preset is None:
        return dict.fromkeys(("images", "images_in_all", "width", "device", "hours"))
    choice = next(use for use in step.after if use.kind == "choose")
    trained = choice.after[0]
    width = "segmentor_width" if step.row.method == "inpainter" else "width"  # the inpainter is such a U-Net
    clock = _json(trained.folder(out) / "run" / CLOCK)
    return {
        "images": _json(choice.folder(out) / "choice.json")["images"],
        "images_in_all": clock["images"],
        "width": trained.settings["networks"][width],
        "device": _json(trained.folder(out) / DONE)["device"],
        "hours": round(clock["seconds"] / 3600, 4),
    }


def _presets(experiment: Experiment) -> dict[str, str]:
    """The preset with which each method is tested: the first that the experiment lists."""
    presets: dict[str, str] = {}
    for run in experiment.runs:
        presets.setdefault(run.method, run.preset)
    return presets


def _tests(
    experiment: Experiment,
    out: Path,
    measured: Sequence[Step],
    rows: Sequence[Mapping[str, Any]],
    *,
    valid: bool,
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The proposed methods against the better baseline (section 6, Statistics), each averaged over seeds.

    Returns:
        The tests by method and measure, and what could not be tested: healthiness and balance that are
            unreliable,
        or all of them where the judge may not be believed; a measure that a row was made without.
    """
    every_judged = " and ".join(JUDGED)
    values, left_out = {}, [] if valid else [f"{every_judged} of every method: the judge may not be believed"]
    presets = _presets(experiment)
    for method in (*BASELINES, *PROPOSED):
        own = [
            (step, row)
            for step, row in zip(measured, rows, strict=True)
            if (row["method"], row["preset"], row["output"]) == (method, presets.get(method), "raw")
        ]
        is_unreliable = any(row["healthiness"]["unreliable"] for _, row in own)
        if is_unreliable and valid:
            left_out.append(f"{every_judged} of {method_name(method)}: unreliable by the insertion check")
        tables = [read_table(step, out) for step, _ in own]
        believed = [name for name in TESTED if name not in JUDGED or (valid and not is_unreliable)]
        for name in believed if own else ():
            if all(name in table for table in tables):
                values[method, name] = averaged_over_seeds([table[name].dropna() for table in tables])
            else:
                left_out.append(f"{name} of {method_name(method)}: not measured")
    tests: dict[str, dict[str, Any]] = strict(against_baselines(values, PROPOSED, BASELINES, TESTED))
    return tests, left_out


def _about(step: Step, out: Path) -> dict[str, Any]:
    done = _json(step.folder(out) / DONE)
    return {"kind": step.kind, "name": step.name, **{key: done[key] for key in ("key", "commit", "seconds")}}


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
