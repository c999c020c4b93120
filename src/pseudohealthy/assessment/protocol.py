"""What outputs are measured against, worked out once: slices, judges, threshold, synthetic lesions, seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudohealthy.catalogue.rows import THRESHOLD_RULE
from pseudohealthy.config import Split
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import InputError
from pseudohealthy.evaluation.controls import best_threshold, threshold_masks
from pseudohealthy.evaluation.insertion import (
    insert,
    insertion_recall,
    pairs_of,
    plan_insertions,
    pooled_recall,
)
from pseudohealthy.evaluation.slice_set import MaskStack, SliceSet
from pseudohealthy.synthesis.model import THRESHOLD, Model

LEAST_SUBJECTS = 2  # for what is learnt on some and measured on others
HELD_OUT = "held_out"  # the name of such a judge where none is given


@dataclass(frozen=True)
class ProtocolSettings:
    """How outputs are measured.

    Attributes:
        split: every choice is made on "val"; "test" is read once a result.
        held_out: name of the judge that is reported apart from the panel, if it is there.
        seed: of all that is drawn.
        resegmentation_steps: of training for re-segmentability; 0: it is not measured.
        device: where re-segmentation networks are trained: "cpu", "cuda" or "auto".
    """

    split: Split = "val"
    held_out: str | None = HELD_OUT
    seed: int = 0
    resegmentation_steps: int = 0
    device: str = "cpu"

    @property
    def transplant_seed(self) -> int:
        """Of the lesions that are put into healthy slices."""
        return self.seed

    @property
    def insertion_check_seed(self) -> int:
        """Of the lesions that are put into outputs: other ones."""
        return self.seed + 1

    @property
    def resegmentation_seed(self) -> int:
        """Of re-segmentation's halves, weights and batches."""
        return self.seed


@dataclass(frozen=True, eq=False)
class EvaluationProtocol:
    """A split's slices and everything that outputs are held against.

    Attributes:
        pathological: slices with a lesion, which every method is measured on.
        judges: f_pre by name; the first is the paper's; none: no healthiness.
        settings: how outputs are measured.
        threshold: of FLAIR, chosen on validation slices: the panel's threshold rule. NaN without judges.
        check_pairs: whose lesion goes into which output for the insertion check.
        healthy: slices that should come back as they are; None where the split has none.
        transplants: healthy slices with a lesion of another subject, whose truth is known (section 6); None:
            methods are measured on the pathological slices alone.
        truth_pairs: whose lesion went into which healthy slice; the rows of `transplants`.
    """

    pathological: SliceSet
    judges: Mapping[str, Model]
    settings: ProtocolSettings
    threshold: float
    check_pairs: pd.DataFrame
    healthy: SliceSet | None = None
    transplants: SliceSet | None = None
    truth_pairs: pd.DataFrame | None = None

    @classmethod
    def of(cls, prepared: Prepared, judges: Mapping[str, Model], settings: ProtocolSettings) -> Self:
        """That of an experiment: methods are measured on healthy slices and transplants too.

        Raises:
            InputError: the split lacks pathological or healthy slices, or has them of one subject only.
        """
        split = settings.split
        pathological, healthy = (SliceSet.of(prepared, split, label) for label in ("pathological", "healthy"))
        truth_pairs = plan_insertions(pathological, healthy, seed=settings.transplant_seed)
        fitting = len(np.unique(healthy.subjects[truth_pairs["recipient"].to_numpy()]))
        if fitting < LEAST_SUBJECTS or len(np.unique(pathological.subjects)) < LEAST_SUBJECTS:
            raise InputError(
                f"too few {split} volumes: lesions fit into healthy slices of {fitting} other subjects, "
                f"expected {LEAST_SUBJECTS} or more; give the {split} split more volumes"
            )
        return cls(
            pathological,
            judges,
            settings,
            validation_threshold(prepared),
            plan_insertions(pathological, pathological, seed=settings.insertion_check_seed),
            healthy,
            insert(healthy, pathological, truth_pairs),
            truth_pairs,
        )

    @classmethod
    def of_lesions(cls, prepared: Prepared, judges: Mapping[str, Model], settings: ProtocolSettings) -> Self:
        """That of one model or of anybody's images: measured on the slices with a lesion alone.

        Raises:
            InputError: the split has no pathological slice.
        """
        pathological = SliceSet.of(prepared, settings.split)
        if not judges:
            return cls(pathological, judges, settings, float("nan"), pairs_of())
        table = prepared.slices
        has_healthy = ((table["split"] == settings.split) & (table["label"] == "healthy")).any()
        return cls(
            pathological,
            judges,
            settings,
            validation_threshold(prepared),
            plan_insertions(pathological, pathological, seed=settings.insertion_check_seed),
            SliceSet.of(prepared, settings.split, "healthy") if has_healthy else None,
        )

    @property
    def first_judge(self) -> Model:
        """The paper's f_pre."""
        return next(iter(self.judges.values()))

    @property
    def held_out(self) -> str | None:
        """The judge that is not of the panel, where there is one."""
        return self.settings.held_out if self.settings.held_out in self.judges else None

    def judged(self, images: NDArray[np.float32]) -> dict[str, MaskStack]:
        """What every judge, and the threshold rule, finds in the pathological slices or in their outputs.

        Args:
            images: `(N, H, W)` in [0, 1].

        Returns:
            `(N, H, W)` by judge; nothing without judges.
        """
        names = (*self.judges, THRESHOLD_RULE) if self.judges else ()
        return {name: self.judged_by(name, images, self.pathological.brains) for name in names}

    def judged_by(self, name: str, images: NDArray[np.float32], brains: MaskStack) -> MaskStack:
        """What one judge, or the threshold rule inside brains, finds in any images, `(N, H, W)`."""
        if name == THRESHOLD_RULE:
            return threshold_masks(images, brains, self.threshold)
        if not len(images):
            return np.zeros(images.shape, dtype=np.bool_)
        detected: MaskStack = self.judges[name].segment(images) > THRESHOLD
        return detected

    def insertion_check(self, outputs: NDArray[np.float32]) -> tuple[pd.DataFrame, float]:
        """The first judge's recall of known lesions put into outputs (section 6), by volume and pooled.

        Args:
            outputs: of the pathological slices, `(N, H, W)` in [0, 1].
        """
        x = self.pathological
        if self.check_pairs.empty:
            return pd.DataFrame({"insertion_recall": []}), float("nan")
        checked = insert(x, x, self.check_pairs, images=outputs)
        detected = self.judged_by(next(iter(self.judges)), checked.images, checked.brains)
        pooled = pooled_recall(detected, checked.masks)
        return insertion_recall(detected, checked.masks, checked.volumes), pooled


def validation_threshold(prepared: Prepared) -> float:
    """The threshold of FLAIR with the greatest Dice on the validation slices with a lesion.

    Raises:
        InputError: there is none.
    """
    validation = SliceSet.of(prepared, "val")
    return best_threshold(validation.images, validation.masks, validation.brains)


def expect_same_preprocessing(prepared: Prepared, model: Model, role: str) -> None:
    """Make sure that a model knows slices such as the cohort's.

    Raises:
        InputError: it does not; what differs is named.
    """
    expected = model.preprocessing.model_dump(mode="json")
    settings = prepared.manifest["settings"]
    differs = [
        f"{key} is {settings.get(key)}, not {value}"
        for key, value in expected.items()
        if settings.get(key) != value
    ]
    if differs:
        raise InputError(
            f"the cohort was prepared in another way than the {role}'s ({'; '.join(differs)}); "
            f"prepare it again with the {role}'s settings"
        )
