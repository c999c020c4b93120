"""The folder layouts in which cohorts arrive.

A layout is a module here with `LOOKS_FOR`, a line for messages, and `read(folder, source, controls)`, which
returns a `DataSet`; `READERS` and `Layout` name it: `docs/howto/extend.md`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Literal

from pseudohealthy.data.layouts import (
    bids,
    brats,
    isles,
)
from pseudohealthy.data.layouts.base import (
    CohortVolume,
    DataSet,
    Group,
    count_of,
    grouped,
    listed,
    natural,
    nifti_files,
    stem,
    within,
)

__all__ = [
    "READERS",
    "CohortVolume",
    "DataSet",
    "Group",
    "Layout",
    "count_of",
    "grouped",
    "listed",
    "natural",
    "nifti_files",
    "stem",
    "within",
]

Layout = Literal[
    "auto",
    "bids",
    "brats",
    "isles",
]
READERS: Mapping[str, ModuleType] = {  # in the order of `auto`
    "bids": bids,
    "brats": brats,
    "isles": isles,
}
