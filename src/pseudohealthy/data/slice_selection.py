"""Which slices of a volume are processed, learnt from and measured (section 5 of docs/method.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

Rule = Literal["middle60", "half_area"]
Mask = NDArray[np.bool_]

LEAST_AREA = 0.1  # of the largest brain area: smaller slices are neither processed nor learnt from


def processed_slices(brain: Mask) -> Mask:
    """(Z,): slices that the networks see, those with more than a tenth of the largest brain area.

    Args:
        brain: (Z, H, W) canonical stack.
    """
    area = np.count_nonzero(brain, axis=(1, 2))
    large: Mask = area > LEAST_AREA * area.max(initial=0)
    return large


def training_slices(brain: Mask, rule: Rule) -> Mask:
    """(Z,): slices that are trained and measured on.

    Args:
        brain: (Z, H, W) canonical stack.
        rule: the middle 60 of all (of 155: 47 to 106), or those with at least half of the largest brain area.
    """
    if rule == "middle60":
        first = max(len(brain) - 60, 0) // 2
        index = np.arange(len(brain))
        return (index >= first) & (index < first + 60)
    area = np.count_nonzero(brain, axis=(1, 2))
    large: Mask = (area > 0) & (2 * area >= area.max(initial=0))
    return large


def edge_slices(brain: Mask, rule: Rule) -> Mask:
    """(Z,): slices that `half_area` leaves out and that are processed all the same; none under `middle60`.

    Args:
        brain: (Z, H, W) canonical stack.
        rule: see `training_slices`.
    """
    return processed_slices(brain) & ~training_slices(brain, rule) & (rule == "half_area")


@dataclass(frozen=True, eq=False)
class Selection:
    """Which slices of a volume belong to a prepared cohort, each `(Z,)`.

    Attributes:
        selected: those for training and measuring, and the edge slices.
        edge: the edge slices without lesion, where it is known which slices have one.
    """

    selected: Mask
    edge: Mask

    @classmethod
    def of(cls, brain: Mask, lesion: Mask, in_field: Mask, rule: Rule, *, known: bool) -> Self:
        """Select slices of a volume.

        Args:
            brain: (Z, voxels, voxels), the whole slices.
            lesion: likewise.
            in_field: (Z,), slices whose field shows the lesion. A lesion beside the field, or lost between
                pixels, does not make its slice a healthy one: it is left out.
            rule: see `training_slices`.
            known: whether a slice without lesion is known to be healthy.
        """
        any_lesion = lesion.any(axis=(1, 2))
        training = training_slices(brain, rule) & brain.any(axis=(1, 2)) & (in_field | ~any_lesion)
        edge = edge_slices(brain, rule) & ~any_lesion & known
        return cls(training | edge, edge)
