"""A trained model on one split of a prepared cohort: synthesise, judge, score."""

from __future__ import annotations

import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from pseudohealthy import __version__
from pseudohealthy.config import Split
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import RESEARCH_USE, InputError
from pseudohealthy.evaluation.healthiness import healthiness
from pseudohealthy.evaluation.score import Scored, score, summarise, write_scores
from pseudohealthy.evaluation.segmentation import dice, volume_dice
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.volume import THRESHOLD

LEAST_DICE, MOST_H_COPY = 0.70, 0.2  # of a judge whose healthiness may be believed (section 6)


def evaluate(
    prepared: Prepared, model: Model, out: Path, *, split: Split = "val", judge: Model | None = None
) -> dict[str, Any]:
    """Score a model's raw output on the pathological slices of a split (section 6).

    Args:
        prepared: the cohort.
        model: with G; with S, its Dice is measured too.
        out: gets `volumes.tsv` (one row a volume) and `summary.json`.
        split: every choice is made on "val"; "test" is read once a result.
        judge: f_pre, with S, trained on slices prepared as the model's; without one there is no healthiness.

    Returns:
        What `summary.json` holds: each measure as mean, std, low, high over volumes, and provenance; with a
        judge also its Dice, what it makes of the unchanged input (`h_copy`), and whether it is `valid`.

    Raises:
        InputError: the split has no pathological slice, or the cohort was prepared in another way than the
            model's or the judge's.
    """
    _same_preprocessing(prepared, model, "model")
    if judge is not None:
        _same_preprocessing(prepared, judge, "judge")
    table = prepared.slices
    table = table[(table["split"] == split) & (table["label"] == "pathological")]
    if table.empty:
        raise InputError(f"the prepared cohort has no pathological {split} slice to evaluate on")
    rows = table["row"].to_numpy()
    images, masks = prepared.images[rows], prepared.masks[rows]
    began = time.perf_counter()
    outputs = model.healthy(images)
    seconds = time.perf_counter() - began
    judged = None if judge is None else judge.lesion(outputs) > THRESHOLD
    judged_inputs = None if judge is None else judge.lesion(images) > THRESHOLD
    spacing = model.preprocessing.spacing
    volumes = _volume_names(table)
    scored = Scored(
        images,
        outputs,
        masks,
        volumes,
        judged=judged,
        judged_inputs=judged_inputs,
        truth=None if prepared.truth is None else prepared.truth[rows],
        spacing=(spacing, spacing),
    )
    by_volume = score(scored)
    summary = {**summarise(by_volume), **provenance(), "seconds_a_slice": seconds / len(rows)}
    summary |= {"split": split, "cohort": prepared.manifest["cohort"], "data": prepared.manifest["key"]}
    summary["model"] = model.provenance
    if "S" in model.networks:
        summary["segmentor"] = _overlap(model.lesion(images) > THRESHOLD, masks, volumes)
    if judge is not None and judged_inputs is not None:
        overlap = _overlap(judged_inputs, masks, volumes)
        h_copy = healthiness(_counts(judged_inputs), _counts(masks))
        summary["judge"] = {**overlap, "h_copy": h_copy, "weights": judge.provenance}
        summary["valid"] = bool(overlap["dice_pooled"] >= LEAST_DICE and abs(h_copy) <= MOST_H_COPY)
    write_scores(out, by_volume, summary)
    return summary


def provenance() -> dict[str, Any]:
    """What made a result: program, commit where the program runs from a checkout, libraries, machine."""
    root = Path(__file__).resolve().parents[3]
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40"]
    found = (
        subprocess.run(command, capture_output=True, text=True, check=False)
        if (root / ".git").exists()
        else None
    )
    return {
        "version": __version__,
        "commit": found.stdout.strip() if found is not None and found.returncode == 0 else None,
        "torch": torch.__version__,
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "research_use": RESEARCH_USE,
    }


def _same_preprocessing(prepared: Prepared, model: Model, role: str) -> None:
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


def _volume_names(table: pd.DataFrame) -> NDArray[np.str_]:
    """Subject, and session where there are several: a label a slice."""
    several = table["session"] != "n/a"
    names = table["subject"].where(~several, table["subject"] + "_ses-" + table["session"])
    return names.to_numpy(dtype=str)


def _counts(masks: NDArray[Any]) -> NDArray[np.intp]:
    counts: NDArray[np.intp] = np.count_nonzero(masks, axis=(1, 2))
    return counts


def _overlap(
    found: NDArray[np.bool_], masks: NDArray[np.uint8], volumes: NDArray[np.str_]
) -> dict[str, float]:
    by_volume = volume_dice(found, masks, volumes)
    return {"dice_pooled": dice(found, masks), "dice_per_volume": float(by_volume.mean())}
