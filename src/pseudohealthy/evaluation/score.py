"""From anybody's output to a table by volume, its summary, and both on disk."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudohealthy.errors import InputError
from pseudohealthy.evaluation.anomaly import anomaly
from pseudohealthy.evaluation.balance import volume_balance
from pseudohealthy.evaluation.by_volume import Rows, by_volume
from pseudohealthy.evaluation.checkerboard import checkerboard
from pseudohealthy.evaluation.contrast import residual_contrast
from pseudohealthy.evaluation.detection import detection
from pseudohealthy.evaluation.healthiness import healthiness, panel, volume_healthiness
from pseudohealthy.evaluation.identity import volume_identity
from pseudohealthy.evaluation.segmentation import dice
from pseudohealthy.evaluation.statistics import interval
from pseudohealthy.evaluation.texture import TEXTURE
from pseudohealthy.evaluation.through_plane import through_plane_inconsistency
from pseudohealthy.evaluation.truth import volume_truth
from pseudohealthy.files import make_folder, nest, write_json, write_tsv

FOUND, IN_INPUTS = "found.", "found_in_inputs."
HELD_OUT, HELD_OUT_IN_INPUTS = "held_out.", "held_out_in_inputs."
BOTH, MARKED = "segmentor.both", "segmentor.marked"
COUNTS = ("slices", "lesion_voxels", BOTH, MARKED)
APART = (TEXTURE,)  # over all slices, not over the volumes' values: by `texture_over_slices`
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
        judged: f(x~) by a judge's name, what it finds in the outputs, > 0. The first is the paper's f_pre,
            and all are the panel; none: no healthiness.
        judged_inputs: f(x), as `judged`, of some of its judges or of none.
        held_out: name of a judge of `judged`, not the first, that is reported apart from the panel.
        found: S(x) > 1/2, > 0; None: no Dice or detection of the segmentor.
        truth: the healthy images, in [0, 1]; None: no error against a truth.
        z: index of each slice in its volume, (N,); None: no flicker.
        spacing: of rows and of columns, in mm.

    Raises:
        InputError: shapes that differ, no slice, not one label a slice, or a judge of the inputs or held back
            that does not judge the outputs.
    """

    images: NDArray[Any]
    outputs: NDArray[Any]
    masks: NDArray[Any]
    volumes: NDArray[Any]
    brains: NDArray[Any] | None = None
    judged: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    judged_inputs: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    held_out: str | None = None
    found: NDArray[Any] | None = None
    truth: NDArray[Any] | None = None
    z: NDArray[Any] | None = None
    spacing: tuple[float, float] = (1.0, 1.0)

    def __post_init__(self) -> None:
        shape = self.images.shape
        if len(shape) != 3 or not shape[0]:
            raise InputError(f"images have shape {shape}, expected (N, H, W) with at least one slice")
        stacks = {name: getattr(self, name) for name in ("outputs", "masks", "brains", "found", "truth")}
        stacks |= {f"judged of {name}": stack for name, stack in self.judged.items()}
        stacks |= {f"judged_inputs of {name}": stack for name, stack in self.judged_inputs.items()}
        for name, stack in stacks.items():
            if stack is not None and stack.shape != shape:
                raise InputError(f"{name} have shape {stack.shape}, but images have {shape}")
        for name in ("volumes", "z"):
            values = getattr(self, name)
            if values is not None and values.shape != shape[:1]:
                raise InputError(f"{name} has shape {values.shape}, expected one a slice, {shape[:1]}")
        self._check_judges()

    def _check_judges(self) -> None:
        judges = list(self.judged)
        if strange := self.judged_inputs.keys() - self.judged.keys():
            raise InputError(f"judges of the inputs alone: {sorted(strange)}; of the outputs: {judges}")
        if self.held_out is not None and self.held_out not in judges[1:]:
            raise InputError(f"the judge held back, {self.held_out}, is not one after the first of {judges}")


@dataclass(frozen=True, eq=False)
class _Volume:
    """The slices of one volume, read into memory."""

    x: NDArray[Any]
    x_tilde: NDArray[Any]
    lesions: NDArray[np.bool_]
    brains: NDArray[np.bool_]
    labels: NDArray[Any]
    spacing: tuple[float, float]
    found: Any  # these three are None where they were not given
    truth: Any
    z: Any


