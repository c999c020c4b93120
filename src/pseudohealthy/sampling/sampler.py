"""What a method draws its batches from: prepared slices, in an order that the seed alone decides."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pseudohealthy.config import Split, Training
from pseudohealthy.errors import InputError
from pseudohealthy.sampling.augmentation import Deform, FlipGamma
from pseudohealthy.sampling.inpainting_masks import hole
from pseudohealthy.sampling.label_fraction import with_share_labelled
from pseudohealthy.sampling.synthetic_lesions import BRIGHT, any_appearance, with_lesion

if TYPE_CHECKING:  # not for those who only heal images
    import pandas as pd

    from pseudohealthy.data.prepared import Prepared

Need = Literal["lesion", "labelled", "healthy", "lesion_free", "negatives", "library", "holes", "synthetic"]

# Streams of draws that do not disturb each other; augmentation has three, from AUGMENT on.
PATHOLOGICAL, HEALTHY, LIBRARY, AUGMENT, HOLES, LABELLED, SYNTHETIC, LESION_FREE = 0, 1, 2, 3, 10, 11, 12, 13
NEGATIVES, EDGES = 20, 21
TIES = 22
CRITICS, WARM_UP = 1, 2
NEIGHBOURS = 20  # healthy slices of nearest height, among which one is drawn
EDGE_EVERY = 3  # among negatives, one in so many lies at the brain's edge


@dataclass(frozen=True)
class Batch:
    """One step's images, in the paper's symbols; each `(N, 1, H, W)` in [0, 1].

    Attributes:
        x_p: pathological slices; None for holes.
        m_p: their own masks, black where there is none; None unless the method asked for them.
        x_h: healthy slices; None unless asked for.
        m: real masks of other volumes than each x_p's, or holes in x_h; None unless asked for.
        labelled: `(N,)` bool, whether m_p is a mask; None unless asked for.
        synthetic: `(N,)` bool, whether x_p is a healthy slice with a synthetic lesion in m_p; None unless
            asked for.
        truth: those healthy slices, black for the others; None unless asked for.
        x_k: slices without a lesion from all over the brain, its ends too; None unless asked for.
    """

    x_p: Tensor | None = None
    m_p: Tensor | None = None
    x_h: Tensor | None = None
    m: Tensor | None = None
    labelled: Tensor | None = None
    synthetic: Tensor | None = None
    truth: Tensor | None = None
    x_k: Tensor | None = None

    def to(self, move: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with `move` done to each of its tensors."""
        parts = {part.name: getattr(self, part.name) for part in fields(self)}
        return Batch(**{name: None if value is None else move(value) for name, value in parts.items()})


