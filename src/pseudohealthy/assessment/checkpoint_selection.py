"""Which checkpoint of a run is used: identity and healthiness over training, on validation slices."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pseudohealthy.assessment.judge_selection import RULE as JUDGE_RULE
from pseudohealthy.evaluation.balance import harmonic_mean
from pseudohealthy.evaluation.healthiness import healthiness
from pseudohealthy.evaluation.identity import identity
from pseudohealthy.evaluation.slice_set import SliceSet
from pseudohealthy.synthesis.model import THRESHOLD, Model
from pseudohealthy.training.run_folder import SNAPSHOTS, WEIGHTS
from pseudohealthy.training.weights import read_config

RULE = (
    "Of the checkpoints kept during training, the one with the greatest harmonic mean of identity (the "
    "paper's form, mean over volumes) and pooled healthiness (mean over the panel, without the held-back "
    "judge; below 0 counts as 0) on the validation patients; of equal ones the healthier, then the later. "
    f"Judges: {JUDGE_RULE}. The inpainter: the last checkpoint."
)


def choose(run: Path, case: SliceSet, panel: Mapping[str, Model], device: str) -> dict[str, Any]:
    """The curve of a run's checkpoints and the one that the rule takes.

    Args:
        run: a training run's folder with snapshots.
        case: the pathological validation slices.
        panel: judges by name.
        device: "cpu", "cuda" or "auto".

    Returns:
        `weights`, the chosen folder's path inside `run`; its `images`; `curve`, a list of `images`,
        `identity`, `healthiness` and `choice`, the harmonic mean; empty for a method without G.
    """
    kept = sorted((run / SNAPSHOTS).iterdir()) if (run / SNAPSHOTS).is_dir() else []
    if not kept or "G" not in Model.load(kept[-1], "cpu").networks:
        images = read_config(run / WEIGHTS)["images"]
        return {"weights": WEIGHTS, "images": images, "curve": []}
    curve = [_point(folder, case, panel, device) for folder in kept]
    order = [(point["choice"], point["healthiness"], point["images"]) for point in curve]
    best = order.index(max(order))
    images = curve[best]["images"]
    return {"weights": f"{SNAPSHOTS}/{kept[best].name}", "images": images, "curve": curve}


def _point(folder: Path, case: SliceSet, panel: Mapping[str, Model], device: str) -> dict[str, float]:
    outputs = Model.load(folder, device).synthesize(case.images)
    by_slice = identity(outputs, case.images, case.masks)
    same = float(np.mean([by_slice[case.volumes == volume].mean() for volume in np.unique(case.volumes)]))
    lesions = np.count_nonzero(case.masks)
    found = [np.count_nonzero(judge.segment(outputs) > THRESHOLD) for judge in panel.values()]
    healed = float(np.mean([healthiness(count, lesions) for count in found]))
    return {
        "images": int(folder.name),
        "identity": same,
        "healthiness": healed,
        "choice": float(harmonic_mean(same, healed)),
    }
