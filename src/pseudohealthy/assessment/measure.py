"""Every measure of section 6 on one row's output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudohealthy.assessment.predictors import Predictor
from pseudohealthy.assessment.protocol import EvaluationProtocol, insertion_check
from pseudohealthy.assessment.resegmentation import excess_auroc
from pseudohealthy.evaluation.detection import by_size, lesions
from pseudohealthy.evaluation.healthy_input import healthy_in
from pseudohealthy.evaluation.reconstruction import cycle, mask_control, moved, quantised
from pseudohealthy.evaluation.score import Scored, score
from pseudohealthy.evaluation.slice_set import SliceSet
from pseudohealthy.evaluation.texture import TEXTURE, texture, texture_over_slices, volume_texture
from pseudohealthy.evaluation.through_plane import through_plane_inconsistency
from pseudohealthy.evaluation.truth import volume_truth
from pseudohealthy.synthesis.model import THRESHOLD, Model

Stack = NDArray[np.float32]
Found = NDArray[np.bool_]
QUANTISATION_SEED = 0


@dataclass(frozen=True, eq=False)
class Measured:
    """A row's measures.

    Attributes:
        table: a row a volume, a column a measure; dots in a name open groups.
        numbers: measures that stand for all volumes together, by the path they take in the results file.
        pictures: stacks of the slices that figures show, by name.
    """

    table: pd.DataFrame
    numbers: dict[str, Any]
    pictures: dict[str, Stack]


def measure(
    predictor: Predictor,
    bench: EvaluationProtocol,
    judged: Mapping[str, Found],
    coordinates: pd.DataFrame,
    *,
    seed: int,
    steps: int,
) -> Measured:
    """Heal the bench's slices and measure what came out.

    Args:
        predictor: the row.
        bench: what it is measured against.
        judged: f(x) of the inputs, by judge.
        coordinates: `coordinates_auroc` of the same slices.
        seed: of the re-segmentation.
        steps: of the re-segmentation's training.
    """
    x = bench.pathological
    x_tilde = predictor.healed(x)
    healthy = predictor.healed(bench.healthy)
    recall_by_volume, recall = insertion_check(
        x, x_tilde, bench.check_pairs, bench.first_judge, bench.spacing[0]
    )
    of_slices = texture(x_tilde, x.masks, x.brains, x.volumes)
    tables = [
        _scores(predictor, bench, x_tilde, judged),
        recall_by_volume,
        _truth(predictor.healed(bench.transplants), bench),
        _healthy_in(predictor, bench.healthy, healthy),
        _through_plane(x_tilde, healthy, bench),
        volume_texture(of_slices, x.volumes),
        excess_auroc(
            x_tilde,
            x.masks,
            x.brains,
            x.volumes,
            x.heights,
            subjects=x.subjects,
            seed=seed,
            steps=steps,
            coordinates=coordinates,
        ),
    ]
    numbers: dict[str, Any] = {
        "healthiness.insertion_recall": recall,
        TEXTURE: texture_over_slices(of_slices, x.volumes),
    }
    if (found := predictor.found(x)) is not None:
        sizes = by_size(lesions(found, x.masks, x.volumes, bench.spacing))
        numbers["detection.by_size"] = sizes.replace({np.nan: None}).to_dict(orient="index")
    shown = x.largest()
    pictures = {"healthy": x_tilde[shown]}
    if (
        predictor.row.output == "raw"
        and predictor.own is not None
        and {"R", "F"} & set(predictor.own.networks)
    ):
        again, drawn = _reconstruction(predictor, predictor.own, bench, x_tilde, next(iter(judged.values())))
        tables.append(again)
        pictures |= {name: stack[shown] for name, stack in drawn.items()}
    return Measured(pd.concat(tables, axis=1).rename_axis("volume"), numbers, pictures)


def _scores(
    predictor: Predictor, bench: EvaluationProtocol, x_tilde: Stack, judged: Mapping[str, Found]
) -> pd.DataFrame:
    x = bench.pathological
    return score(
        Scored(
            x.images,
            x_tilde,
            x.masks,
            x.volumes,
            judged=bench.judged(x_tilde, x.brains),
            judged_inputs=judged,
            held_out=bench.held_out,
            found=predictor.found(x),
            truth=x.truth,
            spacing=bench.spacing,
        )
    )


def _truth(x_tilde: Stack, bench: EvaluationProtocol) -> pd.DataFrame:
    """Against the healthy slices that other subjects' lesions were put into."""
    case = bench.transplants
    rows = {}
    for volume in pd.unique(case.volumes):
        own = np.flatnonzero(case.volumes == volume)
        truth = case.images if case.truth is None else case.truth
        rows[volume] = volume_truth(
            x_tilde[own],
            case.images[own],
            truth[own],
            case.masks[own],
            case.brains[own],
            spacing=bench.spacing,
        )
    return pd.DataFrame.from_dict(rows, orient="index").add_prefix("truth_transplant.")


def _healthy_in(predictor: Predictor, case: SliceSet, x_tilde: Stack) -> pd.DataFrame:
    own = predictor.own
    reconstructed = None
    if own is not None and "R" in own.networks:
        reconstructed = own.reconstruct(case.images, np.zeros_like(case.images))
    return healthy_in(
        case.images,
        x_tilde,
        case.volumes,
        case.brains,
        found=predictor.found(case),
        reconstructed=reconstructed,
    )


def _through_plane(x_tilde: Stack, healthy: Stack, bench: EvaluationProtocol) -> pd.DataFrame:
    """Over all slices of a volume, with a lesion or without."""
    cases = (bench.pathological, bench.healthy)
    outputs = np.concatenate([x_tilde, healthy])
    images, brains, volumes, z = (
        np.concatenate([getattr(case, name) for case in cases])
        for name in ("images", "brains", "volumes", "z")
    )
    return through_plane_inconsistency(outputs, images, brains, volumes, z)


def _reconstruction(
    predictor: Predictor, own: Model, bench: EvaluationProtocol, x_tilde: Stack, judged: Found
) -> tuple[pd.DataFrame, dict[str, Stack]]:
    """The cycle of CycleGAN and of the proposed methods, and whether R obeys the mask it is given."""
    x = bench.pathological

    def found(images: Stack) -> Found:
        out: Found = bench.first_judge.segment(images) > THRESHOLD
        return out

    m_tilde = (
        predictor.memory.of(own, "segment", x.images) if "S" in own.networks else np.zeros_like(x.images)
    )
    again = own.reconstruct(x_tilde, m_tilde)
    rounded = own.reconstruct(quantised(x_tilde, QUANTISATION_SEED), m_tilde)
    table = cycle(
        x.images,
        again,
        rounded,
        judged=judged,
        judged_reconstructed=found(again),
        judged_reconstructed_quantised=found(rounded),
        volumes=x.volumes,
    )
    pictures: dict[str, Stack] = {"reconstructed": again}
    if "R" not in own.networks:
        return table, pictures
    elsewhere = moved(x.masks, x.brains, x.volumes)
    without = own.reconstruct(x_tilde, np.zeros_like(x_tilde))
    with_moved = own.reconstruct(x_tilde, elsewhere.astype(np.float32))
    obeys = mask_control(
        found(without),
        found(with_moved),
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
    return pd.concat([table, obeys], axis=1), pictures