Measure = Callable[[_Volume], Mapping[str, float]]


def _identity(v: _Volume) -> Mapping[str, float]:
    return volume_identity(v.x_tilde, v.x, v.lesions, v.brains)


def _truth(v: _Volume) -> Mapping[str, float]:
    errors = volume_truth(v.x_tilde, v.x, v.truth, v.lesions, v.brains, spacing=v.spacing)
    return {f"truth_phantom.{name}": value for name, value in errors.items()}


def _segmentor(v: _Volume) -> Mapping[str, float]:
    marked = v.found > 0
    both = int(np.count_nonzero(marked & v.lesions))
    return {"segmentor_dice": dice(marked, v.lesions), BOTH: both, MARKED: int(np.count_nonzero(marked))}


def _only(table: pd.DataFrame) -> Mapping[str, float]:
    """The one row of a table of one volume."""
    return {str(name): float(value) for name, value in table.iloc[0].items()}


# What each measure needs besides images, outputs and masks, and the measure.
MEASURES: tuple[tuple[str | None, Measure], ...] = (
    (None, _identity),
    (None, lambda v: _only(residual_contrast(v.x_tilde, v.lesions, v.brains, v.labels, v.spacing))),
    (None, lambda v: _only(anomaly(v.x, v.x_tilde, v.lesions, v.brains, v.labels))),
    (None, lambda v: _only(checkerboard(v.x_tilde, v.x, v.labels))),
    ("z", lambda v: _only(through_plane_inconsistency(v.x_tilde, v.x, v.brains, v.labels, v.z))),
    ("found", _segmentor),
    ("found", lambda v: _only(detection(v.found, v.lesions, v.labels, v.spacing))),
    ("truth", _truth),
)


def score(scored: Scored) -> pd.DataFrame:
    """Every measure that the given arrays allow, volume by volume: only one volume is in memory at a time.

    Returns:
        A row a volume, in order of first appearance, indexed by `volume`. Columns: `slices`, `lesion_voxels`;
        those of `identity.volume_identity`, `contrast`, `anomaly`, `checkerboard`; with `z`, of
        `through_plane_inconsistency`; with `found`, `segmentor_dice` and its counts, and those of
        `detection.detection`; with `truth`, those of `truth.volume_truth` after `truth_phantom.`; with
        `judged`, voxels that each judge finds in the outputs (`found.NAME`) and in the inputs
        (`found_in_inputs.NAME`), of the one held back `held_out.NAME` and `held_out_in_inputs.NAME`,
        `healthiness` by the first, and `balance`.

    Raises:
        InputError: values outside [0, 1] or not finite; a slice without a lesion.
    """
    table = by_volume(scored.volumes, lambda rows: _measured(scored, rows))
    if scored.judged:
        first = next(iter(scored.judged.values()))
        found, lesions = _counts(first), _counts(scored.masks)
        table["healthiness"] = volume_healthiness(found, lesions, scored.volumes)
        table["balance"] = balance_of(table)
    return table


def balance_of(table: pd.DataFrame) -> pd.Series[float]:
    """`balance.volume_balance` over the volumes of a table of `score` that was judged."""
    panel = _columns(table, FOUND)
    return volume_balance(table["identity_normalised"], panel, table["lesion_voxels"], table["slices"])


def summarise(table: pd.DataFrame, seed: int = 0) -> dict[str, Any]:
    """Each measure of a table of `score` over its volumes.

    Args:
        table: one row a volume. Columns of other measures may have been joined to it, and rows of other
            volumes, whose columns of `score` are NaN. Column `texture` is left to `texture_over_slices`.
        seed: of the bootstrap.

    Returns:
        `volumes` and `slices` (numbers of those scored), and each measure as in `statistics.interval`; a dot
        in a column's name opens a group (`truth_phantom.inside.mae`). Besides its interval, `healthiness` has
        `pooled`, the paper's figure, and where the inputs were judged `rel`, both of the first judge; what
        `healthiness.panel` gives; and the pooled value `held_out` of the judge held back. `segmentor_dice`
        has `pooled`.
    """
    counted = table.dropna(subset=["slices"])
    summary: dict[str, Any] = {"volumes": len(counted), "slices": int(counted["slices"].sum())}
    measures = [column for column in table.columns if not _is_count(str(column)) and column not in APART]
    summary |= nest({str(column): interval(table[column], seed) for column in measures})
    if "healthiness" in table:
        summary["healthiness"] |= _healthiness(counted)
    if MARKED in table:
        marked, lesion = counted[MARKED].sum(), counted["lesion_voxels"].sum()
        summary["segmentor_dice"]["pooled"] = float(2 * counted[BOTH].sum() / (marked + lesion))
    return summary


