"""Whatever makes pseudo-healthy images of slices: a model, another program's files, a row of Table 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from pseudohealthy.catalogue.rows import Row
from pseudohealthy.config import Split
from pseudohealthy.data.predicted_images import read_outputs
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.evaluation import controls
from pseudohealthy.evaluation.slice_set import MaskStack, SliceSet, Stack, rows_of
from pseudohealthy.synthesis.model import THRESHOLD, Model


class Predictor(Protocol):
    """Makes pseudo-healthy images."""

    @property
    def is_blend(self) -> bool:
        """Whether x~ is the input outside a mask, so that there is no cycle to be closed."""

    def synthesize(self, slices: SliceSet) -> Stack:
        """x~ of slices, `(N, H, W)` in [0, 1]."""

    def segment(self, slices: SliceSet) -> MaskStack | None:
        """Where its own segmentor finds a lesion, `(N, H, W)`; None where it has none."""

    def reconstructor(self) -> Model | None:
        """Its own networks, where they can reconstruct; None where they cannot."""


class NetworkOutputs:
    """What networks made of sets of slices, each made once: the rows of a method, and controls, share it."""

    def __init__(self) -> None:
        self._made: dict[tuple[Model, str, SliceSet], Stack] = {}

    def synthesized(self, model: Model, slices: SliceSet) -> Stack:
        """`model.synthesize` of the slices; not to be written to."""
        return self._once((model, "synthesize", slices), lambda: model.synthesize(slices.images))

    def segmented(self, model: Model, slices: SliceSet) -> Stack:
        """`model.segment` of the slices; not to be written to."""
        return self._once((model, "segment", slices), lambda: model.segment(slices.images))

    def lesion_masks(self, model: Model, slices: SliceSet) -> MaskStack:
        """Where `model`'s segmentor detects a lesion, inside the brain: `(N, H, W)`."""
        masks: MaskStack = (self.segmented(model, slices) > THRESHOLD) & slices.brains
        return masks

    def _once(self, key: tuple[Model, str, SliceSet], make: Callable[[], Stack]) -> Stack:
        if key not in self._made:
            made = make()
            made.flags.writeable = False
            self._made[key] = made
        return self._made[key]


@dataclass(frozen=True, eq=False)
class ModelPredictor:
    """A model's own output.

    Attributes:
        model: with a generator.
        outputs: of networks that are made already.
    """

    model: Model
    outputs: NetworkOutputs = field(default_factory=NetworkOutputs)
    is_blend: Literal[False] = field(default=False, init=False)

    def synthesize(self, slices: SliceSet) -> Stack:
        """G(x)."""
        return self.outputs.synthesized(self.model, slices)

    def segment(self, slices: SliceSet) -> MaskStack | None:
        """Where its segmentor detects a lesion, inside the brain; None where it has none."""
        return self.outputs.lesion_masks(self.model, slices) if self.model.can("segment") else None

    def reconstructor(self) -> Model | None:
        """The model, where it can reconstruct."""
        return self.model if self.model.can("reconstruct") else None


@dataclass(frozen=True)
class ImageFiles:
    """Images that any program made of a cohort's volumes.

    Attributes:
        folder: one image a volume, see `data.predicted_images.read_outputs`.
        data: the data sets that the cohort was prepared from.
    """

    folder: Path
    data: Sequence[Path]


@dataclass(frozen=True, eq=False)
class FilePredictor:
    """Images that were made already, of one set of slices and no other.

    Attributes:
        slices: what they were made from.
        images: `(N, H, W)` in [0, 1].
    """

    slices: SliceSet
    images: Stack
    is_blend: Literal[False] = field(default=False, init=False)

    @classmethod
    def read(cls, files: ImageFiles, prepared: Prepared, split: Split, slices: SliceSet) -> FilePredictor:
        """The images of a split's pathological slices.

        Raises:
            InputError: images or data sets that cannot be used.
        """
        return cls(slices, read_outputs(prepared, rows_of(prepared, split), files.folder, files.data))

    def synthesize(self, slices: SliceSet) -> Stack:
        """The images."""
        if slices is not self.slices:
            raise ValueError("there are images of one set of slices only")
        return self.images

    def segment(self, slices: SliceSet) -> None:
        """Files have no segmentor."""

    def reconstructor(self) -> None:
        """Nor any reconstructor."""


@dataclass(frozen=True, eq=False)
class RowPredictor:
    """Makes the output of a row of Table 1: of a trained method, raw or blended, or of a control.

    Attributes:
        row: which.
        own: the row's trained method; None for a control.
        segmentor: whose S masks a control or a blend that has none of its own; None where none is needed.
        threshold: the intensity above which thresholded FLAIR is lesion, chosen on validation slices.
        outputs: what the networks made for other rows.
    """

    row: Row
    own: Model | None
    segmentor: Model | None
    threshold: float
    outputs: NetworkOutputs = field(default_factory=NetworkOutputs)

    @property
    def is_blend(self) -> bool:
        """Whether the row is blended."""
        return self.row.output == "blend"

    def synthesize(self, slices: SliceSet) -> Stack:
        """x~ of the slices, `(N, H, W)` in [0, 1]."""
        out = self._raw(slices)
        if self.is_blend:
            return controls.blend(slices.images, out, self._masks(slices))
        return out

    def segment(self, slices: SliceSet) -> MaskStack | None:
        """Where the row's own S finds a lesion, inside the brain; None where it has no S."""
        if self.own is None or not self.own.can("segment"):
            return None
        return self.outputs.lesion_masks(self.own, slices)

    def reconstructor(self) -> Model | None:
        """The row's method, where it can reconstruct."""
        return self.own if self.own is not None and self.own.can("reconstruct") else None

    def _raw(self, slices: SliceSet) -> Stack:
        x, brains = slices.images, slices.brains
        makers: dict[str, Callable[[], Stack]] = {
            "copy": lambda: x,
            "blur": lambda: controls.blur(x, slices.spacing),
            "constant": lambda: controls.constant(x, brains, slices.volumes),
            "mirror": lambda: controls.mirror(x, self._masks(slices), brains, slices.volumes),
            "fill": lambda: controls.fill(x, self._masks(slices)),
            "threshold_fill": lambda: controls.fill(x, controls.threshold_masks(x, brains, self.threshold)),
            "inpainter": lambda: _required(self.own).inpaint(x, self._masks(slices).astype(np.float32)),
        }
        network = lambda: self.outputs.synthesized(_required(self.own), slices)  # noqa: E731
        return makers.get(self.row.method, network)()

    def _masks(self, slices: SliceSet) -> MaskStack:
        """The true lesion for an oracle, else what S finds: the row's own S, where it has one."""
        if self.row.mask == "true":
            return slices.masks
        detected = self.segment(slices)
        if detected is None:
            detected = self.outputs.lesion_masks(_required(self.segmentor), slices)
        return detected


def _required(model: Model | None) -> Model:
    if model is None:
        raise ValueError("the row needs a model that it was not given")
    return model
