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
    "Of the checkpoints saved during training, the one with the greatest harmonic mean of identity (the "
    "paper's form, mean over volumes) and pooled healthiness (mean over the panel, without the held-out "
    "judge; below 0 counts as 0) on the validation patients; of equal ones the healthier, then the later. "
    f"Judges: {JUDGE_RULE}. The inpainter: the last checkpoint."
)


def choose(run: Path, slices: SliceSet, panel: Mapping[str, Model], device: str) -> dict[str, Any]:
    """The curve of a run's checkpoints and the one that the rule takes.

    Args:
        run: a training run's folder with snapshots.
        slices: the pathological validation slices.
        panel: judges by name.
        device: "cpu", "cuda" or "auto".

    Returns:
        `weights`, the chosen folder's path inside `run`; its `images`; `curve`, a list of `images`,
        `identity`, `healthiness` and `choice`, the harmonic mean; empty for a method without a generator.
    """
    saved = sorted((run / SNAPSHOTS).iterdir()) if (run / SNAPSHOTS).is_dir() else []
    if not saved or not Model.load(saved[-1], "cpu").can("synthesize"):
        images = read_config(run / WEIGHTS)["images"]
        return {"weights": WEIGHTS, "images": images, "curve": []}
    curve = [_point(folder, slices, panel, device) for folder in saved]
    order = [(point["choice"], point["healthiness"], point["images"]) for point in curve]
    best = order.index(max(order))
    images = curve[best]["images"]
    return {"weights": f"{SNAPSHOTS}/{saved[best].name}", "images": images, "curve": curve}


def _point(folder: Path, slices: SliceSet, panel: Mapping[str, Model], device: str) -> dict[str, float]:
    outputs = Model.load(folder, device).synthesize(slices.images)
    by_slice = identity(outputs, slices.images, slices.masks)
    of_volumes = [by_slice[slices.volumes == volume].mean() for volume in np.unique(slices.volumes)]
    mean_identity = float(np.mean(of_volumes))
    lesions = np.count_nonzero(slices.masks)
    detected = [np.count_nonzero(judge.segment(outputs) > THRESHOLD) for judge in panel.values()]
    panel_mean = float(np.mean([healthiness(count, lesions) for count in detected]))
    return {
        "images": int(folder.name),
        "identity": mean_identity,
        "healthiness": panel_mean,
        "choice": float(harmonic_mean(mean_identity, panel_mean)),
    }
