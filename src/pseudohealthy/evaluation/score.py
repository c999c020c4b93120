"""From anybody's output to a table by volume, its summary, and both on disk."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudohealthy.catalogue.measures import MEASURES
from pseudohealthy.errors import InputError
from pseudohealthy.evaluation.anomaly import anomaly
from pseudohealthy.evaluation.balance import volume_balance
from pseudohealthy.evaluation.by_volume import Rows, by_volume
from pseudohealthy.evaluation.contrast import residual_contrast
from pseudohealthy.evaluation.detection import detection
from pseudohealthy.evaluation.healthiness import healthiness, panel, volume_healthiness
from pseudohealthy.evaluation.identity import volume_identity
from pseudohealthy.evaluation.segmentation import dice
from pseudohealthy.evaluation.slice_set import SliceSet
from pseudohealthy.evaluation.statistics import interval
from pseudohealthy.evaluation.texture import TEXTURE
from pseudohealthy.evaluation.truth import volume_truth
from pseudohealthy.files import (
    folder_beside,
    move_together,
    nest,
    refuse_existing,
    unfinished,
    write_json,
    write_tsv,
)

FOUND, IN_INPUTS = "found.", "found_in_inputs."
HELD_OUT, HELD_OUT_IN_INPUTS = "held_out.", "held_out_in_inputs."
BOTH, MARKED = "segmentor.both", "segmentor.marked"
COUNTS = ("slices", "lesion_voxels", BOTH, MARKED)
APART = (TEXTURE,)  # over all slices, not over the volumes' values: by `texture_over_slices`
TOLERANCE = 1e-4
VOLUMES, SUMMARY = "volumes.tsv", "summary.json"
_JOURNAL = ".scores.unfinished"


@dataclass(frozen=True, eq=False)
class Judged:
    """What judges find in slices: masks `(N, H, W)`, > 0, by the judges' names.

    Attributes:
        outputs: f(x~). The first judge is the paper's f_pre, and all are the panel; none: no healthiness.
        inputs: f(x), of some of these judges or of none.
        held_out: name of a judge, not the first, that is reported apart from the panel.

    Raises:
        InputError: a judge of the inputs or held out that does not judge the outputs.
    """

    outputs: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    inputs: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    held_out: str | None = None

    def __post_init__(self) -> None:
        judges = list(self.outputs)
        if strange := self.inputs.keys() - self.outputs.keys():
            raise InputError(f"judges of the inputs alone: {sorted(strange)}; of the outputs: {judges}")
        if self.held_out is not None and self.held_out not in judges[1:]:
            raise InputError(f"the judge held out, {self.held_out}, is not one after the first of {judges}")

    def counts(self, rows: Rows) -> dict[str, float]:
        """Pixels that each judge finds in the slices at these places, by the columns of `score`."""
        counts: dict[str, float] = {}
        for name, stack in self.outputs.items():
            apart = name == self.held_out
            counts[(HELD_OUT if apart else FOUND) + name] = int((stack[rows] > 0).sum())
            if name in self.inputs:
                place = HELD_OUT_IN_INPUTS if apart else IN_INPUTS
                counts[place + name] = int((self.inputs[name][rows] > 0).sum())
        return counts


def score(
    outputs: NDArray[Any],
    slices: SliceSet,
    *,
    judged: Judged | None = None,
    detected: NDArray[Any] | None = None,
) -> pd.DataFrame:
    """Every measure that the given arrays allow, volume by volume: only one volume is in memory at a time.

    Args:
        outputs: x~, (N, H, W) in [0, 1], memory map or not.
        slices: what they were made from; no mask is empty.
        judged: what judges find in the outputs and in the slices; None: no healthiness.
        detected: S(x) > 1/2, (N, H, W), > 0; None: no Dice or detection of the segmentor.

    Returns:
        A row a volume, in order of first appearance, indexed by `volume`. Columns: `slices`, `lesion_voxels`;
        those of `identity.volume_identity`, `contrast`, `anomaly`; of each function that a row of the
        catalogue of measures names, where all that it takes is known; with `detected`, `segmentor_dice` and
        its counts, and those of `detection.detection`; where the truth is known, those of
        `truth.volume_truth` after `truth_phantom.`; with `judged`, voxels that each judge finds in the
        outputs (`found.NAME`) and in the inputs (`found_in_inputs.NAME`), of the one held out `held_out.NAME`
        and `held_out_in_inputs.NAME`, `healthiness` by the first, and `balance`.

    Raises:
        InputError: no slice, or one without a lesion; shapes that differ; values outside [0, 1] or no
            numbers.
    """
    judged = judged or Judged()
    _check_shapes(outputs, slices, judged, detected)
    table = by_volume(
        slices.volumes,
        lambda rows: {
            **_of_volume(outputs[rows], slices.at(rows), None if detected is None else detected[rows]),
            **judged.counts(rows),
        },
    )
    if judged.outputs:
        first = next(iter(judged.outputs.values()))
        table["healthiness"] = volume_healthiness(_counts(first), _counts(slices.masks), slices.volumes)
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
        `healthiness.panel` gives; and the pooled value `held_out` of the judge held out. `segmentor_dice`
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
    """Write `volumes.tsv` (NaN as n/a) and `summary.json` (NaN as null) in place of those that are there.

    Raises:
        PseudohealthyError: the folder cannot be written to.
    """
    with folder_beside(folder) as part:
        write_tsv(part / VOLUMES, table)
        write_json(part / SUMMARY, strict(summary))
        move_together(part, folder, folder / _JOURNAL)


def refuse_existing_scores(folder: Path, *, overwrite: bool) -> None:
    """Raise an `InputError` where files of `write_scores` are there and must not be replaced.

    Those that a killed run left unfinished may be.
    """
    ours = unfinished(folder / _JOURNAL)
    there = [path for path in (folder / SUMMARY, folder / VOLUMES) if path not in ours]
    refuse_existing(there, overwrite=overwrite)


def strict(value: Any) -> Any:
    """`value`, its groups and theirs with a null for every number that is none, as JSON wants it."""
    if isinstance(value, Mapping):
        return {key: strict(each) for key, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _check_shapes(
    outputs: NDArray[Any], slices: SliceSet, judged: Judged, detected: NDArray[Any] | None
) -> None:
    if not len(slices):
        raise InputError("there is no slice to score; give one at least")
    slices.check_shape("outputs", outputs)
    if detected is not None:
        slices.check_shape("detected", detected)
    for name, stacks in {"judged": judged.outputs, "judged inputs": judged.inputs}.items():
        for judge, stack in stacks.items():
            slices.check_shape(f"{name} of {judge}", stack)


def _of_volume(x_tilde: NDArray[Any], slices: SliceSet, detected: NDArray[Any] | None) -> dict[str, float]:
    """The measures of one volume that no judge is needed for."""
    x, lesions, brains, volumes = slices.images, slices.masks > 0, slices.brains, slices.volumes
    for name, values in {"images": x, "outputs": x_tilde, "truth": slices.truth}.items():
        if values is not None:
            _check_range(volumes[0], name, values)
    if not lesions.any(axis=(1, 2)).all():
        raise InputError(f"volume {volumes[0]}: a slice has an empty mask; give pathological slices only")
    row: dict[str, float] = {"slices": len(slices), "lesion_voxels": int(lesions.sum())}
    row |= volume_identity(x_tilde, x, lesions, brains)
    row |= _only(residual_contrast(x_tilde, lesions, brains, volumes, slices.spacing))
    row |= _only(anomaly(x, x_tilde, lesions, brains, volumes))
    row |= _of_catalogue(x_tilde, slices)
    if detected is not None:
        row |= _of_segmentor(detected > 0, lesions)
        row |= _only(detection(detected, lesions, volumes, slices.spacing))
    if slices.truth is not None:
        row |= {f"truth_phantom.{name}": value for name, value in volume_truth(x_tilde, slices).items()}
    return row


def _of_catalogue(x_tilde: NDArray[Any], slices: SliceSet) -> dict[str, float]:
    """The measures whose rows name a function, in the order of the rows.

    A parameter is `outputs`, or the attribute of `SliceSet` of its name; where one is not known, the measure
    is left out.
    """
    row: dict[str, float] = {}
    for function in (resolve_name(measure.code) for measure in MEASURES.values() if measure.code):
        names = signature(function).parameters
        given = {name: x_tilde if name == "outputs" else getattr(slices, name) for name in names}
        if all(value is not None for value in given.values()):
            row |= _only(function(**given))
    return row


def _of_segmentor(marked: NDArray[np.bool_], lesions: NDArray[np.bool_]) -> dict[str, float]:
    both = int(np.count_nonzero(marked & lesions))
    return {"segmentor_dice": dice(marked, lesions), BOTH: both, MARKED: int(np.count_nonzero(marked))}


def _only(table: pd.DataFrame) -> dict[str, float]:
    """The one row of a table of one volume."""
    return {str(name): float(value) for name, value in table.iloc[0].items()}


def _healthiness(counted: pd.DataFrame) -> dict[str, Any]:
    """Figures over all volumes together."""
    lesions = counted["lesion_voxels"]
    detected: dict[str, Any] = panel(_columns(counted, FOUND), lesions, _columns(counted, IN_INPUTS))
    of_paper = next(iter(detected["members"].values()))
    for count in _columns(counted, HELD_OUT).values():
        detected["held_out"] = healthiness(count, lesions)
    return {**of_paper, **detected}


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
