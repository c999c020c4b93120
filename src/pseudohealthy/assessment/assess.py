"""A trained model on one split of a prepared cohort: synthesise, judge, score."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudohealthy.assessment.protocol import insertion_check, plan
from pseudohealthy.assessment.resegmentation import excess_auroc
from pseudohealthy.catalogue.rows import THRESHOLD_RULE
from pseudohealthy.config import Split
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import InputError
from pseudohealthy.evaluation.compare import compare_scores, read_scores
from pseudohealthy.evaluation.controls import best_threshold, threshold_masks
from pseudohealthy.evaluation.healthiness import healthiness, healthiness_of_healthy, reasons_against
from pseudohealthy.evaluation.insertion import unreliable
from pseudohealthy.evaluation.score import Scored, score, summarise, write_scores
from pseudohealthy.evaluation.segmentation import dice, volume_dice
from pseudohealthy.evaluation.slice_set import SliceSet
from pseudohealthy.evaluation.texture import TEXTURE, texture, texture_over_slices, volume_texture
from pseudohealthy.provenance import provenance
from pseudohealthy.synthesis.model import THRESHOLD, Model

SEED = 0  # of what is drawn to measure with
HELD_OUT = "held_out"


def evaluate(
    prepared: Prepared,
    model: Model,
    out: Path,
    *,
    split: Split = "val",
    judges: Mapping[str, Model] | None = None,
    compare: Path | None = None,
    steps: int = 0,
) -> dict[str, Any]:
    """Score a model's raw output on the pathological slices of a split (section 6).

    Args:
        prepared: the cohort.
        model: with G; with S, its Dice is measured too.
        out: gets `volumes.tsv` (one row a volume) and `summary.json`.
        split: every choice is made on "val"; "test" is read once a result.
        judges: f_pre by name, the paper's first, trained on slices prepared as the model's; without one there
            is no healthiness. One called `held_out` is reported apart from the panel of the others.
        compare: scores of other outputs, see `compare_scores`.
        steps: of training for re-segmentability; 0: it is not measured.

    Returns:
        What `summary.json` holds: each measure as mean, std, low, high over volumes, and provenance; with a
        judge also its Dice, what it makes of the unchanged input (`h_copy`) and of the split's real healthy
        slices (`h_real_healthy`), and whether it is `valid`; with `compare` the tests, under `compared`.

    Raises:
        InputError: the split has no pathological slice, or the cohort was prepared in another way than the
            model's or a judge's, or scores that cannot be compared.
    """
    judges = judges or {}
    same_preprocessing(prepared, model, "model")
    judges_know(prepared, judges)
    case = SliceSet.of(prepared, split)
    others = None if compare is None else read_scores(compare)
    began = time.perf_counter()
    outputs = model.synthesize(case.images)
    seconds = time.perf_counter() - began
    found = model.segment(case.images) > THRESHOLD if "S" in model.networks else None
    by_volume, summary = scores_of(prepared, case, outputs, judges, split=split, found=found, steps=steps)
    summary |= {"split": split, "seconds_a_slice": seconds / len(outputs), "model": model.provenance}
    if others is not None:
        summary["compared"] = compare_scores(by_volume, others)
    write_scores(out, by_volume, summary)
    return summary


def scores_of(
    prepared: Prepared,
    case: SliceSet,
    outputs: NDArray[np.float32],
    judges: Mapping[str, Model],
    *,
    split: Split,
    found: NDArray[np.bool_] | None = None,
    steps: int = 0,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Every measure of anybody's outputs.

    Args:
        prepared: the cohort.
        case: its pathological slices that the outputs were made from.
        outputs: `(N, H, W)` in [0, 1].
        judges: f_pre by name, the paper's first; none: no healthiness.
        split: the case's, whose healthy slices show what a judge finds where nothing is.
        found: `(N, H, W)`, S(x) > 1/2, where whoever made the outputs has an S.
        steps: of training for re-segmentability; 0: it is not measured.

    Returns:
        A row a volume, and the summary as `evaluate` describes it.
    """
    judged, judged_inputs = _judged(prepared, case, outputs, judges)
    spacing = float(prepared.manifest["settings"]["spacing"])
    scored = Scored(
        case.images,
        outputs,
        case.masks,
        case.volumes,
        judged=judged,
        judged_inputs=judged_inputs,
        held_out=HELD_OUT if HELD_OUT in judges else None,
        found=found,
        truth=case.truth,
        z=case.z,
        spacing=(spacing, spacing),
    )
    of_slices = texture(outputs, case.masks, case.brains, case.volumes)
    tables = [score(scored), volume_texture(of_slices, case.volumes)]
    if steps and len(np.unique(case.subjects)) > 1:  # one subject leaves none to learn from
        places = (case.masks, case.brains, case.volumes, case.heights)
        tables.append(excess_auroc(outputs, *places, subjects=case.subjects, seed=SEED, steps=steps))
    facts: dict[str, Any] = {TEXTURE: texture_over_slices(of_slices, case.volumes)}
    if judges:
        name, judge = next(iter(judges.items()))
        on_healthy = _found_in_healthy(prepared, split, judge)
        table, of_judge = _checked(
            case, outputs, judge, judged_inputs[name], on_healthy=on_healthy, spacing=spacing
        )
        tables.append(table)
        facts |= of_judge
    by_volume = pd.concat(tables, axis=1).rename_axis("volume")
    summary = {**summarise(by_volume), **provenance(), **facts}
    summary |= {"cohort": prepared.manifest["cohort"], "data": prepared.manifest["key"]}
    if found is not None:
        summary["segmentor"] = _overlap(found, case)
    return by_volume, summary


