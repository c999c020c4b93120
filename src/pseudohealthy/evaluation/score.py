"""From anybody's output to a table by volume, its summary, and both on disk."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudohealthy.errors import InputError
from pseudohealthy.evaluation.healthiness import healthiness, relative_healthiness, volume_healthiness
from pseudohealthy.evaluation.identity import volume_identity
from pseudohealthy.evaluation.statistics import interval
from pseudohealthy.evaluation.truth import volume_truth
from pseudohealthy.files import make_folder, replace, write_json

COUNTS = ("slices", "lesion_voxels", "found_voxels", "found_voxels_in_inputs")
TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class Scored:
    """Pathological slices to be scored: stacks (N, H, W), memory maps or not, and their volumes.

    Attributes:
        images: the inputs x, in [0, 1].
        outputs: x~, in [0, 1].
        masks: true lesions, > 0; none is empty.
        volumes: a label a slice, (N,); slices of one volume need not be neighbours.
        brains: > 0; None: pixels > 0 of `images`.
        judged: f_pre(x~), what a judge finds in the outputs, > 0; None: no healthiness.
        judged_inputs: f_pre(x), what it finds in the inputs, > 0; None: no relative healthiness.
        truth: the healthy images, in [0, 1]; None: no error against a truth.
        spacing: of rows and of columns, in mm.

    Raises:
        InputError: shapes that differ, no slice, or not one label a slice.
    """

    images: NDArray[Any]
    outputs: NDArray[Any]
    masks: NDArray[Any]
    volumes: NDArray[Any]
    brains: NDArray[Any] | None = None
    judged: NDArray[Any] | None = None
    judged_inputs: NDArray[Any] | None = None
    truth: NDArray[Any] | None = None
    spacing: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        shape = self.images.shape
        if len(shape) != 3 or not shape[0]:
            raise InputError(f"images have shape {shape}, expected (N, H, W) with at least one slice")
        for name in ("outputs", "masks", "brains", "judged", "judged_inputs", "truth"):
            stack = getattr(self, name)
            if stack is not None and stack.shape != shape:
                raise InputError(f"{name} have shape {stack.shape}, but images have {shape}")
        if self.volumes.shape != shape[:1]:
            raise InputError(f"volumes has shape {self.volumes.shape}, expected a label a slice, {shape[:1]}")


def score(scored: Scored) -> pd.DataFrame:
    """Every measure that the given arrays allow, volume by volume: only one volume is in memory at a time.

    Returns:
        A row a volume, in order of first appearance, indexed by `volume`. Columns: `slices`, `lesion_voxels`;
        those of `identity.volume_identity`; with `judged`, `found_voxels` and `healthiness`; with
        `judged_inputs`, `found_voxels_in_inputs`; with `truth`, those of `truth.volume_truth` after `truth.`.

    Raises:
        InputError: values outside [0, 1] or not finite; a slice without a lesion.
    """
    labels = pd.unique(np.asarray(scored.volumes))
    rows = [_measured(scored, label) for label in labels]
    table = pd.DataFrame(rows, index=pd.Index(labels, name="volume"))
    if scored.judged is not None:
        found, lesions = _counts(scored.judged), _counts(scored.masks)
        table["healthiness"] = volume_healthiness(found, lesions, scored.volumes)
    return table


def summarise(table: pd.DataFrame, seed: int = 0) -> dict[str, Any]:
    """Each measure of a table of `score` over its volumes.

    Args:
        table: one row a volume.
        seed: of the bootstrap.

    Returns:
        `volumes` and `slices` (numbers of), and each measure as in `statistics.interval`; a dot in a column's
        name opens a group (`truth.inside.mae`). `healthiness` has `pooled`, the paper's figure, besides,
        and with `judged_inputs` `rel`, pooled as well.
    """
    summary: dict[str, Any] = {"volumes": len(table), "slices": int(table["slices"].sum())}
    for column in table.columns.drop(list(COUNTS), errors="ignore"):
        *groups, name = str(column).split(".")
        place = summary
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = interval(table[column], seed)
    if "healthiness" in table:
        found = table["found_voxels"]
        summary["healthiness"]["pooled"] = healthiness(found, table["lesion_voxels"])
        if "found_voxels_in_inputs" in table:
            rel = relative_healthiness(found, table["found_voxels_in_inputs"])
            summary["healthiness"]["rel"] = rel
    return summary


def write_scores(folder: Path, table: pd.DataFrame, summary: dict[str, Any]) -> None:
    """Write `volumes.tsv` (NaN as n/a) and `summary.json` (NaN as null), each whole or not at all.

    Raises:
        PseudohealthyError: the folder cannot be written to.
    """
    make_folder(folder)
    text = table.to_csv(sep="\t", na_rep="n/a", lineterminator="\n")
    replace(folder / "volumes.tsv", lambda part: part.write_text(text, encoding="utf-8"))
    write_json(folder / "summary.json", _strict(summary))


def _measured(scored: Scored, label: Any) -> dict[str, float]:
    rows = np.flatnonzero(scored.volumes == label)
    images, outputs = scored.images[rows], scored.outputs[rows]
    lesions = scored.masks[rows] > 0
    brains = (images if scored.brains is None else scored.brains[rows]) > 0
    _check_range(label, "images", images)
    _check_range(label, "outputs", outputs)
    if not lesions.any(axis=(1, 2)).all():
        raise InputError(f"volume {label}: a slice has an empty mask; give pathological slices only")
    row: dict[str, float] = {"slices": len(rows), "lesion_voxels": int(lesions.sum())}
    row |= volume_identity(outputs, images, lesions, brains)
    if scored.judged is not None:
        row["found_voxels"] = int((scored.judged[rows] > 0).sum())
    if scored.judged_inputs is not None:
        row["found_voxels_in_inputs"] = int((scored.judged_inputs[rows] > 0).sum())
    if scored.truth is not None:
        truth = scored.truth[rows]
        _check_range(label, "truth", truth)
        errors = volume_truth(outputs, images, truth, lesions, brains, spacing=scored.spacing)
        row |= {f"truth.{name}": value for name, value in errors.items()}
    return row


def _check_range(label: Any, name: str, values: NDArray[Any]) -> None:
    low, high = float(values.min()), float(values.max())
    if not (low >= -TOLERANCE and high <= 1 + TOLERANCE):
        raise InputError(
            f"volume {label}: {name} run from {low:.4g} to {high:.4g}, expected [0, 1]; scale them so"
        )


def _counts(stack: NDArray[Any]) -> NDArray[np.int64]:
    return np.array([np.count_nonzero(each > 0) for each in stack], dtype=np.int64)


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _strict(each) for key, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
