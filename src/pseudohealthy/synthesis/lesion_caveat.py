"""What weights mark where there is no lesion, in the sentence that stands beside every lesion volume."""

from __future__ import annotations

from typing import Any, ClassVar

from pseudohealthy.config import Frozen
from pseudohealthy.synthesis.measured_of_weights import MeasuredOfWeights

FILE, FORMAT = "lesion_free.json", 1
NOT_MEASURED = "how much these weights mark where there is no lesion was not measured"


class Marked(Frozen):
    """What was marked in scans without a lesion: over the scans, how many of them, and of what kind."""

    of: str
    number: int
    median: float
    p95: float
    worst: float


class LesionFree(MeasuredOfWeights):
    """What weights mark in scans without a lesion.

    Attributes:
        format: of the file.
        sha256: of the weights that were measured.
        volumes: marked, in ml a volume.
        slices: marked, in percent of the brain in a slice.
    """

    file: ClassVar[str] = FILE
    expected_format: ClassVar[int] = FORMAT

    volumes: Marked
    slices: Marked | None = None


def lesion_caveat(weights: dict[str, Any]) -> str:
    """The sentence beside a lesion volume, without its full stop.

    Args:
        weights: their description, as `describe_weights` gives it.
    """
    values = weights.get("lesion_free")
    if values is None:
        return NOT_MEASURED
    measured = LesionFree.model_validate(values)
    parts = [(measured.volumes, "ml"), *([(measured.slices, "% of the brain")] if measured.slices else [])]
    figures = ", and ".join(
        f"{marked.median:.1f} {unit} (95 %: up to {marked.p95:.1f}) in {marked.number} {marked.of}"
        for marked, unit in parts
    )
    return f"these weights mark healthy tissue, too: {figures}"
