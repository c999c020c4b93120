"""What the run report says of a DICOM series."""

from __future__ import annotations

from typing import TypedDict


class SeriesReport(TypedDict):
    """Which series it was: as the scanner counts, its description, its slices, and what converted it."""

    number: int | None
    description: str
    slices: int
    converter: str
