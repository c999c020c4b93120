"""What a run's report holds: its keys and units in one place, and how each of them is measured."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Self, TypedDict

import numpy as np
from numpy.typing import NDArray

from pseudohealthy import __version__
from pseudohealthy.config import Preprocessing
from pseudohealthy.data.out_of_distribution import Comparison, Reference, compare
from pseudohealthy.data.slice_selection import training_slices
from pseudohealthy.data.volume import Volume
from pseudohealthy.dicom.series_report import SeriesReport
from pseudohealthy.errors import RESEARCH_USE, printable
from pseudohealthy.evaluation.through_plane import Inconsistency
from pseudohealthy.synthesis.blend import DILATION_MM, EDGE_MM, Blend
from pseudohealthy.synthesis.lesion_caveat import lesion_caveat
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.skull_stripping import Brain
from pseudohealthy.synthesis.slice_inference import SliceInference

NOT_COMPARED = "not compared with the training data: the brain is too small, or without contrast"
# Of `brightness_inconsistency`; the validation patients' is at most 1.09 with the bundled weights
BRIGHTNESS_LIMIT = 1.5
NOT_REPORTED = (
    "training_distribution",
    "lesion_free",
    "uncertainty",
)  # of the weights: what follows from them is
Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


class SliceCounts(TypedDict):
    """Of the canonical slices: all, and those that went through the networks."""

    all: int
    processed: int


class Anomaly(TypedDict):
    """Mean and 99th percentile of |x - x~| over the processed brain; x is in [0, 1]."""

    mean: float
    p99: float


class ThroughPlane(TypedDict):
    """Change from slice to slice over the input's own; None without three neighbouring slices of brain."""

    through_plane_inconsistency: float | None
    brightness_inconsistency: float | None


class Distribution(TypedDict):
    """Distance from the training data, the largest that is in distribution, and of how many volumes."""

    distance: float
    limit: float
    volumes: int


class BlendReport(TypedDict):
    """Around which mask the blend fades, how far in mm, and how much of the volume it touches in ml."""

    mask: str
    dilation_mm: float
    edge_mm: float
    touched_ml: float


class UncertaintyReport(TypedDict):
    """Intervals of the lesion's volume in ml, least and greatest; and of the healthy image.

    `mean_half_width` is that of the 68 % interval over the processed brain, in the input's units; `ratio_95`
    is by how much the 95 % interval is wider, by zone of the lesion map; `runs` of the networks took so many
    `seconds` more.
    """

    lesion_ml_68: tuple[float, float]
    lesion_ml_95: tuple[float, float]
    mean_half_width: float
    ratio_95: dict[str, float]
    runs: int
    seconds: float


class OptionalPart(TypedDict, total=False):
    """Of a run with a blend, of one with its uncertainty, and of an input that came as DICOM."""

    blend: BlendReport
    uncertainty: UncertaintyReport
    dicom: SeriesReport


class Seconds(TypedDict):
    """That the networks took, and the whole run."""

    networks: float
    all: float


class RunReport(ThroughPlane, OptionalPart):
    """The run report, as `Synthesis.report` holds it and the JSON file beside the images.

    Attributes:
        version: of this program.
        input: name of the input's file; "array" where it is none.
        weights: method, preset, images, data and SHA-256.
        device: where the networks ran.
        backend: name, version and precision of what ran them.
        torch: its version.
        machine: processor.
        skull: "absent", "stripped by TOOL" or "masked by FILE".
        slices: how many, and how many of them were processed.
        ceiling: the input's intensity that becomes 1 for the networks.
        lesion_ml: size of the mask.
        lesion_caveat: what the weights mark where there is no lesion.
        brain_ml: size of the brain.
        anomaly: how much the networks changed.
        out_of_distribution: how far the input is from the training data; or why that is not known.
        blend: where one was requested.
        uncertainty: where it was requested.
        dicom: which series it was, where the input came as DICOM.
        warnings: what a person should know before using the images.
        seconds: of the run.
        research_use: what the images must not be used for.
    """

    version: str
    input: str
    weights: dict[str, Any]
    device: str
    backend: dict[str, str]
    torch: str
    machine: str
    skull: str
    slices: SliceCounts
    ceiling: float
    lesion_ml: float
    lesion_caveat: str
    brain_ml: float
    anomaly: Anomaly
    out_of_distribution: Distribution | str
    warnings: list[str]
    seconds: Seconds
    research_use: str


@dataclass(frozen=True)
class SliceFigures:
    """What the report measures of slices, and the warnings that follow.

    Attributes:
        distribution: how far the input is from the training data, see `RunReport`.
        through_plane: see `through_plane_change`.
        anomaly: see `change`.
        warnings: of the first two.
    """

    distribution: Distribution | str
    through_plane: ThroughPlane
    anomaly: Anomaly
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, inference: SliceInference, model: Model) -> Self:
        """Of what the networks of `model` were given, and gave."""
        x, x_tilde, inside = inference.x, inference.x_tilde, inference.brain
        distribution, far = out_of_distribution(
            x, inside, model.preprocessing, model.provenance.get("training_distribution")
        )
        through_plane = through_plane_change(x, x_tilde, inside)
        unsteady = brightness_warnings(through_plane["brightness_inconsistency"])
        anomaly = change(x, x_tilde, inside & inference.processed[:, None, None])
        return cls(distribution, through_plane, anomaly, (*far, *unsteady))