class BatchSampler:
    """The batches of one split. Batch k of a seed is always the same: a resumed run sees what it would have.

    What a method needs decides what is drawn, and nothing else is read:

    - "lesion": m_p; only slices with a mask are drawn.
    - "labelled": m_p where there is one, and which those are; other slices of patients are drawn too, as
      they are by methods that ask for neither.
    - "healthy": x_h.
    - "lesion_free": x_k, drawn from the healthy slices and from those at the brain's edges.
    - "negatives": x_k from the same, but two healthy ones for each from the ends, where there are any.
    - "library": m, from the cohort's volumes that are masks only, where it has some, else from other patients
      than the slice's own (section 3, L_GAN2).
    - "synthetic": a share of x_p and m_p are healthy slices, of like height, with a synthetic lesion of the
      shape of one of those masks.
    - "holes": m of the same shapes, turned over and moved within the brain of x_h; no x_p.

    Of volumes whose masks `labelled_fraction` leaves out, it is known which slices show disease, not where.

    Raises:
        InputError: the split has no slice of a kind that the method needs.
    """

    def __init__(self, prepared: Prepared, split: Split, needs: frozenset[Need], training: Training) -> None:
        self.prepared, self.needs, self.training = prepared, needs, training
        self.readers: tuple[int, ...] = ()
        self.synthetic_share = training.synthetic_fraction
        table = prepared.slices[prepared.slices["split"] == split]
        table = with_share_labelled(table, training.labelled_fraction, self._rng(LABELLED))
        labels = ["pathological"] if "lesion" in needs else ["pathological", "unlabelled"]
        self.pathological = self._rows(table[table["label"].isin(labels)], f"pathological {split}")
        if "healthy" in needs:
            self.healthy = self._rows(table[table["label"] == "healthy"], f"healthy {split}")
        if "lesion_free" in needs:
            self.lesion_free = self._rows(table[table["label"].isin(["healthy", "edge"])], f"healthy {split}")
        if "negatives" in needs:
            self.negatives = self._rows(table[table["label"] == "healthy"], f"healthy {split}")
            self.edges = table[table["label"] == "edge"]
        if needs & {"library", "holes", "synthetic"}:
            self._open_library(table)

    def __len__(self) -> int:
        """Pathological slices: one epoch."""
        return len(self.pathological)

    def for_discriminators(self) -> Self:
        """The same slices in another order: batches that the discriminators alone see."""
        other = copy.copy(self)
        other.readers = (CRITICS,)
        return other

    def for_warm_up(self, needs: frozenset[Need]) -> Self:
        """The same slices in another order, of which a warm-up's batches are drawn.

        Args:
            needs: of those that the slices were opened with; with "synthetic", all of x_p have a synthetic
                lesion.
        """
        other = copy.copy(self)
        other.readers, other.needs, other.synthetic_share = (WARM_UP,), needs, 1.0
        return other

    def batch(self, step: int, part: slice = slice(None)) -> Batch:
        """Batch number `step`; `part` are the images of this process."""
        own = self._shuffled(len(self), step, self.training.batch_size, PATHOLOGICAL)[part]
        rows = self.pathological.iloc[own]
        parts = {} if "holes" in self.needs else self._diseased(step, rows, part)
        if "healthy" in self.needs:
            healthy = self.healthy.iloc[self._healthy(step, rows, part)]
            turn = self._augmentation(step, HEALTHY, part)
            parts["x_h"] = turn.image(self._read(self.prepared.images, healthy["row"]))
        if "lesion_free" in self.needs:
            own = self._shuffled(len(self.lesion_free), step, self.training.batch_size, LESION_FREE)[part]
            x_k = self._read(self.prepared.images, self.lesion_free["row"].iloc[own])
            parts["x_k"] = self._augmentation(step, LESION_FREE, part).image(x_k)
        if "negatives" in self.needs:
            x_k = self._read(self.prepared.images, self._negatives(step)[part])
            parts["x_k"] = self._augmentation(step, LESION_FREE, part).image(x_k)
        if "library" in self.needs:
            others = self._read(self.library_masks, self._others(step, rows["subject"], part))
            parts["m"] = self._augmentation(step, LIBRARY, part).mask(others)
        if "holes" in self.needs:
            others = self._read(self.library_masks, self._others(step, healthy["subject"], part))
            parts["m"] = self._holes(step, others, parts["x_h"], part)
        return Batch(**parts)

    def evenly(self, count: int) -> NDArray[np.int64]:
        """Rows of `count` pathological slices spread evenly over the split: the sample panels' slices."""
        places = np.linspace(0, len(self) - 1, min(count, len(self))).round().astype(int)
        return np.asarray(self.pathological["row"].iloc[places], dtype=np.int64)

    def _rows(self, table: pd.DataFrame, name: str) -> pd.DataFrame:
        if table.empty:
            raise InputError(f"the prepared cohort has no {name} slice; prepare it with more volumes")
        return table.reset_index(drop=True)

    def _diseased(self, step: int, rows: pd.DataFrame, part: slice) -> dict[str, Tensor]:
        """x_p, and what of m_p is asked for."""
        parts = {"x_p": self._read(self.prepared.images, rows["row"])}
        if self.needs & {"lesion", "labelled"}:
            labelled = torch.from_numpy(rows["label"].to_numpy() == "pathological")
            parts["m_p"] = self._read(self.prepared.masks, rows["row"]) * labelled.view(-1, 1, 1, 1)
        if "synthetic" in self.needs:
            parts = self._with_synthetic(step, parts, part)
        turn = self._augmentation(step, PATHOLOGICAL, part)
        parts = {name: turn.mask(x) if name == "m_p" else turn.image(x) for name, x in parts.items()}
        if "labelled" in self.needs:
            parts["labelled"] = labelled
        if "synthetic" in self.needs:
            parts["synthetic"] = torch.from_numpy(self._synthetic_places()[part])
        return parts

    def _synthetic_places(self) -> NDArray[np.bool_]:
        """Which images of a whole batch have a lesion put into them: the first."""
        size = self.training.batch_size
        return np.arange(size) < round(self.synthetic_share * size)

    def _with_synthetic(self, step: int, parts: dict[str, Tensor], part: slice) -> dict[str, Tensor]:
        """x_p, m_p and truth, some of them with a synthetic lesion."""
        x_p = parts["x_p"]
        m_p, truth = parts.get("m_p", torch.zeros_like(x_p)), torch.zeros_like(x_p)
        numbers = np.arange(self.training.batch_size)[part]
        for place, number in enumerate(numbers):
            if self._synthetic_places()[number]:
                rng = self._rng(SYNTHETIC, step, int(number))
                shape = self.library.iloc[rng.integers(len(self.library))]
                near = self._near(float(shape["height"]))
                healthy = self.prepared.images[self.healthy["row"].iloc[rng.choice(near)]].astype(np.float32)
                look = any_appearance(rng) if self.training.lesion_appearance == "varied" else BRIGHT
                image, lesion = with_lesion(healthy, self.library_masks[shape["row"]] > 0, rng, look)
                for stack, values in ((x_p, image), (m_p, lesion), (truth, healthy)):
                    stack[place, 0] = torch.from_numpy(values)
        return {"x_p": x_p, "m_p": m_p, "truth": truth}

    def _holes(self, step: int, shapes: Tensor, x_h: Tensor, part: slice) -> Tensor:
        numbers = range(self.training.batch_size)[part]
        holes = [
            hole(shape[0].numpy() > 0, x[0].numpy() > 0, self._rng(HOLES, step, number))
            for shape, x, number in zip(shapes, x_h, numbers, strict=True)
        ]
        return torch.from_numpy(np.stack(holes).astype(np.float32))[:, None]

    def _open_library(self, table: pd.DataFrame) -> None:
        self.library_masks = self.prepared.masks
        library = table[table["label"] == "pathological"]
        if self.prepared.library is not None and self.prepared.library_slices is not None:
            self.library_masks, library = self.prepared.library, self.prepared.library_slices
        self.library = self._rows(library, "lesion mask in any training")
        lonely = set(self.library["subject"]) if self.library["subject"].nunique() == 1 else set()
        if self.needs & {"library", "holes"} and lonely & set(self._without_own_mask()["subject"]):
            raise InputError("all lesion masks are of one volume; the method needs masks of others")

    def _without_own_mask(self) -> pd.DataFrame:
        """The slices that must have a mask of another volume."""
        if "holes" in self.needs:
            return self.healthy
        if "labelled" in self.needs:
            return self.pathological[self.pathological["label"] == "unlabelled"]
        return self.pathological

    def _shuffled(self, count: int, step: int, size: int, stream: int) -> NDArray[np.int64]:
        """`size` places of an endless row of permutations of `count`, from image `step * size` on."""
        return self._permuted(np.arange(step * size, (step + 1) * size), count, stream)

    def _permuted(self, places: NDArray[np.int64], count: int, stream: int) -> NDArray[np.int64]:
        """What stands at these places of an endless row of permutations of `count`."""
        epochs = {epoch: self._rng(stream, int(epoch)).permutation(count) for epoch in set(places // count)}
        return np.array([epochs[place // count][place % count] for place in places])

    def _negatives(self, step: int) -> NDArray[np.int64]:
        """Rows of a whole batch of slices without a lesion; every one of each kind before any comes again."""
        size = self.training.batch_size
        places = np.arange(step * size, (step + 1) * size)
        healthy, edges = self.negatives["row"].to_numpy(), self.edges["row"].to_numpy()
        if not len(edges):
            return np.asarray(healthy[self._permuted(places, len(healthy), NEGATIVES)], dtype=np.int64)
        edge, before = places % EDGE_EVERY == EDGE_EVERY - 1, (places + 1) // EDGE_EVERY
        of_edges = edges[self._permuted(places // EDGE_EVERY, len(edges), EDGES)]
        of_healthy = healthy[self._permuted(places - before, len(healthy), NEGATIVES)]
        return np.asarray(np.where(edge, of_edges, of_healthy), dtype=np.int64)

    def _healthy(self, step: int, rows: pd.DataFrame, part: slice) -> NDArray[np.int64]:
        size = self.training.batch_size
        if self.training.healthy_sampling == "random":
            return self._shuffled(len(self.healthy), step, size, HEALTHY)[part]
        nth = self._rng(HEALTHY, step).integers(0, min(NEIGHBOURS, len(self.healthy)), size)[part]
        draws = self._rng(HEALTHY, step, TIES).random(size)[part]
        chosen = []
        for height, number, draw in zip(rows["height"], nth, draws, strict=True):
            near = self._near(float(height))
            chosen.append(near[number] if len(near) <= NEIGHBOURS else near[int(draw * len(near))])
        return np.array(chosen, dtype=np.int64)

    def _near(self, height: float) -> NDArray[np.int64]:
        """Places of the healthy slices nearest in height; where more of them are equally near, of all those.

        Such are the slices of a cohort of one slice a patient: the first few of them would be drawn for ever.
        """
        distance = np.abs(self.healthy["height"].to_numpy() - height)
        near: NDArray[np.int64] = np.argsort(distance, kind="stable")
        count = max(NEIGHBOURS, np.count_nonzero(distance == distance[near[0]]))
        return near[:count]

    def _others(self, step: int, subjects: pd.Series, part: slice) -> NDArray[np.int64]:
        """Rows of the library, of other volumes; of any where there is no other and none is needed."""
        draws = self._rng(LIBRARY, step).random(self.training.batch_size)[part]
        chosen = []
        for subject, draw in zip(subjects, draws, strict=True):
            others = self.library["subject"] != subject
            candidates = self.library.loc[others if others.any() else ~others, "row"].to_numpy()
            chosen.append(candidates[int(draw * len(candidates))])
        return np.array(chosen)

    def _augmentation(self, step: int, stream: int, part: slice) -> FlipGamma | Unchanged:
        if self.training.augment == "none":
            return Unchanged()
        kind = Deform if self.training.augment == "deform" else FlipGamma
        return kind(self.training.batch_size, self._rng(AUGMENT + stream, step), part)

    def _rng(self, stream: int, *numbers: int) -> np.random.Generator:
        return np.random.default_rng([self.training.seed, stream, *numbers, *self.readers])

    @staticmethod
    def _read(array: NDArray[np.generic], rows: pd.Series | NDArray[np.int64]) -> Tensor:
        picked = array[np.asarray(rows)].astype(np.float32)
        return torch.from_numpy(picked)[:, None]


class Unchanged:
    """No augmentation."""

    def image(self, x: Tensor) -> Tensor:
        """`x`."""
        return x

    def mask(self, m: Tensor) -> Tensor:
        """`m`."""
        return m
