"""The finished steps of an experiment as the content of its results files."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pseudohealthy.data.prepared import Prepared
from pseudohealthy.evaluation.insertion import void
from pseudohealthy.evaluation.score import summarise
from pseudohealthy.evaluation.statistics import against_baselines, averaged_over_seeds
from pseudohealthy.experiment.choose import RULE
from pseudohealthy.experiment.evaluate import provenance
from pseudohealthy.experiment.measure import nested
from pseudohealthy.experiment.plan import Experiment, Row, Step
from pseudohealthy.training.loop import CLOCK

DONE = "done.json"
TESTED = ("identity", "healthiness")
ONLY_SOME = ("truth_phantom", "cycle", "obey", "segmentor_dice", "detection")  # null in all other rows


def read_table(step: Step, out: Path) -> pd.DataFrame:
    """A measured row by volume."""
    return pd.read_csv(step.folder(out) / "volumes.tsv", sep="\t", index_col="volume", dtype={"volume": str})


def table1(experiment: Experiment, out: Path, steps: Sequence[Step], prepared: Prepared) -> dict[str, Any]:
    """The content of `table1.json`, from the files of the finished steps."""
    references = next(step for step in steps if step.kind == "references")
    judges = _json(references.folder(out) / "judges.json")
    totals = prepared.manifest["totals"]
    measured = [step for step in steps if step.kind == "measure"]
    tests = _tests(experiment, out, measured)
    first = judges["judges"][experiment.first_judge]
    return {
        **provenance(),
        "experiment": experiment.name,
        "config": experiment.model_dump(mode="json"),
        "cohort": prepared.manifest["cohort"],
        "data": prepared.manifest["key"],
        "split": {split: totals[split]["volumes"] for split in ("train", "val", "test")},
        "slices": {split: totals[split]["slices"] for split in ("train", "val", "test")},
        "valid": judges["valid"],
        "judge": first,
        **judges,
        "held_back": experiment.held_back,
        "choice_rule": RULE,
        "statistics": tests,
        "rows": [_row(step, out, tests, experiment.preset, first["insertion_recall"]) for step in measured],
        "steps": [_about(step, out) for step in steps],
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
    return pd.DataFrame(parts)


def _row(
    step: Step, out: Path, tests: Mapping[str, Mapping[str, Any]], preset: str, reference_recall: float
) -> dict[str, Any]:
    """One row as `table1.json` has it."""
    row = step.row or Row("copy")
    summary = summarise(read_table(step, out))
    numbers = nested(_json(step.folder(out) / "numbers.json"))
    for group, values in numbers.items():
        summary.setdefault(group, {}).update(values)
    recall = summary["healthiness"]["insertion_recall"]
    summary["healthiness"]["void"] = void(recall, reference_recall)
    summary.pop("insertion_recall", None)
    own = tests.get(row.method, {}) if row.output == "raw" and row.preset == preset else {}
    return {
        **_named(row),
        **_training(step, out),
        **dict.fromkeys(ONLY_SOME),
        **strict(summary),
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
    clock = _json(trained.folder(out) / "run" / CLOCK)
    return {
        "images": _json(choice.folder(out) / "choice.json")["images"],
        "images_in_all": clock["images"],
        "width": trained.settings["networks"]["width"],
        "device": _json(trained.folder(out) / DONE)["device"],
        "hours": round(clock["seconds"] / 3600, 4),
    }


def _tests(experiment: Experiment, out: Path, measured: Sequence[Step]) -> dict[str, dict[str, Any]]:
    """The proposed methods against the better baseline (section 6, Statistics), each averaged over seeds."""
    values = {}
    for method in ("conditional_gan", "cyclegan", "unpaired", "paired"):
        tables = [
            read_table(step, out)
            for step in measured
            if step.row is not None
            and (step.row.method, step.row.preset, step.row.output) == (method, experiment.preset, "raw")
        ]
        for name in TESTED if tables else ():
            values[method, name] = averaged_over_seeds([table[name].dropna() for table in tables])
    tests: dict[str, dict[str, Any]] = strict(against_baselines(values))
    return tests


def _about(step: Step, out: Path) -> dict[str, Any]:
    done = _json(step.folder(out) / DONE)
    return {"kind": step.kind, "name": step.name, **{key: done[key] for key in ("key", "commit", "seconds")}}


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def strict(value: Any) -> Any:
    """`value` with a null for every number that is none, as JSON wants it."""
    if isinstance(value, Mapping):
        return {key: strict(each) for key, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