def describe_run(
    brain: Brain,
    model: Model,
    inference: SliceInference,
    figures: SliceFigures,
    *,
    mask: Mask,
    blend: Blend | None,
    began: float,
    uncertainty: UncertaintyReport | None = None,
) -> RunReport:
    """The report of a run.

    Args:
        brain: of the input, with the warnings of both.
        model: whose networks ran.
        inference: what they gave.
        figures: of that.
        mask: of the lesion, (I, J, K).
        blend: None where none was requested.
        began: `time.perf_counter()` at the run's start.
        uncertainty: None where it was not requested.
    """
    slices = int(inference.processed.sum())
    optional = _blend_part(blend, brain.alone)
    if uncertainty:
        optional["uncertainty"] = uncertainty
    return {
        "version": __version__,
        "input": printable(brain.alone.path.name) if brain.alone.path else "array",
        "weights": {key: value for key, value in model.provenance.items() if key not in NOT_REPORTED},
        "device": str(model.device),
        "backend": model.describe_backend(slices),
        "torch": version("torch"),
        "machine": platform.processor() or platform.machine(),
        "skull": brain.skull,
        "slices": {"all": len(inference.x), "processed": slices},
        "ceiling": inference.intensity.ceiling,
        "lesion_ml": millilitres(mask, brain.alone),
        "lesion_caveat": lesion_caveat(model.provenance),
        "brain_ml": millilitres(brain.alone.brain, brain.alone),
        "anomaly": figures.anomaly,
        **figures.through_plane,
        "out_of_distribution": figures.distribution,
        **optional,
        "warnings": [
            *brain.alone.warnings,
            *brain.warnings,
            *(blend.warnings if blend else ()),
            *figures.warnings,
        ],
        "seconds": {"networks": inference.seconds, "all": round(time.perf_counter() - began, 3)},
        "research_use": RESEARCH_USE,
    }


def _blend_part(blend: Blend | None, volume: Volume) -> OptionalPart:
    if blend is None:
        return {}
    touched = millilitres(blend.weight > 0, volume)
    return {
        "blend": {
            "mask": blend.mask_name,
            "dilation_mm": DILATION_MM,
            "edge_mm": EDGE_MM,
            "touched_ml": touched,
        }
    }


def millilitres(where: Mask, volume: Volume) -> float:
    """The size of the voxels (I, J, K) that are True."""
    return round(float(np.count_nonzero(where) * np.prod(volume.spacing) / 1000), 3)


def change(x: Array, x_tilde: Array, brain: Mask) -> Anomaly:
    """Mean and 99th percentile of |x - x~| over the brain of slices `(N, H, W)` in [0, 1]."""
    size = np.abs(x_tilde - x)[brain]
    return {"mean": round(float(size.mean()), 5), "p99": round(float(np.percentile(size, 99)), 5)}


def through_plane_change(x: Array, x_tilde: Array, brain: Mask) -> ThroughPlane:
    """Change from slice to slice of x~ over that of x, of all slices `(Z, H, W)`.

    Returns:
        `through_plane_inconsistency` (flicker) and `brightness_inconsistency`, both of `Inconsistency`: 1 for
        a copy, the second above 1 where slices are brighter and darker by turns; None where the brain is not
        in three neighbouring slices.
    """
    inconsistency = Inconsistency.of_volume(x_tilde, x, brain)
    return {
        "through_plane_inconsistency": _rounded(inconsistency.voxels),
        "brightness_inconsistency": _rounded(inconsistency.brightness),
    }


def _rounded(ratio: float) -> float | None:
    return round(ratio, 4) if np.isfinite(ratio) else None


def brightness_warnings(inconsistency: float | None) -> tuple[str, ...]:
    """A warning where slices are brighter and darker by turns, more than any of the validation patients'."""
    if inconsistency is None or inconsistency <= BRIGHTNESS_LIMIT:
        return ()
    return (
        f"from slice to slice the healthy image's brightness changes {inconsistency:.1f} times as much as "
        "the input's: look at it in a sagittal view",
    )


def out_of_distribution(
    x: Array, brain: Mask, settings: Preprocessing, reference: dict[str, Any] | None
) -> tuple[Distribution | str, tuple[str, ...]]:
    """How far a volume is from the training data, and a warning where it is out of distribution.

    Args:
        x: all its canonical slices, `(Z, H, W)` in [0, 1].
        brain: of them.
        settings: which slices the training data has.
        reference: the training data's figures; None: the weights carry none, and there is no warning.
    """
    if reference is None:
        return "not compared: the weights carry no figures of their training data", ()
    known = Reference.model_validate(reference)
    chosen = training_slices(brain, settings.slice_selection)
    measured = compare(x[chosen], settings.spacing, known, brain[chosen])
    if measured is None:
        return NOT_COMPARED, (f"the image was {NOT_COMPARED}. Is it a brain?",)
    report: Distribution = {
        "distance": measured.distance,
        "limit": measured.limit,
        "volumes": known.volumes,
    }
    return report, _distribution_warnings(measured, known)


def _distribution_warnings(measured: Comparison, known: Reference) -> tuple[str, ...]:
    if measured.distance <= measured.limit:
        return ()
    return (
        f"the image is out of distribution: it differs from the {known.volumes} volumes that the weights "
        f"were trained on (distance {measured.distance:.1f}, limit {measured.limit:.1f}): "
        f"{'; '.join(measured.signs)}. Is it a FLAIR?",
    )
