"""The rows of Table 1: which methods and controls stand in it, and whose mask they are given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mask = Literal["segmentor", "true"] | None
THRESHOLD_RULE = "threshold"  # what the panel's rule is called beside the judges
CONTROLS: tuple[tuple[str, Mask], ...] = (
    ("copy", None),
    ("blur", None),
    ("constant", None),
    ("threshold_fill", None),
    ("mirror", "segmentor"),
    ("fill", "segmentor"),
    ("mirror", "true"),
    ("fill", "true"),
)


@dataclass(frozen=True)
class Row:
    """A row of Table 1: a method or control, and where its output is used.

    Attributes:
        method: as in the results file.
        preset: of its training; None for a control.
        output: the network's image, or the image blended into the input inside the segmentor's mask.
        mask: whose mask a control is filled in with.
        seed: of its training; None for a control.
        labelled_fraction: of the masks, that its training was given; None: all, or a control.
    """

    method: str
    preset: str | None = None
    output: Literal["raw", "blend"] = "raw"
    mask: Mask = None
    seed: int | None = None
    labelled_fraction: float | None = None

    @property
    def name(self) -> str:
        """A name for folders and for reading."""
        training = self.preset and training_name(self.method, self.preset, self.seed, self.labelled_fraction)
        return "-".join(filter(None, (training or self.method, self.mask, self.output)))


def some_of_the_masks(labelled_fraction: float) -> float | None:
    """What a row says of its training's `labelled_fraction`; None for all masks."""
    return labelled_fraction if labelled_fraction < 1 else None


def training_name(
    method: str, preset: str, seed: int | None = None, labelled_fraction: float | None = None
) -> str:
    """The name of a method's training, such as `semi_supervised-default-m0.1-s0` of a tenth of the masks."""
    masks = None if labelled_fraction is None else f"m{labelled_fraction:g}"
    return "-".join(filter(None, (method, preset, masks, None if seed is None else f"s{seed}")))
