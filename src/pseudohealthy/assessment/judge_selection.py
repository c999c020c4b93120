"""Which weights of a judge's run are used: those that find the lesions of the validation volumes best."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pseudohealthy.data.prepared import Prepared
from pseudohealthy.evaluation.healthiness import healthiness, healthiness_of_healthy
from pseudohealthy.evaluation.score import strict
from pseudohealthy.evaluation.segmentation import cross_entropy, dice
from pseudohealthy.files import make_folder, replace, write_json
from pseudohealthy.synthesis.model import THRESHOLD, Model
from pseudohealthy.training.run_folder import AVERAGED, SNAPSHOTS
from pseudohealthy.training.weights import read_config

BEST, VALIDATION = "best", "validation.json"
QUALITY = ("dice_every_slice", "dice_pooled", "cross_entropy", "h_copy", "h_real_healthy")  # of a point
RULE = (
    "of the averaged weights saved during training, those with the greatest pooled Dice over every "
    "validation slice, those without a lesion and at the brain's edges too; of equal ones the later"
)


def select_judge(run: Path, prepared: Prepared, device: str) -> Path:
    """Put the best of a judge's weights into `best/` of its run, and the curve into `validation.json`.

    Where nothing was saved on the way, or there is no validation slice with a lesion, those are the averaged
    weights of the run's end.

    Args:
        run: a finished training run's folder.
        prepared: the cohort that it was trained on.
        device: "cpu", "cuda" or "auto".

    Returns:
        The folder of the best weights.
    """
    table = prepared.slices
    table = table[(table["split"] == "val") & (table["label"] != "unlabelled")]
    saved = sorted((run / SNAPSHOTS).iterdir()) if (run / SNAPSHOTS).is_dir() else []
    curve: list[dict[str, Any]] = []
    weights = AVERAGED
    if saved and (table["label"] == "pathological").any():
        rows, labels = table["row"].to_numpy(), table["label"].to_numpy(dtype=str)
        images, masks = np.asarray(prepared.images[rows]), prepared.masks[rows] > 0
        curve = [
            {"images": int(folder.name), **_quality(Model.load(folder, device), images, masks, labels)}
            for folder in saved
        ]
        order = [(point["dice_every_slice"], point["images"]) for point in curve]
        weights = f"{SNAPSHOTS}/{saved[order.index(max(order))].name}"
    make_folder(run / BEST)
    for file in (run / weights).iterdir():
        replace(run / BEST / file.name, partial(shutil.copyfile, file))
    chosen = {"rule": RULE, "weights": weights, "images": read_config(run / BEST)["images"]}
    write_json(run / VALIDATION, {**chosen, "curve": [strict(point) for point in curve]})
    return run / BEST


def _quality(
    judge: Model, images: NDArray[np.float32], masks: NDArray[np.bool_], labels: NDArray[np.str_]
) -> dict[str, float]:
    """How well a judge finds the lesions of slices `(N, H, W)`, and how little beside them."""
    probability = judge.segment(images)
    detected = probability > THRESHOLD
    lesion, healthy = labels == "pathological", labels == "healthy"
    area, marked = np.count_nonzero(masks, axis=(1, 2)), np.count_nonzero(detected, axis=(1, 2))
    values = (
        dice(detected, masks),
        dice(detected[lesion], masks[lesion]),
        cross_entropy(probability, masks),
        healthiness(marked[lesion], area[lesion]),
        healthiness_of_healthy(marked[healthy], area[lesion]),
    )
    return dict(zip(QUALITY, values, strict=True))
