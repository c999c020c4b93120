"""What each row of Table 1 makes of slices: a trained method raw or blended, or a control (section 6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pseudohealthy.evaluation import controls
from pseudohealthy.experiment.cases import Case
from pseudohealthy.experiment.plan import Row
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.volume import THRESHOLD

Stack = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Healer:
    """Makes a row's output.

    Attributes:
        row: which.
        own: the row's trained method; None for a control.
        segmentor: whose S masks a control or a blend that has none of its own; None where none is needed.
        threshold: the intensity above which thresholded FLAIR is lesion, chosen on validation slices.
        spacing: of rows and columns, in mm.
    """

    row: Row
    own: Model | None
    segmentor: Model | None
    threshold: float
    spacing: tuple[float, float]

    def healed(self, case: Case) -> Stack:
        """x~ of the case's slices, `(N, H, W)` in [0, 1]."""
        out = self._raw(case)
        if self.row.output == "blend":
            return controls.blend(case.images, out, self._masks(case))
        return out

    def found(self, case: Case) -> NDArray[np.bool_] | None:
        """Where the row's own S finds a lesion, inside the brain; None where it has no S."""
        if self.own is None or "S" not in self.own.networks:
            return None
        return _found(self.own, case)

    def _raw(self, case: Case) -> Stack:
        x, brains = case.images, case.brains
        makers: dict[str, Callable[[], Stack]] = {
            "copy": lambda: x,
            "blur": lambda: controls.blur(x, self.spacing),
            "constant": lambda: controls.constant(x, brains, case.volumes),
            "mirror": lambda: controls.mirror(x, self._masks(case), brains, case.volumes),
            "fill": lambda: controls.fill(x, self._masks(case)),
            "threshold_fill": lambda: controls.fill(x, controls.threshold_masks(x, brains, self.threshold)),
            "inpainter": lambda: _model(self.own).inpainted(x, self._masks(case).astype(np.float32)),
        }
        return makers.get(self.row.method, lambda: _model(self.own).healthy(x))()

    def _masks(self, case: Case) -> NDArray[np.bool_]:
        """The true lesion for an oracle, else what S finds: the row's own S, where it has one."""
        if self.row.mask == "true":
            return case.masks
        found = self.found(case)
        if found is None:
            found = _found(_model(self.segmentor), case)
        return found


def _model(model: Model | None) -> Model:
    if model is None:
        raise ValueError("the row needs a model that it was not given")
    return model


def _found(model: Model, case: Case) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (model.lesion(case.images) > THRESHOLD) & case.brains
    return found
