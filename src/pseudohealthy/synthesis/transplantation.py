"""A lesion put into a healthy image by the reconstructor: `R(x, m)` of the paper, on the image's own grid.

The image changes in the mask and a short margin around it alone, so that the mask says exactly where the
lesion is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Self, TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pseudohealthy import __version__
from pseudohealthy.data.grid import Grid
from pseudohealthy.data.intensity import Intensity
from pseudohealthy.data.out_of_distribution import Reference, Spread
from pseudohealthy.data.volume import Volume
from pseudohealthy.errors import RESEARCH_USE, InputError, printable
from pseudohealthy.synthesis.blend import blended, soft_mask
from pseudohealthy.synthesis.inputs import Source, image_volume, mask_source, on_grid
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.result import as_given
from pseudohealthy.synthesis.run_report import NOT_REPORTED, millilitres, out_of_distribution
from pseudohealthy.synthesis.skull_stripping import Brain, find_brain

MARGIN_MM = 3.0  # around the mask: a Gaussian of 1 mm, cut at three of its standard deviations
GRAIN_PIXELS = 1.5  # what a Gaussian of this takes away is noise, but for edges, which are larger than
GRAIN_LIMIT = 2.5  # so many standard deviations of the noise
LEVEL = Spread(median=0.54, deviation=0.1)  # LGG's; see `tissue_level`

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


class TransplantationReport(TypedDict):
    """How a lesion was put into an image; the sidecars hold it too.

    Attributes:
        version: of this program.
        input: name of the image's file; "array" where it is none.
        weights: method, preset, images, data and SHA-256.
        skull: "absent", "stripped by TOOL" or "masked by FILE".
        mask: where the lesion's shape and place come from.
        lesion_ml: size of the mask.
        tissue_level: brightness of the median tissue for the reconstructor, which sees intensities in [0, 1]:
            the lower, the brighter the lesion beside it.
        brightness_ratio: mean intensity in the mask, after over before.
        margin_mm: around the mask, within which the image changes too.
        warnings: what a person should know before using the image.
        research_use: what it must not be used for.
    """

    version: str
    input: str
    weights: dict[str, Any]
    skull: str
    mask: str
    lesion_ml: float
    tissue_level: float
    brightness_ratio: float
    margin_mm: float
    warnings: list[str]
    research_use: str


@dataclass(frozen=True, eq=False)
class Transplantation:
    """An image with a lesion that it did not have; arrays lie as the input's do, as stored or as given.

    Attributes:
        volume: the input.
        image: with the lesion, in the input's intensity units; further than 3 mm from the mask, in slices
            without it and outside the brain bit for bit the input, as 32-bit floating-point numbers.
        mask: the lesion: the mask that was given or drawn, as far as it lies in the brain.
        report: how it was made.
        warnings: what a person should know before using it.
    """

    volume: Volume
    image: Array
    mask: Mask
    report: TransplantationReport
    warnings: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Recipient:
    """A healthy image that is ready for lesions.

    Attributes:
        volume: the image.
        brain: its brain, and how it was found.
        model: whose reconstructor makes the lesions.
        given_shape: of an array given as the image; None for a file or image.
        warnings: about the image and its brain.
    """

    volume: Volume
    brain: Brain
    model: Model
    given_shape: tuple[int, ...] | None
    warnings: tuple[str, ...]

    @classmethod
    def of(
        cls,
        source: Source,
        model: Model,
        *,
        spacing: Iterable[float] | None = None,
        brain_mask: Source | None = None,
    ) -> Self:
        """The image, and its brain; arguments as in `synthesize`.

        Raises:
            InputError: weights without a reconstructor; an image or mask that cannot be read, or a brain that
                cannot be found.
        """
        expect_reconstructor(model)
        volume, shape = image_volume(source, spacing)
        brain = find_brain(volume, mask_source(brain_mask, volume, shape), model.device)
        warnings = (*brain.alone.warnings, *brain.warnings, *_unlike_training_data(brain.alone, model))
        return cls(volume, brain, model, shape, warnings)

    def own_mask(self, lesion: Source) -> tuple[Mask, str, tuple[str, ...]]:
        """A user's lesion mask on the image's grid, what it is called, and its warnings.

        Raises:
            InputError: it cannot be read, lies on another grid or beside the image, or is empty.
        """
        mask = mask_source(lesion, self.volume, self.given_shape)
        assert mask is not None
        given = on_grid(mask, self.volume, "lesion")
        if given.mask.place is not None:
            raise InputError(
                f"{given.mask.called}: lies on another grid than the image; expected the image's own, so "
                "resample it, or give its folder as --masks, from which shapes are placed anew"
            )
        if not given.voxels.any():
            raise InputError(f"{given.mask.called}: is empty, so there is no lesion to transplant")
        return given.voxels, given.name, given.warnings

    def transplanted(
        self, mask: Mask, origin: str, *, level: float | None = None, warnings: tuple[str, ...] = ()
    ) -> Transplantation:
        """The image with a lesion.

        Args:
            mask: of the lesion, (I, J, K).
            origin: of the mask, in words, for the report.
            level: brightness of the median tissue, in (0, 1), for the reconstructor; None: that of the
                weights' training data.
            warnings: about the mask.

        Raises:
            InputError: no voxel of the mask is in the brain.
        """
        alone = self.brain.alone
        inside = mask & alone.brain
        if not inside.any():
            raise InputError(
                f"{alone.name}: the lesion mask ({origin}) has no voxel in the brain; check that it belongs "
                "to this image"
            )
        level = float(tissue_level(self.model).median) if level is None else level
        after = self._after(inside, level)
        report = self._report(inside, after, origin, level)
        warnings = (*self.warnings, *warnings, *_cut(mask, inside))
        report["warnings"] += warnings
        image, shown = (as_given(each, self.given_shape) for each in (after, inside))
        return Transplantation(self.volume, image, shown, report, warnings)

    def _report(self, mask: Mask, after: Array, origin: str, level: float) -> TransplantationReport:
        """All but the warnings."""
        alone = self.brain.alone
        before, made = (
            each[mask].astype(np.float64) - self.brain.background for each in (self.volume.data, after)
        )
        return {
            "version": __version__,
            "input": printable(alone.path.name) if alone.path else "array",
            "weights": {k: v for k, v in self.model.provenance.items() if k not in NOT_REPORTED},
            "skull": self.brain.skull,
            "mask": printable(origin),
            "lesion_ml": millilitres(mask, alone),
            "tissue_level": round(level, 4),
            "brightness_ratio": round(float(made.mean() / before.mean()), 3),
            "margin_mm": MARGIN_MM,
            "warnings": [],
            "research_use": RESEARCH_USE,
        }

    def _after(self, mask: Mask, level: float) -> Array:
        """The image (I, J, K) with a lesion in the mask, in its own units."""
        alone, settings = self.brain.alone, self.model.preprocessing
        grid = Grid.of(alone, settings, alone.brain, cover=True)
        intensity = Intensity(float(np.median(alone.data[alone.brain])) / level)
        x = grid.to_canonical(intensity.normalised(alone.data))
        m = np.clip(grid.to_canonical(mask.astype(np.float32)), 0, 1)
        shown = m.any(axis=(1, 2))
        made = self.model.reconstruct(x[shown], m[shown])
        change = np.zeros_like(x)
        change[shown] = with_grain(made, x[shown], m[shown]) - x[shown]
        weight = soft_mask(mask, alone.spacing, dilation=0, edge=MARGIN_MM / 3) * alone.brain
        difference = grid.to_stored(change)
        changed = intensity.restored(alone.data, difference) + np.float32(self.brain.background)
        return blended(self.volume.data, changed, np.where(difference == 0, np.float32(0), weight))


def transplant(
    source: Source,
    model: Model,
    lesion: Source,
    *,
    spacing: Iterable[float] | None = None,
    brain_mask: Source | None = None,
) -> Transplantation:
    """A healthy volume or slice with a lesion where a mask says.

    Args:
        source: a FLAIR without a lesion, as for `synthesize`.
        model: with a reconstructor; see `Model.load`.
        lesion: its mask, on the image's grid: a file, an image of nibabel's, or numbers that lie as the
            image's do.
        spacing: mm, in the order of the array's axes; for arrays only.
        brain_mask: the brain; default: it is found in the image.

    Raises:
        InputError: the image, a mask or the weights cannot be used; or the lesion's mask is empty, or has no
            voxel in the brain.
    """
    recipient = Recipient.of(source, model, spacing=spacing, brain_mask=brain_mask)
    mask, origin, warnings = recipient.own_mask(lesion)
    return recipient.transplanted(mask, origin, warnings=warnings)


def expect_reconstructor(model: Model) -> None:
    """Raise an `InputError` for weights whose networks cannot put a lesion where a mask says."""
    if "R" not in model.letters:
        raise InputError(
            f"these are weights of the method {model.settings.method}, which has no reconstructor that takes "
            "a mask; give the weights of the method paired, unpaired or semi_supervised"
        )


def tissue_level(model: Model) -> Spread:
    """How bright the median tissue of the weights' training volumes is, in [0, 1], and how much it varies.

    A healthy image has nothing as bright as a lesion: scaled by its own brightest voxels, as for the
    generator, its tissue would be so bright that a lesion could hardly be brighter.
    """
    figures = model.provenance.get("training_distribution")
    if figures is None:
        return LEVEL
    return Reference.model_validate(figures).figures["level"]


def with_grain(made: Array, x: Array, m: Array) -> Array:
    """What the reconstructor made, with as much of the image's noise as it has lost.

    The reconstructor paints smooth lesions. A real one has the scan's noise, and one without it could be told
    by that alone.

    Args:
        made: `R(x, m)`, (N, H, W).
        x: the image.
        m: the mask, above 0 in the lesion.
    """
    lesion = (m > 0.5) & (x > 0)
    if not lesion.any():
        return made
    fine = _detail(x)
    noise = 1.4826 * float(np.median(np.abs(fine[x > 0])))  # a robust standard deviation
    grain = np.clip(fine, -GRAIN_LIMIT * noise, GRAIN_LIMIT * noise)
    # how much of it shows in what was made, whose own edges do not go with it
    left = float(np.dot(_detail(made)[lesion], grain[lesion]) / max(np.sum(grain[lesion] ** 2), 1e-12))
    return made + np.float32(np.clip(1 - left, 0, 1)) * grain * (x > 0)


def _detail(x: Array) -> Array:
    blurred: Array = ndimage.gaussian_filter(x, (0, GRAIN_PIXELS, GRAIN_PIXELS))
    return x - blurred


def _unlike_training_data(alone: Volume, model: Model) -> tuple[str, ...]:
    """A warning where the image is none of those that the weights were trained on, such as no FLAIR."""
    settings = model.preprocessing
    grid = Grid.of(alone, settings, alone.brain, cover=True)
    x = grid.to_canonical(Intensity.of(alone.data, settings, name=alone.name).normalised(alone.data))
    brain = grid.to_canonical(alone.brain, order=0) > 0
    return out_of_distribution(x, brain, settings, model.provenance.get("training_distribution"))[1]


def _cut(mask: Mask, inside: Mask) -> tuple[str, ...]:
    """A warning where a part of the mask is not in the brain."""
    share = 1 - np.count_nonzero(inside) / np.count_nonzero(mask)
    return (f"{share:.1%} of the lesion mask lay outside the brain and was cut off",) if share else ()
