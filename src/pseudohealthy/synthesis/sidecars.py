"""The JSON beside each image that BIDS derivatives have."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pseudohealthy.errors import RESEARCH_USE

DESCRIPTIONS = {
    "healthy": "The input as if healthy, in its intensity units; outside the brain it is the input.",
    "blended": "The input, of which only the lesion and a few mm around it were replaced, as if healthy.",
    "difference": "The image as if healthy minus the input, in the input's intensity units.",
    "probability": "Probability of disease, 0 to 1.",
    "mask": "Disease: probability above 0.5.",
}
MAPS = ("probability", "mask")


def sidecar(kind: str, sources: Mapping[str, str], *, stripped: bool) -> dict[str, Any]:
    """What stands beside an image.

    Args:
        kind: as in `DESCRIPTIONS`.
        sources: BIDS URIs or file names of `image`, `brain_mask` and `lesion_mask`, those that were used.
        stripped: whether the input came without its skull; voxels outside the brain are the input's.
    """
    used = ["image", "brain_mask", *(["lesion_mask"] if kind == "blended" else [])]
    facts: dict[str, Any] = {
        "Description": f"{DESCRIPTIONS[kind]} {RESEARCH_USE}",
        "Sources": [sources[name] for name in used if name in sources],
    }
    if kind in MAPS:
        return {**facts, "Type": "Lesion", "SpatialReference": sources["image"]}
    return {**facts, "SkullStripped": stripped}


def beside(image: Path) -> Path:
    """Where an image's sidecar lies."""
    return image.with_name(image.name.removesuffix(".gz").removesuffix(".nii") + ".json")
