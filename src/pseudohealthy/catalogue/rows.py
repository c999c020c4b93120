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
    """

    method: str
    preset: str | None = None
    output: Literal["raw", "blend"] = "raw"
    mask: Mask = None
    seed: int | None = None

    @property
    def name(self) -> str:
        """A name for folders and for reading."""
        seed = None if self.seed is None else f"s{self.seed}"
        return "-".join(filter(None, (self.method, self.preset, seed, self.mask, self.output)))
