"""What a method draws its batches from: prepared slices, in an order that the seed alone decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from pseudohealthy.config import Split, Training
from pseudohealthy.data.augment import FlipGamma
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import InputError

Need = Literal["lesion", "healthy", "bank"]

PATHOLOGICAL, HEALTHY, BANK, AUGMENT = range(4)  # streams of draws that do not disturb each other
NEIGHBOURS = 20  # healthy slices of nearest height, among which one is drawn


@dataclass(frozen=True)
class Batch:
    """One step's images, in the paper's symbols; each `(N, 1, H, W)` in [0, 1].

    Attributes:
        x_p: pathological slices.
        m_p: their own masks; None unless the method asked for them.
        x_h: healthy slices; None unless asked for.
        m: real masks of other volumes than each x_p's; None unless asked for.
    """

    x_p: Tensor
    m_p: Tensor | None = None
    x_h: Tensor | None = None
    m: Tensor | None = None

    def to(self, move: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with `move` done to each of its tensors."""
        m_p, x_h, m = (None if part is None else move(part) for part in (self.m_p, self.x_h, self.m))
        return Batch(move(self.x_p), m_p, x_h, m)


class Slices:
    """The batches of one split. Batch k of a seed is always the same: a resumed run sees what it would have.

    A method that asks for "lesion" draws slices with a mask only; one that does not also draws unlabelled
    slices, of patients without a mask. Masks of the "bank" come from the cohort's volumes that are masks
    only, where it has some, else from other patients than the slice's own (section 3, L_GAN2).

    Raises:
        InputError: the split has no slice of a kind that the method needs.
    """

    def __init__(self, prepared: Prepared, split: Split, needs: frozenset[Need], training: Training) -> None:
        self.prepared, self.needs, self.training = prepared, needs, training
        table = prepared.slices[prepared.slices["split"] == split]
        labels = ["pathological"] if "lesion" in needs else ["pathological", "unlabelled"]
        self.pathological = self._rows(table[table["label"].isin(labels)], f"pathological {split}")
        if "healthy" in needs:
            self.healthy = self._rows(table[table["label"] == "healthy"], f"healthy {split}")
        if "bank" in needs:
            self._open_bank(table)

    def __len__(self) -> int:
        """Pathological slices: one epoch."""
        return len(self.pathological)

    def batch(self, step: int, part: slice = slice(None)) -> Batch:
        """Batch number `step`; `part` are the images of this process."""
        size = self.training.batch_size
        own = self._shuffled(len(self), step, size, PATHOLOGICAL)[part]
        rows = self.pathological.iloc[own]
        turn = self._augmentation(step, PATHOLOGICAL, part)
        masks, images = self.prepared.masks, self.prepared.images
        batch = {"x_p": turn.image(self._read(images, rows["row"]))}
        if "lesion" in self.needs:
            batch["m_p"] = turn.mask(self._read(masks, rows["row"]))
        if "healthy" in self.needs:
            chosen = self.healthy["row"].iloc[self._healthy(step, rows, part)]
            batch["x_h"] = self._augmentation(step, HEALTHY, part).image(self._read(images, chosen))
        if "bank" in self.needs:
            others = self._others(step, rows, part)
            batch["m"] = self._augmentation(step, BANK, part).mask(self._read(self.bank_masks, others))
        return Batch(**batch)

    def evenly(self, count: int) -> NDArray[np.int64]:
        """Rows of `count` pathological slices spread evenly over the split: the sample panels' slices."""
        places = np.linspace(0, len(self) - 1, min(count, len(self))).round().astype(int)
        return np.asarray(self.pathological["row"].iloc[places], dtype=np.int64)

    def _rows(self, table: pd.DataFrame, name: str) -> pd.DataFrame:
        if table.empty:
            raise InputError(f"the prepared cohort has no {name} slice; prepare it with more volumes")
        return table.reset_index(drop=True)

    def _open_bank(self, table: pd.DataFrame) -> None:
        self.bank_masks = self.prepared.masks
        bank = table[table["label"] == "pathological"]
        if self.prepared.bank is not None and self.prepared.bank_slices is not None:
            self.bank_masks, bank = self.prepared.bank, self.prepared.bank_slices
        self.bank = self._rows(bank, "lesion mask in any training")
        lonely = set(self.bank["subject"]) if self.bank["subject"].nunique() == 1 else set()
        if lonely & set(self.pathological["subject"]):
            raise InputError("all lesion masks are of one volume; unpaired training needs masks of others")

    def _shuffled(self, count: int, step: int, size: int, stream: int) -> NDArray[np.int64]:
        """`size` places of an endless row of permutations of `count`, from image `step * size` on."""
        places = np.arange(step * size, (step + 1) * size)
        epochs = {epoch: self._rng(stream, int(epoch)).permutation(count) for epoch in set(places // count)}
        return np.array([epochs[place // count][place % count] for place in places])

    def _healthy(self, step: int, rows: pd.DataFrame, part: slice) -> NDArray[np.int64]:
        size = self.training.batch_size
        if self.training.healthy_sampling == "random":
            return self._shuffled(len(self.healthy), step, size, HEALTHY)[part]
        nth = self._rng(HEALTHY, step).integers(0, min(NEIGHBOURS, len(self.healthy)), size)[part]
        distance = np.abs(self.healthy["height"].to_numpy() - rows["height"].to_numpy()[:, None])
        nearest = np.argsort(distance, axis=1, kind="stable")
        return np.asarray(nearest[np.arange(len(rows)), nth], dtype=np.int64)

    def _others(self, step: int, rows: pd.DataFrame, part: slice) -> NDArray[np.int64]:
        draws = self._rng(BANK, step).random(self.training.batch_size)[part]
        chosen = []
        for subject, draw in zip(rows["subject"], draws, strict=True):
            candidates = self.bank.loc[self.bank["subject"] != subject, "row"].to_numpy()
            chosen.append(candidates[int(draw * len(candidates))])
        return np.array(chosen)

    def _augmentation(self, step: int, stream: int, part: slice) -> FlipGamma | Unchanged:
        if self.training.augment == "none":
            return Unchanged()
        return FlipGamma(self.training.batch_size, self._rng(AUGMENT + stream, step), part)

    def _rng(self, stream: int, number: int) -> np.random.Generator:
        return np.random.default_rng([self.training.seed, stream, number])

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
