"""What the run report says of a DICOM series."""

from __future__ import annotations

from typing import TypedDict


class SeriesReport(TypedDict):
    """Which series it was: as the scanner counts, its description and slices, what converted it, and notes.

    The notes say what was left out, and what may be missing.
    """

    number: int | None
    description: str
    slices: int
    converter: str
    notes: list[str]
