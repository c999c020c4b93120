"""Every measure of section 6 on what a predictor makes of a protocol's slices: the one way to all figures."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from pseudohealthy.assessment.predictors import Predictor
from pseudohealthy.assessment.protocol import EvaluationProtocol
from pseudohealthy.assessment.references import References
from pseudohealthy.assessment.resegmentation import excess_auroc
from pseudohealthy.evaluation.by_volume import Rows, by_volume
from pseudohealthy.evaluation.detection import by_size, lesions
from pseudohealthy.evaluation.healthy_input import healthy_in
from pseudohealthy.evaluation.insertion import unreliable
from pseudohealthy.evaluation.reconstruction import cycle, mask_control, moved, quantised
from pseudohealthy.evaluation.score import Judged, score, summarise
from pseudohealthy.evaluation.slice_set import MaskStack, SliceSet, Stack
from pseudohealthy.evaluation.texture import TEXTURE, texture, texture_over_slices, volume_texture
from pseudohealthy.evaluation.through_plane import through_plane_inconsistency
from pseudohealthy.evaluation.truth import volume_truth
from pseudohealthy.files import nest
from pseudohealthy.synthesis.model import THRESHOLD, Model

QUANTISATION_SEED = 0


@dataclass(frozen=True, eq=False)
class Assessment:
    """A predictor's measures.

    Attributes:
        table: a row a volume, a column a measure; dots in a name open groups.
        numbers: measures that stand for all volumes together, by the path they take in the results file.
        pictures: stacks of the slices that figures show, by name.
    """

    table: pd.DataFrame
    numbers: dict[str, Any]
    pictures: dict[str, Stack]


def assess(predictor: Predictor, protocol: EvaluationProtocol, references: References) -> Assessment:
    """Have the protocol's slices synthesised, and measure what comes out.

    Healthy slices and transplants are measured where the protocol has transplants, and with them the cycle.
    """
    x = protocol.pathological
    x_tilde = predictor.synthesize(x)
    by_slice = texture(x_tilde, x.masks, x.brains, x.volumes)
    numbers: dict[str, Any] = {}
    tables = [_scores(predictor, protocol, x_tilde, references)]
    if protocol.judges:
        recall_by_volume, numbers["healthiness.insertion_recall"] = protocol.insertion_check(x_tilde)
        tables.append(recall_by_volume)
    tables += _beside_lesions(predictor, protocol, x_tilde)
    tables.append(volume_texture(by_slice, x.volumes))
    numbers[TEXTURE] = texture_over_slices(by_slice, x.volumes)
    if references.coordinates is not None:
        tables.append(_resegmentation(protocol, x_tilde, references.coordinates))
    if (detected := predictor.segment(x)) is not None:
        sizes = by_size(lesions(detected, x.masks, x.volumes, x.spacing))
        numbers["detection.by_size"] = sizes.replace({np.nan: None}).to_dict(orient="index")
    shown = x.largest()
    pictures = {"healthy": x_tilde[shown]}
    own = predictor.reconstructor()
    if own is not None and not predictor.is_blend and protocol.transplants is not None:
        again, drawn = _reconstruction(own, protocol, x_tilde, next(iter(references.judged.values())))
        tables.append(again)
        pictures |= {name: stack[shown] for name, stack in drawn.items()}
    return Assessment(pd.concat(tables, axis=1).rename_axis("volume"), numbers, pictures)


def summary_of(assessment: Assessment, reference_recall: float | None) -> dict[str, Any]:
    """The measures over volumes, as a row of `table1.json` and the summary of `evaluate` have them.

    Args:
        assessment: of `assess`; a number that is not known may be NaN or None.
        reference_recall: the first judge's recall of synthetic lesions in the inputs; None: not known.

    Returns:
        As of `score.summarise`, with the numbers in their groups; healthiness says whether it is
        `unreliable`.
    """
    summary = summarise(assessment.table)
    for group, values in nest(assessment.numbers).items():
        summary.setdefault(group, {}).update(values)
    summary.pop("insertion_recall", None)
    if "healthiness" in summary:
        recalls = (summary["healthiness"]["insertion_recall"], reference_recall)
        measured, reference = (math.nan if recall is None else recall for recall in recalls)
        summary["healthiness"]["unreliable"] = unreliable(measured, reference)
    return summary


def _scores(
    predictor: Predictor, protocol: EvaluationProtocol, x_tilde: Stack, references: References
) -> pd.DataFrame:
    x = protocol.pathological
    if protocol.transplants is not None:
        x = replace(x, z=None)  # through-plane inconsistency is measured over healthy slices too
    judged = Judged(protocol.judged(x_tilde), references.judged, protocol.held_out)
    return score(x_tilde, x, judged=judged, detected=predictor.segment(protocol.pathological))


def _beside_lesions(predictor: Predictor, protocol: EvaluationProtocol, x_tilde: Stack) -> list[pd.DataFrame]:
    """Measures that need other slices than those with a lesion."""
    transplants, healthy = protocol.transplants, protocol.healthy
    if transplants is None or healthy is None:
        return []
    of_healthy = predictor.synthesize(healthy)
    return [
        _truth(predictor.synthesize(transplants), transplants),
        _healthy_in(predictor, of_healthy, healthy),
        _through_plane([(x_tilde, protocol.pathological), (of_healthy, healthy)]),
    ]


def _truth(x_tilde: Stack, transplants: SliceSet) -> pd.DataFrame:
    """Against the healthy slices that other subjects' lesions were put into."""

    def measure(rows: Rows) -> dict[str, float]:
        return volume_truth(x_tilde[rows], transplants.at(rows))

    return by_volume(transplants.volumes, measure).add_prefix("truth_transplant.")


