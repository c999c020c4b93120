"""What judges find in the inputs and what coordinates alone tell: the same for all outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudohealthy.assessment.protocol import EvaluationProtocol
from pseudohealthy.assessment.resegmentation import coordinates_auroc, excess_auroc
from pseudohealthy.evaluation.healthiness import healthiness, healthiness_of_healthy, reasons_against
from pseudohealthy.evaluation.insertion import insert, pooled_recall
from pseudohealthy.evaluation.score import strict
from pseudohealthy.evaluation.segmentation import dice, volume_dice
from pseudohealthy.evaluation.slice_set import MaskStack, SliceSet
from pseudohealthy.evaluation.texture import texture, texture_over_slices
from pseudohealthy.files import read_tsv, write_arrays, write_json, write_tsv


@dataclass(frozen=True, eq=False)
class References:
    """What outputs are compared with.

    Attributes:
        judged: f(x) of the pathological slices, `(N, H, W)` by judge; nothing without judges.
        coordinates: of `coordinates_auroc` of the same slices; None where re-segmentability is not measured.
    """

    judged: Mapping[str, MaskStack]
    coordinates: pd.DataFrame | None

    @classmethod
    def of(cls, protocol: EvaluationProtocol) -> Self:
        """Those of a protocol. Of one subject alone re-segmentability cannot be measured."""
        x, settings = protocol.pathological, protocol.settings
        judged, steps = protocol.judged(x.images), settings.resegmentation_steps
        if not steps or len(np.unique(x.subjects)) < 2:
            return cls(judged, None)
        seed, device = settings.resegmentation_seed, settings.device
        return cls(judged, coordinates_auroc(x, seed=seed, steps=steps, device=device))

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Those of a folder that `write_references` wrote."""
        with np.load(folder / "judged.npz", allow_pickle=False) as arrays:
            judged = {name: arrays[name] for name in arrays.files}
        return cls(judged, read_tsv(folder / "coordinates.tsv", index="volume"))


def write_references(folder: Path, protocol: EvaluationProtocol) -> None:
    """An experiment's references on disk, what its judges are worth, and who got whose lesion.

    Files: `judged.npz` (f(x) of the pathological slices), `coordinates.tsv`, `judges.json`, `pairs.tsv`.
    """
    x = protocol.pathological
    references = References.of(protocol)
    if protocol.healthy is None or protocol.truth_pairs is None or references.coordinates is None:
        raise ValueError("references on disk are those of an experiment, which measures everything")
    write_arrays(folder / "judged.npz", references.judged)
    write_tsv(folder / "coordinates.tsv", references.coordinates)
    qualities = {
        name: judge_quality(protocol, name, detected) for name, detected in references.judged.items()
    }
    judges = {
        "judges": qualities,
        "threshold": protocol.threshold,
        **validity(qualities[next(iter(protocol.judges))]),
        **_of_healthy_slices(protocol),
    }
    write_json(folder / "judges.json", strict(judges))
    named = [
        _named(protocol.truth_pairs, x, protocol.healthy, "truth"),
        _named(protocol.check_pairs, x, x, "check"),
    ]
    write_tsv(folder / "pairs.tsv", pd.concat(named, ignore_index=True).set_index("use"))


def judge_quality(protocol: EvaluationProtocol, name: str, detected: MaskStack) -> dict[str, Any]:
    """What a judge is worth: its Dice, what it finds in copies, healthy slices and synthetic lesions.

    Args:
        protocol: whose judge it is.
        name: the judge's, or the threshold rule's.
        detected: f(x) of the pathological slices.
    """
    x = protocol.pathological

    def in_slices(slices: SliceSet) -> MaskStack:
        return protocol.judged_by(name, slices.images, slices.brains)

    # the same lesions as in the insertion check, in the same slices, but these are real
    checked = insert(x, x, protocol.check_pairs)
    on_healthy = np.zeros(0) if protocol.healthy is None else _area(in_slices(protocol.healthy))
    quality: dict[str, Any] = {
        "dice_pooled": dice(detected, x.masks),
        "dice_per_volume": float(volume_dice(detected, x.masks, x.volumes).mean()),
        "h_copy": healthiness(detected.sum(), x.masks.sum()),
        "h_real_healthy": healthiness_of_healthy(on_healthy, x.masks.sum(axis=(1, 2))),
        "false_positive_voxels_per_healthy_slice": float(on_healthy.mean()) if on_healthy.size else np.nan,
        "recall": pooled_recall(detected, x.masks),
        "insertion_recall": pooled_recall(in_slices(checked), checked.masks),
    }
    if (transplants := protocol.transplants) is not None:
        recall = pooled_recall(in_slices(transplants), transplants.masks)
        quality["insertion_recall_in_healthy_slices"] = recall
    return {**quality, "held_out": name == protocol.held_out}


def validity(first_judge: Mapping[str, Any]) -> dict[str, Any]:
    """Whether the first judge, of that quality, may be believed: `valid` and `invalid_reason`, or None."""
    reasons = reasons_against(*(first_judge[key] for key in ("dice_pooled", "h_copy", "h_real_healthy")))
    return {"valid": not reasons, "invalid_reason": "; ".join(reasons) or None}


def _of_healthy_slices(protocol: EvaluationProtocol) -> dict[str, Any]:
    """Re-segmentability and texture of real healthy slices, given masks of others: ideals in practice."""
    slices, settings = protocol.transplants, protocol.settings
    if slices is None:
        return {}
    truth = slices.required("truth")
    seed, steps, device = settings.resegmentation_seed, settings.resegmentation_steps, settings.device
    excess = excess_auroc(truth, slices, seed=seed, steps=steps, device=device)
    of_slices = texture(truth, slices.masks, slices.brains, slices.volumes)
    return {
        "resegmentation_of_healthy_slices": float(excess["reseg_excess_auroc"].mean()),
        "texture_of_healthy_slices": texture_over_slices(of_slices, slices.volumes),
    }


def _area(detected: MaskStack) -> NDArray[np.int64]:
    return np.asarray(np.count_nonzero(detected, axis=(1, 2)), dtype=np.int64)


def _named(pairs: pd.DataFrame, donors: SliceSet, recipients: SliceSet, use: str) -> pd.DataFrame:
    """Pairs with the subjects and slices of which they are."""
    donor, recipient = pairs["donor"].to_numpy(), pairs["recipient"].to_numpy()
    return pairs.assign(
        use=use,
        donor_subject=donors.subjects[donor],
        donor_z=donors.required("z")[donor],
        recipient_subject=recipients.subjects[recipient],
        recipient_z=recipients.required("z")[recipient],
    )
