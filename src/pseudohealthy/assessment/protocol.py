"""What every row is measured against, worked out once: judges, threshold, inserted lesions, coordinates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudohealthy.assessment.resegmentation import coordinates_auroc, excess_auroc
from pseudohealthy.catalogue.rows import THRESHOLD_RULE
from pseudohealthy.config import Split
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import InputError
from pseudohealthy.evaluation.controls import best_threshold, threshold_masks
from pseudohealthy.evaluation.healthiness import healthiness, healthiness_of_healthy, reasons_against
from pseudohealthy.evaluation.insertion import insert, insertion_recall, plan_insertions, pooled_recall
from pseudohealthy.evaluation.score import strict
from pseudohealthy.evaluation.segmentation import dice, volume_dice
from pseudohealthy.evaluation.slice_set import SliceSet
from pseudohealthy.evaluation.texture import texture, texture_over_slices
from pseudohealthy.files import write_arrays, write_json, write_tsv
from pseudohealthy.synthesis.model import THRESHOLD, Model

FEATHER = 2.0  # mm
LEAST_SUBJECTS = 2  # for what is learnt on some and measured on others


@dataclass(frozen=True, eq=False)
class EvaluationProtocol:
    """The test slices and everything that a row's output is held against.

    Attributes:
        pathological: slices to heal.
        healthy: slices that should come back as they are.
        transplants: healthy slices with a lesion of another subject, whose truth is known (section 6).
        truth_pairs: whose lesion went into which healthy slice; the rows of `transplants`.
        check_pairs: whose lesion goes into which output for the insertion check.
        judges: f_pre by name; the first is the paper's.
        held_out: the judge that is not of the panel.
        threshold: of FLAIR, chosen on validation slices.
        spacing: of rows and columns, in mm.
    """

    pathological: SliceSet
    healthy: SliceSet
    transplants: SliceSet
    truth_pairs: pd.DataFrame
    check_pairs: pd.DataFrame
    judges: Mapping[str, Model]
    held_out: str
    threshold: float
    spacing: tuple[float, float]

    @classmethod
    def of(
        cls, prepared: Prepared, judges: Mapping[str, Model], held_out: str, seed: int, split: Split = "test"
    ) -> Self:
        """The bench of a split; the threshold comes from the validation slices.

        Raises:
            InputError: the split lacks pathological or healthy slices, or has them of one subject only.
        """
        pathological, healthy = (SliceSet.of(prepared, split, label) for label in ("pathological", "healthy"))
        validation = SliceSet.of(prepared, "val")
        spacing = float(prepared.manifest["settings"]["spacing"])
        truth_pairs = plan(pathological, healthy, seed, spacing)
        fitting = len(np.unique(healthy.subjects[truth_pairs["recipient"].to_numpy()]))
        if fitting < LEAST_SUBJECTS or len(np.unique(pathological.subjects)) < LEAST_SUBJECTS:
            raise InputError(
                f"too few {split} volumes: lesions fit into healthy slices of {fitting} other subjects, "
                f"expected {LEAST_SUBJECTS} or more; give the {split} split more volumes"
            )
        return cls(
            pathological,
            healthy,
            transplanted(healthy, pathological, truth_pairs, spacing),
            truth_pairs,
            plan(pathological, pathological, seed + 1, spacing, avoid=pathological.masks),
            judges,
            held_out,
            best_threshold(validation.images, validation.masks, validation.brains),
            (spacing, spacing),
        )

    @property
    def first_judge(self) -> Model:
        """The paper's f_pre."""
        return next(iter(self.judges.values()))

    def judged(self, x: NDArray[np.float32], brains: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
        """f(x) of every judge, and what the threshold rule marks, by name; `(N, H, W)` each."""
        found = {name: judge.segment(x) > THRESHOLD for name, judge in self.judges.items()}
        return {**found, THRESHOLD_RULE: threshold_masks(x, brains, self.threshold)}


def insertion_check(
    case: SliceSet, outputs: NDArray[np.float32], pairs: pd.DataFrame, judge: Model, spacing: float
) -> tuple[pd.DataFrame, float]:
    """Whether a judge finds known lesions in outputs (section 6): its recall by volume, and pooled.

    Args:
        case: the slices that the outputs were made of.
        outputs: `(N, H, W)` in [0, 1].
        pairs: which of the case's lesions goes into which output; none: the recall is NaN.
        judge: f_pre.
        spacing: of pixels, in mm.
    """
    if pairs.empty:
        return pd.DataFrame({"insertion_recall": []}), float("nan")
    checked = transplanted(case, case, pairs, spacing, outputs)
    found = judge.segment(checked.images) > THRESHOLD
    return insertion_recall(found, checked.masks, checked.volumes), pooled_recall(found, checked.masks)


def plan(
    donors: SliceSet,
    recipients: SliceSet,
    seed: int,
    spacing: float,
    avoid: NDArray[np.bool_] | None = None,
) -> pd.DataFrame:
    """Which lesion goes where; see `evaluation.insertion.plan_insertions`."""
    tables = [
        pd.DataFrame({"subject": case.subjects, "height": case.heights}) for case in (donors, recipients)
    ]
    return plan_insertions(
        donors.masks,
        donors.brains,
        tables[0],
        recipients.brains,
        tables[1],
        seed=seed,
        spacing=spacing,
        avoid=avoid,
    )


def transplanted(
    recipients: SliceSet,
    donors: SliceSet,
    pairs: pd.DataFrame,
    spacing: float,
    images: NDArray[np.float32] | None = None,
) -> SliceSet:
    """The recipients of the pairs (or `images` in their place) with their donors' lesions; truth: without.

    A lesion fades in over 2 mm, of pixels `spacing` mm wide.
    """
    images = recipients.images if images is None else images
    with_lesion, masks = insert(
        images,
        recipients.brains,
        donors.images,
        donors.masks,
        donors.brains,
        pairs=pairs,
        feather=FEATHER / spacing,
        avoid=recipients.masks,
    )
    rows = pairs["recipient"].to_numpy()
    return SliceSet(
        with_lesion,
        masks,
        recipients.volumes[rows],
        recipients.subjects[rows],
        recipients.z[rows],
        recipients.heights[rows],
        images[rows],
    )


def write_references(folder: Path, bench: EvaluationProtocol, *, seed: int, steps: int) -> None:
    """What the judges make of the inputs, what coordinates alone tell, and the pairs, on disk.

    Files: `judged.npz` (f(x) of the pathological slices), `coordinates.tsv`, `judges.json`, `pairs.tsv`.
    """
    x = bench.pathological
    judged = bench.judged(x.images, x.brains)
    write_arrays(folder / "judged.npz", judged)
    coordinates = coordinates_auroc(
        x.masks, x.brains, x.volumes, x.heights, subjects=x.subjects, seed=seed, steps=steps
    )
    write_tsv(folder / "coordinates.tsv", coordinates)
    # the same lesions as in the outputs, in the same slices, but real ones
    checked = transplanted(x, x, bench.check_pairs, bench.spacing[0])
    facts = {name: _facts(bench, name, found, checked) for name, found in judged.items()}
    first = facts[next(iter(bench.judges))]
    reasons = reasons_against(first["dice_pooled"], first["h_copy"], first["h_real_healthy"])
    judges = {
        "judges": facts,
        "threshold": bench.threshold,
        "valid": not reasons,
        "invalid_reason": "; ".join(reasons) or None,
        "resegmentation_of_healthy_slices": _healthy_resegmentation(bench, seed, steps),
        "texture_of_healthy_slices": _healthy_texture(bench),
    }
    write_json(folder / "judges.json", strict(judges))
    named = [_named(bench.truth_pairs, x, bench.healthy, "truth"), _named(bench.check_pairs, x, x, "check")]
    write_tsv(folder / "pairs.tsv", pd.concat(named, ignore_index=True).set_index("use"))


def _facts(
    bench: EvaluationProtocol, name: str, found: NDArray[np.bool_], checked: SliceSet
) -> dict[str, Any]:
    """A judge's own quality: its Dice, what it makes of a copy, of healthy slices and of inserted lesions."""
    x, inserted = bench.pathological, bench.transplants
    on_healthy = np.count_nonzero(_one(bench, name, bench.healthy), axis=(1, 2))
    return {
        "dice_pooled": dice(found, x.masks),
        "dice_per_volume": float(volume_dice(found, x.masks, x.volumes).mean()),
        "h_copy": healthiness(found.sum(), x.masks.sum()),
        "h_real_healthy": healthiness_of_healthy(on_healthy, x.masks.sum(axis=(1, 2))),
        "false_positive_voxels_per_healthy_slice": float(on_healthy.mean()),
        "recall": pooled_recall(found, x.masks),
        "insertion_recall": pooled_recall(_one(bench, name, checked), checked.masks),
        "insertion_recall_in_healthy_slices": pooled_recall(_one(bench, name, inserted), inserted.masks),
        "held_out": name == bench.held_out,
    }


def _one(bench: EvaluationProtocol, name: str, case: SliceSet) -> NDArray[np.bool_]:
    if name == THRESHOLD_RULE:
        return threshold_masks(case.images, case.brains, bench.threshold)
    found: NDArray[np.bool_] = bench.judges[name].segment(case.images) > THRESHOLD
    return found


def _healthy_resegmentation(bench: EvaluationProtocol, seed: int, steps: int) -> float:
    """The re-segmentability of real healthy slices, given masks of others: what 0 looks like in practice."""
    case = bench.transplants
    truth = case.images if case.truth is None else case.truth
    table = excess_auroc(
        truth,
        case.masks,
        case.brains,
        case.volumes,
        case.heights,
        subjects=case.subjects,
        seed=seed,
        steps=steps,
    )
    return float(table["reseg_excess_auroc"].mean())


def _healthy_texture(bench: EvaluationProtocol) -> dict[str, float]:
    """The texture of real healthy slices, given masks of others: what 1 looks like in practice."""
    case = bench.transplants
    truth = case.images if case.truth is None else case.truth
    return texture_over_slices(texture(truth, case.masks, case.brains, case.volumes), case.volumes)


def _named(pairs: pd.DataFrame, donors: SliceSet, recipients: SliceSet, use: str) -> pd.DataFrame:
    """Pairs with the subjects and slices of which they are."""
    donor, recipient = pairs["donor"].to_numpy(), pairs["recipient"].to_numpy()
    return pairs.assign(
        use=use,
        donor_subject=donors.subjects[donor],
        donor_z=donors.z[donor],
        recipient_subject=recipients.subjects[recipient],
        recipient_z=recipients.z[recipient],
    )


def read_judged(folder: Path) -> dict[str, NDArray[np.bool_]]:
    """`judged.npz` of a folder that `write_references` wrote."""
    with np.load(folder / "judged.npz", allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