def _healthy_in(predictor: Predictor, x_tilde: Stack, slices: SliceSet) -> pd.DataFrame:
    own = predictor.reconstructor()
    reconstructed = None
    if own is not None and _takes_mask(own):
        reconstructed = own.reconstruct(slices.images, np.zeros_like(slices.images))
    return healthy_in(x_tilde, slices, detected=predictor.segment(slices), reconstructed=reconstructed)


def _through_plane(parts: list[tuple[Stack, SliceSet]]) -> pd.DataFrame:
    """Over all slices of a volume, with a lesion or without."""
    outputs = np.concatenate([x_tilde for x_tilde, _ in parts])
    images, brains, volumes, z = (
        np.concatenate(arrays)
        for arrays in zip(*((s.images, s.brains, s.volumes, s.required("z")) for _, s in parts), strict=True)
    )
    return through_plane_inconsistency(outputs, images, brains, volumes, z)


def _resegmentation(protocol: EvaluationProtocol, x_tilde: Stack, coordinates: pd.DataFrame) -> pd.DataFrame:
    settings = protocol.settings
    return excess_auroc(
        x_tilde,
        protocol.pathological,
        seed=settings.resegmentation_seed,
        steps=settings.resegmentation_steps,
        coordinates=coordinates,
        device=settings.device,
    )


def _reconstruction(
    own: Model, protocol: EvaluationProtocol, x_tilde: Stack, judged: MaskStack
) -> tuple[pd.DataFrame, dict[str, Stack]]:
    """The cycle of CycleGAN and of the proposed methods, and whether R follows the mask that it is given."""
    x = protocol.pathological

    def detected(images: Stack) -> MaskStack:
        out: MaskStack = protocol.first_judge.segment(images) > THRESHOLD
        return out

    m_tilde = own.segment(x.images) if own.can("segment") else np.zeros_like(x.images)
    again = own.reconstruct(x_tilde, m_tilde)
    rounded = own.reconstruct(quantised(x_tilde, QUANTISATION_SEED), m_tilde)
    table = cycle(
        x.images,
        again,
        rounded,
        judged=judged,
        judged_reconstructed=detected(again),
        judged_reconstructed_quantised=detected(rounded),
        volumes=x.volumes,
    )
    pictures: dict[str, Stack] = {"reconstructed": again}
    if not _takes_mask(own):
        return table, pictures
    elsewhere = moved(x.masks, x.brains, x.volumes)
    without = own.reconstruct(x_tilde, np.zeros_like(x_tilde))
    with_moved = own.reconstruct(x_tilde, elsewhere.astype(np.float32))
    control = mask_control(
        detected(without),
        detected(with_moved),
        judged,
        moved_masks=elsewhere,
        masks=x.masks,
        volumes=x.volumes,
    )
    pictures |= {
        "without mask": without,
        "moved mask": elsewhere.astype(np.float32),
        "with moved mask": with_moved,
    }
    return pd.concat([table, control], axis=1), pictures


def _takes_mask(model: Model) -> bool:
    """Whether disease is put where a mask says: CycleGAN, which has no segmentor, puts it where it likes."""
    return model.can("reconstruct") and model.can("segment")