def write_scores(folder: Path, table: pd.DataFrame, summary: dict[str, Any]) -> None:
    """Write `volumes.tsv` (NaN as n/a) and `summary.json` (NaN as null), each whole or not at all.

    Raises:
        PseudohealthyError: the folder cannot be written to.
    """
    make_folder(folder)
    write_tsv(folder / "volumes.tsv", table)
    write_json(folder / "summary.json", strict(summary))


def strict(value: Any) -> Any:
    """`value`, its groups and theirs with a null for every number that is none, as JSON wants it."""
    if isinstance(value, Mapping):
        return {key: strict(each) for key, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _measured(scored: Scored, rows: Rows) -> dict[str, float]:
    volume = _read(scored, rows)
    row: dict[str, float] = {"slices": len(rows), "lesion_voxels": int(volume.lesions.sum())}
    for needed, measure in MEASURES:
        if needed is None or getattr(volume, needed) is not None:
            row |= measure(volume)
    return row | _judged(scored, rows)


def _read(scored: Scored, rows: Rows) -> _Volume:
    """One volume's slices, checked."""
    x, labels = scored.images[rows], scored.volumes[rows]
    lesions = scored.masks[rows] > 0
    brains = (x if scored.brains is None else scored.brains[rows]) > 0
    found, truth, z = (
        None if values is None else values[rows] for values in (scored.found, scored.truth, scored.z)
    )
    volume = _Volume(x, scored.outputs[rows], lesions, brains, labels, scored.spacing, found, truth, z)
    for name, values in {"images": volume.x, "outputs": volume.x_tilde, "truth": truth}.items():
        if values is not None:
            _check_range(labels[0], name, values)
    if not lesions.any(axis=(1, 2)).all():
        raise InputError(f"volume {labels[0]}: a slice has an empty mask; give pathological slices only")
    return volume


def _judged(scored: Scored, rows: Rows) -> dict[str, float]:
    """Voxels that each judge finds; the one held back under a name of its own, so that no table loses it."""
    counts: dict[str, float] = {}
    for name, stack in scored.judged.items():
        outside = name == scored.held_out
        counts[(HELD_OUT if outside else FOUND) + name] = int((stack[rows] > 0).sum())
        if name in scored.judged_inputs:
            place = HELD_OUT_IN_INPUTS if outside else IN_INPUTS
            counts[place + name] = int((scored.judged_inputs[name][rows] > 0).sum())
    return counts


def _healthiness(counted: pd.DataFrame) -> dict[str, Any]:
    """Figures over all volumes together."""
    lesions = counted["lesion_voxels"]
    found: dict[str, Any] = panel(_columns(counted, FOUND), lesions, _columns(counted, IN_INPUTS))
    of_paper = next(iter(found["members"].values()))
    for count in _columns(counted, HELD_OUT).values():
        found["held_out"] = healthiness(count, lesions)
    return {**of_paper, **found}


def _columns(table: pd.DataFrame, prefix: str) -> dict[str, pd.Series[float]]:
    return {name.removeprefix(prefix): table[name] for name in table.columns if name.startswith(prefix)}


def _is_count(column: str) -> bool:
    return column in COUNTS or column.startswith((FOUND, IN_INPUTS, HELD_OUT, HELD_OUT_IN_INPUTS))


def _check_range(label: Any, name: str, values: NDArray[Any]) -> None:
    low, high = float(values.min()), float(values.max())
    if not (low >= -TOLERANCE and high <= 1 + TOLERANCE):
        raise InputError(
            f"volume {label}: {name} run from {low:.4g} to {high:.4g}, expected [0, 1]; scale them so"
        )


def _counts(stack: NDArray[Any]) -> NDArray[np.int64]:
    return np.array([np.count_nonzero(each > 0) for each in stack], dtype=np.int64)
