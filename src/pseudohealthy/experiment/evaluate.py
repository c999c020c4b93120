"""A trained model on one split of a prepared cohort: synthesise, judge, score."""

from __future__ import annotations

import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pseudohealthy import __version__
from pseudohealthy.config import Split
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import RESEARCH_USE, InputError
from pseudohealthy.evaluation.score import Scored, score, summarise, write_scores
from pseudohealthy.evaluation.segmentation import dice, volume_dice
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.volume import THRESHOLD


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
        What `summary.json` holds: each measure as mean, std, low, high over volumes, and provenance.

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
    volumes = table["subject"].to_numpy(dtype=str)
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
    summary |= {"model": model.provenance, "judge": None if judge is None else judge.provenance}
    if "S" in model.networks:
        summary["segmentor"] = _overlap(model.lesion(images) > THRESHOLD, masks, volumes)
    if judged_inputs is not None:
        summary["judge_dice"] = _overlap(judged_inputs, masks, volumes)
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


def _overlap(
    found: NDArray[np.bool_], masks: NDArray[np.uint8], volumes: NDArray[np.str_]
) -> dict[str, float]:
    by_volume = volume_dice(found, masks, volumes)
    return {"dice_pooled": dice(found, masks), "dice_per_volume": float(by_volume.mean())}