def _judged(
    prepared: Prepared, case: SliceSet, outputs: NDArray[np.float32], judges: Mapping[str, Model]
) -> tuple[dict[str, NDArray[np.bool_]], dict[str, NDArray[np.bool_]]]:
    """What judges find in outputs and in inputs, and what the panel's threshold rule marks there."""
    if not judges:
        return {}, {}
    validation = SliceSet.of(prepared, "val")
    threshold = best_threshold(validation.images, validation.masks, validation.brains)
    found_in_outputs, found_in_inputs = (
        {
            **{name: judge.segment(images) > THRESHOLD for name, judge in judges.items()},
            THRESHOLD_RULE: threshold_masks(images, case.brains, threshold),
        }
        for images in (outputs, case.images)
    )
    return found_in_outputs, found_in_inputs


def _found_in_healthy(prepared: Prepared, split: Split, judge: Model) -> NDArray[np.int64]:
    """Pixels that a judge finds in each real healthy slice of a split; empty where it has none."""
    table = prepared.slices
    if not ((table["split"] == split) & (table["label"] == "healthy")).any():
        return np.array([], dtype=np.int64)
    found = judge.segment(SliceSet.of(prepared, split, "healthy").images) > THRESHOLD
    return np.asarray(np.count_nonzero(found, axis=(1, 2)), dtype=np.int64)


def _checked(
    case: SliceSet,
    outputs: NDArray[np.float32],
    judge: Model,
    found: NDArray[np.bool_],
    *,
    on_healthy: NDArray[np.int64],
    spacing: float,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """How well a judge finds the inputs' lesions, and lesions put into the outputs: may it be believed?"""
    overlap = _overlap(found, case)
    h_copy = healthiness(found.sum(), case.masks.sum())
    h_real_healthy = healthiness_of_healthy(on_healthy, case.masks.sum(axis=(1, 2)))
    reasons = reasons_against(overlap["dice_pooled"], h_copy, h_real_healthy)
    pairs = plan(case, case, SEED + 1, spacing, avoid=case.masks)
    table, recall = insertion_check(case, outputs, pairs, judge, spacing)
    reference = insertion_check(case, case.images, pairs, judge, spacing)[1]
    facts = {
        **overlap,
        "h_copy": h_copy,
        "h_real_healthy": h_real_healthy,
        "insertion_recall": reference,
        "weights": judge.provenance,
    }
    check = {"pooled": recall, "in_inputs": reference, "unreliable": unreliable(recall, reference)}
    about = {"judge": facts, "valid": not reasons, "invalid_reason": "; ".join(reasons) or None}
    return table, {**about, "insertion_check": check}


def judges_know(prepared: Prepared, judges: Mapping[str, Model]) -> None:
    """Make sure that judges know slices such as the cohort's; see `same_preprocessing`."""
    for name, judge in judges.items():
        same_preprocessing(prepared, judge, "judge" if name == "judge" else f"judge {name}")


def same_preprocessing(prepared: Prepared, model: Model, role: str) -> None:
    """Make sure that a model knows slices such as the cohort's.

    Raises:
        InputError: it does not; what differs is named.
    """
    wanted = model.preprocessing.model_dump(mode="json")
    found = prepared.manifest["settings"]
    differs = [
        f"{key} is {found.get(key)}, not {value}" for key, value in wanted.items() if found.get(key) != value
    ]
    if differs:
        raise InputError(
            f"the cohort was prepared in another way than the {role}'s ({'; '.join(differs)}); "
            f"prepare it again with the {role}'s settings"
        )


def _overlap(found: NDArray[np.bool_], case: SliceSet) -> dict[str, float]:
    by_volume = volume_dice(found, case.masks, case.volumes)
    return {"dice_pooled": dice(found, case.masks), "dice_per_volume": float(by_volume.mean())}
