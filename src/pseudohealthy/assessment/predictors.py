"""What each row of Table 1 makes of slices: a trained method raw or blended, or a control (section 6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pseudohealthy.catalogue.rows import Row
from pseudohealthy.evaluation import controls
from pseudohealthy.evaluation.slice_set import SliceSet
from pseudohealthy.synthesis.model import THRESHOLD, Model

Stack = NDArray[np.float32]


class Memory:
    """What networks made of a bench's slices: a method's rows, and the controls with its mask, share it."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, str, int], tuple[Model, Stack, Stack]] = {}

    def of(self, model: Model, output: Literal["synthesize", "segment"], x: Stack) -> Stack:
        """The model's output for these slices, worked out once; not to be written to."""
        key = id(model), output, id(x)
        if key not in self._kept:
            made: Stack = getattr(model, output)(x)
            made.flags.writeable = False
            self._kept[key] = model, x, made  # with those whose identity is the key
        return self._kept[key][-1]


@dataclass(frozen=True, eq=False)
class Predictor:
    """Makes a row's output.

    Attributes:
        row: which.
        own: the row's trained method; None for a control.
        segmentor: whose S masks a control or a blend that has none of its own; None where none is needed.
        threshold: the intensity above which thresholded FLAIR is lesion, chosen on validation slices.
        spacing: of rows and columns, in mm.
        memory: of what the networks made for other rows.
    """

    row: Row
    own: Model | None
    segmentor: Model | None
    threshold: float
    spacing: tuple[float, float]
    memory: Memory = field(default_factory=Memory)

    def healed(self, case: SliceSet) -> Stack:
        """x~ of the case's slices, `(N, H, W)` in [0, 1]."""
        out = self._raw(case)
        if self.row.output == "blend":
            return controls.blend(case.images, out, self._masks(case))
        return out

    def found(self, case: SliceSet) -> NDArray[np.bool_] | None:
        """Where the row's own S finds a lesion, inside the brain; None where it has no S."""
        if self.own is None or "S" not in self.own.networks:
            return None
        return self._found(self.own, case)

    def _raw(self, case: SliceSet) -> Stack:
        x, brains = case.images, case.brains
        makers: dict[str, Callable[[], Stack]] = {
            "copy": lambda: x,
            "blur": lambda: controls.blur(x, self.spacing),
            "constant": lambda: controls.constant(x, brains, case.volumes),
            "mirror": lambda: controls.mirror(x, self._masks(case), brains, case.volumes),
            "fill": lambda: controls.fill(x, self._masks(case)),
            "threshold_fill": lambda: controls.fill(x, controls.threshold_masks(x, brains, self.threshold)),
            "inpainter": lambda: _model(self.own).inpaint(x, self._masks(case).astype(np.float32)),
        }
        return makers.get(self.row.method, lambda: self.memory.of(_model(self.own), "synthesize", x))()

    def _masks(self, case: SliceSet) -> NDArray[np.bool_]:
        """The true lesion for an oracle, else what S finds: the row's own S, where it has one."""
        if self.row.mask == "true":
            return case.masks
        found = self.found(case)
        if found is None:
            found = self._found(_model(self.segmentor), case)
        return found

    def _found(self, model: Model, case: SliceSet) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = (self.memory.of(model, "segment", case.images) > THRESHOLD) & case.brains
        return found


def _model(model: Model | None) -> Model:
    if model is None:
        raise ValueError("the row needs a model that it was not given")
    return model
