"""What a method draws its batches from: prepared slices, in an order that the seed alone decides."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pseudohealthy.config import Split, Training
from pseudohealthy.errors import InputError
from pseudohealthy.sampling.augmentation import FlipGamma, Unchanged, augmentation
from pseudohealthy.sampling.batch import Batch, Need
from pseudohealthy.sampling.draws import (
    AUGMENT,
    DISCRIMINATORS,
    HEALTHY,
    INPAINTING,
    LABELLED,
    LESION_FREE,
    LIBRARY,
    NEIGHBOURS,
    PATHOLOGICAL,
    SYNTHETIC,
    WARM_UP,
    HealthySlices,
    LesionFreeSlices,
    MaskLibrary,
    RandomStreams,
    with_labelled_fraction,
)
from pseudohealthy.sampling.inpainting_masks import inpainting_mask
from pseudohealthy.sampling.synthetic_lesions import add_synthetic_lesion, transplant_lesion

if TYPE_CHECKING:  # not for those who only process images
    import pandas as pd

    from pseudohealthy.data.prepared import Prepared


class BatchSampler:
    """The batches of one split. Batch k of a seed is always the same: a resumed run sees what it would have.

    What a method needs decides what is drawn, and nothing else is read:

    - "lesion": m_p; only slices with a mask are drawn.
    - "labelled": m_p where there is one, and which those are; other slices of patients are drawn too, as
      they are by methods that ask for neither.
    - "healthy": x_h.
    - "lesion_free": x_k, drawn from the healthy slices and from the edge slices.
    - "lesion_free_balanced": x_k from the same, two healthy slices for each edge slice, where there are any.
    - "library": m, from the cohort's volumes that are masks only, where it has some, else from other patients
      than the slice's own (section 3, L_GAN2).
    - "synthetic": a share of x_p and m_p are healthy slices, of like height, with a synthetic lesion of the
      shape of one of those masks, or, in a share of them (`training.transplanted_fraction`), with the lesion
      of another slice of the split.
    - "inpainting_masks": m of the same shapes, turned over and moved within the brain of x_h; no x_p.

    Of volumes whose masks `labelled_fraction` leaves out, it is known which slices show disease, not where.

    Args:
        prepared: the cohort.
        split: whose slices are drawn.
        needs: of the method.
        training: batch size, augmentation, seed and what is drawn how.
        neighbours: see `HealthySlices`.

    Raises:
        InputError: the split has no slice of a kind that the method needs.
    """

    def __init__(
        self,
        prepared: Prepared,
        split: Split,
        needs: frozenset[Need],
        training: Training,
        neighbours: int = NEIGHBOURS,
    ) -> None:
        self.prepared, self.needs, self.training = prepared, needs, training
        self.streams = RandomStreams(training.seed, training.batch_size)
        self.synthetic_fraction = training.synthetic_fraction
        table = prepared.slices[prepared.slices["split"] == split]
        table = with_labelled_fraction(table, training.labelled_fraction, self.streams.rng(LABELLED))
        ill = ["pathological"] if "lesion" in needs else ["pathological", "unlabelled"]
        self.pathological = _with_label(table, ill, f"pathological {split}")
        if "healthy" in needs:
            self.healthy = HealthySlices(_with_label(table, ["healthy"], f"healthy {split}"), neighbours)
        if needs & {"lesion_free", "lesion_free_balanced"}:
            if "lesion_free_balanced" in needs:
                _with_label(table, ["healthy"], f"healthy {split}")
            free = _with_label(table, ["healthy", "edge"], f"healthy {split}")
            self.lesion_free = LesionFreeSlices(free["row"].to_numpy(), (free["label"] == "edge").to_numpy())
        if needs & {"library", "inpainting_masks", "synthetic"}:
            self.mask_library = MaskLibrary.of(prepared, table)
        if "synthetic" in needs and training.transplanted_fraction:
            self.donors = table[table["label"] == "pathological"]
            if self.donors.empty:
                raise InputError(
                    "training.transplanted_fraction needs slices with their own lesion mask, and there is "
                    "none; leave it out, or raise training.labelled_fraction"
                )
        if needs & {"library", "inpainting_masks"}:
            self.mask_library.expect_others(set(self._without_own_mask()["subject"]))

    def __len__(self) -> int:
        """Pathological slices: one epoch."""
        return len(self.pathological)

    def for_discriminators(self) -> Self:
        """The same slices in another order: batches that the discriminators alone see."""
        other = copy.copy(self)
        other.streams = replace(self.streams, reader=(DISCRIMINATORS,))
        return other

    def for_warm_up(self, needs: frozenset[Need]) -> Self:
        """The same slices in another order, of which a warm-up's batches are drawn.

        Args:
            needs: of those that the slices were opened with; with "synthetic" and without "lesion", all of
                x_p have a synthetic lesion.
        """
        other = copy.copy(self)
        other.streams = replace(self.streams, reader=(WARM_UP,))
        other.needs = needs
        if "lesion" not in needs:
            other.synthetic_fraction = 1.0
        return other

    def batch(self, step: int, part: slice = slice(None)) -> Batch:
        """Batch number `step`; `part` are the images of this process."""
        rows = self.pathological.iloc[self.streams.shuffled(len(self), step, PATHOLOGICAL)[part]]
        parts = {} if "inpainting_masks" in self.needs else self._diseased(step, rows, part)
        if "healthy" in self.needs:
            healthy = self.healthy.table.iloc[self._healthy(step, rows, part)]
            x_h = _read(self.prepared.images, healthy["row"])
            parts["x_h"] = self._augmentation(step, HEALTHY, part).image(x_h)
        if self.needs & {"lesion_free", "lesion_free_balanced"}:
            x_k = _read(self.prepared.images, self._lesion_free(step)[part])
            parts["x_k"] = self._augmentation(step, LESION_FREE, part).image(x_k)
        if "library" in self.needs:
            shapes = self._shapes(step, rows["subject"], part)
            parts["m"] = self._augmentation(step, LIBRARY, part).mask(shapes)
        if "inpainting_masks" in self.needs:
            shapes = self._shapes(step, healthy["subject"], part)
            parts["m"] = self._inpainting_masks(step, shapes, parts["x_h"], part)
        return Batch(**parts)

    def evenly(self, count: int) -> NDArray[np.int64]:
        """Rows of `count` pathological slices spread evenly over the split: the sample panels' slices."""
        places = np.linspace(0, len(self) - 1, min(count, len(self))).round().astype(int)
        return np.asarray(self.pathological["row"].iloc[places], dtype=np.int64)

    def _diseased(self, step: int, rows: pd.DataFrame, part: slice) -> dict[str, Tensor]:
        """x_p, and what of m_p is needed."""
        parts = {"x_p": _read(self.prepared.images, rows["row"])}
        if self.needs & {"lesion", "labelled"}:
            labelled = torch.from_numpy(rows["label"].to_numpy() == "pathological")
            parts["m_p"] = _read(self.prepared.masks, rows["row"]) * labelled.view(-1, 1, 1, 1)
        if "synthetic" in self.needs:
            parts = self._with_synthetic(step, parts, part)
        turn = self._augmentation(step, PATHOLOGICAL, part)
        parts = {name: turn.mask(x) if name == "m_p" else turn.image(x) for name, x in parts.items()}
        if "labelled" in self.needs:
            parts["labelled"] = labelled
        if "synthetic" in self.needs:
            parts["synthetic"] = torch.from_numpy(self._is_synthetic()[part])
        return parts

    def _is_synthetic(self) -> NDArray[np.bool_]:
        """Which images of a whole batch have a synthetic lesion: the first."""
        size = self.training.batch_size
        return np.arange(size) < round(self.synthetic_fraction * size)

    def _with_synthetic(self, step: int, parts: dict[str, Tensor], part: slice) -> dict[str, Tensor]:
        """x_p, m_p and truth, some of them with a synthetic lesion."""
        x_p = parts["x_p"]
        m_p, truth = parts.get("m_p", torch.zeros_like(x_p)), torch.zeros_like(x_p)
        numbers = np.arange(self.training.batch_size)[part]
        for place, number in enumerate(numbers):
            if self._is_synthetic()[number]:
                image, lesion, healthy = self._synthetic(self.streams.rng(SYNTHETIC, step, int(number)))
                for stack, values in ((x_p, image), (m_p, lesion), (truth, healthy)):
                    stack[place, 0] = torch.from_numpy(values)
        return {"x_p": x_p, "m_p": m_p, "truth": truth}

    def _synthetic(
        self, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """A healthy slice with a lesion, drawn or transplanted; its mask; the slice without the lesion."""
        transplanted = self.training.transplanted_fraction
        transplants = transplanted is not None and rng.random() < transplanted
        table = self.donors if transplants else self.mask_library.table
        lesion = table.iloc[rng.integers(len(table))]
        row = self.healthy.table["row"].iloc[rng.choice(self.healthy.near(float(lesion["height"])))]
        healthy = self.prepared.images[row].astype(np.float32)
        if not transplants:
            return *add_synthetic_lesion(healthy, self.mask_library.masks[lesion["row"]] > 0, rng), healthy
        donor, mask = (stack[lesion["row"]] for stack in (self.prepared.images, self.prepared.masks))
        return *transplant_lesion(healthy, donor.astype(np.float32), mask > 0, rng), healthy

    def _healthy(self, step: int, rows: pd.DataFrame, part: slice) -> NDArray[np.int64]:
        if self.training.healthy_sampling == "random":
            return self.healthy.at_random(self.streams, step)[part]
        return self.healthy.at_heights(map(float, rows["height"]), self.streams, step, part)

    def _lesion_free(self, step: int) -> NDArray[np.int64]:
        """Rows of a whole batch."""
        if "lesion_free_balanced" in self.needs:
            return self.lesion_free.balanced(self.streams, step)
        return self.lesion_free.all_alike(self.streams, step)

    def _shapes(self, step: int, subjects: pd.Series, part: slice) -> Tensor:
        """Masks of the library, of others than these subjects."""
        return _read(self.mask_library.masks, self.mask_library.others(subjects, self.streams, step, part))

    def _inpainting_masks(self, step: int, shapes: Tensor, x_h: Tensor, part: slice) -> Tensor:
        numbers = range(self.training.batch_size)[part]
        masks = [
            inpainting_mask(
                shape[0].numpy() > 0, x[0].numpy() > 0, self.streams.rng(INPAINTING, step, number)
            )
            for shape, x, number in zip(shapes, x_h, numbers, strict=True)
        ]
        return torch.from_numpy(np.stack(masks).astype(np.float32))[:, None]

    def _without_own_mask(self) -> pd.DataFrame:
        """The slices that must have a mask of another volume."""
        if "inpainting_masks" in self.needs:
            return self.healthy.table
        if "labelled" in self.needs:
            return self.pathological[self.pathological["label"] == "unlabelled"]
        return self.pathological

    def _augmentation(self, step: int, stream: int, part: slice) -> FlipGamma | Unchanged:
        rng = self.streams.rng(AUGMENT + stream, step)
        return augmentation(self.training.augment, self.training.batch_size, rng, part)


def _with_label(table: pd.DataFrame, labels: list[str], name: str) -> pd.DataFrame:
    """The slices that have one of the labels.

    Raises:
        InputError: there is none.
    """
    rows = table[table["label"].isin(labels)]
    if rows.empty:
        raise InputError(f"the prepared cohort has no {name} slice; prepare it with more volumes")
    return rows.reset_index(drop=True)


def _read(array: NDArray[np.generic], rows: pd.Series | NDArray[np.int64]) -> Tensor:
    picked = array[np.asarray(rows)].astype(np.float32)
    return torch.from_numpy(picked)[:, None]
