"""One step's images, and what a method may need of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Literal

from torch import Tensor

Need = Literal[
    "lesion",
    "labelled",
    "healthy",
    "lesion_free",
    "lesion_free_balanced",
    "library",
    "inpainting_masks",
    "synthetic",
]


@dataclass(frozen=True)
class Batch:
    """One step's images, in the paper's symbols; each `(N, 1, H, W)` in [0, 1], None unless needed.

    Attributes:
        x_p: pathological slices; None only where inpainting masks are needed.
        m_p: their own masks, black where there is none.
        x_h: healthy slices.
        m: real masks of other volumes than each x_p's, or inpainting masks for x_h.
        labelled: `(N,)` bool, whether m_p is a mask.
        synthetic: `(N,)` bool, whether x_p is a healthy slice with a synthetic lesion in m_p.
        truth: those healthy slices, black for the others.
        x_k: slices without a lesion from all over the brain, edge slices too.
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
