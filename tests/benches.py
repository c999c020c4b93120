"""Prepared cohorts drawn in memory, with lesions large enough to be put into other slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pandas as pd

from cohorts import FITTING
from pseudohealthy.config import SPLITS, Split
from pseudohealthy.data.manifest import Manifest
from pseudohealthy.data.prepared import COLUMNS, Prepared

SHAPE = (64, 48)
BOX = np.s_[20:30, 12:20]  # of a lesion: 80 mm2, in the patient's right anterior quarter
AREA = 80
TISSUE = (0.4, 0.5)  # the range of the intensities outside lesions
HEIGHTS = np.linspace(0, 1, 6)  # of the six slices of a volume, further apart than a donor may be


@dataclass(frozen=True)
class Drawn:
    """A patient: where the lesion is seen, how bright it is, and which slices are there.

    Attributes:
        subject: label.
        split: of the cohort.
        lesions: z of its pathological slices.
        healthy: z of its healthy slices.
        level: of the lesion's intensity; no two patients' are equal, so that a lesion tells whose it is.
    """

    subject: str
    split: Split
    lesions: Sequence[int]
    healthy: Sequence[int]
    level: float


# Each patient's healthy slices are at the heights of the others' lesions.
PATIENTS = (
    Drawn("V1", "val", (1, 2), (3, 4), 0.70),
    Drawn("V2", "val", (3,), (1,), 0.72),
    Drawn("T1", "test", (1, 2), (3, 4), 0.80),
    Drawn("T2", "test", (3, 4), (1, 2), 0.84),
    Drawn("T3", "test", (1, 2), (3, 4), 0.88),
    Drawn("T4", "test", (3,), (1, 2), 0.92),
)


def drawn(*patients: Drawn) -> Prepared:
    """A prepared cohort of these patients, `PATIENTS` if none are given; its truth is known."""
    given = patients or PATIENTS
    rows = [
        (patient, z, z in patient.lesions)
        for patient in given
        for z in sorted((*patient.lesions, *patient.healthy))
    ]
    tissue = np.where(_brain(), np.random.default_rng(0).uniform(*TISSUE, (len(rows), *SHAPE)), 0)
    masks, images = np.zeros(tissue.shape, np.uint8), tissue.astype(np.float32)
    for row, (patient, _, ill) in enumerate(rows):
        if ill:
            masks[row][BOX], images[row][BOX] = 1, patient.level
    table = _table(rows, masks)
    return Prepared(images, masks, tissue.astype(np.float32), None, table, None, _manifest(table))


def without(prepared: Prepared, **changed: Any) -> Prepared:
    """The same cohort with other arrays."""
    return replace(prepared, **changed)


def rows_of_split(prepared: Prepared, split: Split, label: str = "pathological") -> Any:
    """The rows of a split's slices of one kind."""
    table = prepared.slices
    return table["row"][(table["split"] == split) & (table["label"] == label)].to_numpy()


def _brain() -> Any:
    rows, columns = np.indices(SHAPE)
    return ((rows - 31.5) / 28) ** 2 + ((columns - 23.5) / 20) ** 2 <= 1


def _table(rows: Sequence[tuple[Drawn, int, bool]], masks: Any) -> pd.DataFrame:
    records = [
        {
            "row": row,
            "subject": patient.subject,
            "session": "n/a",
            "source": "drawn",
            "group": "patient",
            "split": patient.split,
            "z": z,
            "height": HEIGHTS[z],
            "label": "pathological" if ill else "healthy",
            "lesion_voxels": int(masks[row].sum()),
            "brain_voxels": int(_brain().sum()),
            "has_mask": True,
        }
        for row, (patient, z, ill) in enumerate(rows)
    ]
    return pd.DataFrame(records, columns=list(COLUMNS))


def _manifest(table: pd.DataFrame) -> Manifest:
    totals = {
        split: {"volumes": own["subject"].nunique(), "slices": own["label"].value_counts().to_dict()}
        for split in SPLITS
        for own in [table[table["split"] == split]]
    }
    facts = {"cohort": "drawn", "key": "drawn", "settings": FITTING.model_dump(mode="json"), "totals": totals}
    return cast(Manifest, facts)
