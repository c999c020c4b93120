"""What weights mark where there is no lesion, in the sentence that stands beside every lesion volume."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pseudohealthy.config import Frozen
from pseudohealthy.errors import InputError
from pseudohealthy.files import write_json
from pseudohealthy.json_files import read_json
from pseudohealthy.settings_files import validated

FILE, FORMAT = "lesion_free.json", 1
NOT_MEASURED = "how much these weights mark where there is no lesion was not measured"


class Marked(Frozen):
    """What was marked in scans without a lesion: over the scans, how many of them, and of what kind."""

    of: str
    number: int
    median: float
    p95: float
    worst: float


class LesionFree(Frozen):
    """What weights mark in scans without a lesion.

    Attributes:
        format: of the file.
        sha256: of the weights that were measured.
        volumes: marked, in ml a volume.
        slices: marked, in percent of the brain in a slice.
    """

    format: int
    sha256: str
    volumes: Marked
    slices: Marked | None = None

    @classmethod
    def read(cls, folder: Path, sha256: str) -> Self | None:
        """What was measured of the weights in `folder`; None where it was not, or of other weights.

        Raises:
            InputError: the file cannot be read or is no such measurement.
        """
        path = folder / FILE
        if not path.exists():
            return None
        measured = validated(cls, read_json(path, remedy="remove it, or measure again"), str(path))
        if measured.format != FORMAT:
            raise InputError(f"{path}: of another version; remove it, or measure again")
        return measured if measured.sha256 == sha256 else None

    def write(self, folder: Path) -> None:
        """Put it beside the weights in a folder."""
        write_json(folder / FILE, self.model_dump(mode="json"))


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
