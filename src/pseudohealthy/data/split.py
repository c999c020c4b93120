"""Subjects into train, validation and test: by person, seeded, in equal shares of every kind of subject.

And how much each split then holds, and whether that is enough.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from pseudohealthy.config import LARGEST_SEED, SPLITS, Split
from pseudohealthy.data.layouts import CohortVolume, Group, grouped, listed
from pseudohealthy.data.prepared import LABELS, SplitTotals, VolumeRecord
from pseudohealthy.errors import InputError

Fractions = tuple[float, float, float]  # train, val, test


def with_splits(volumes: Sequence[CohortVolume], fractions: Fractions, seed: int) -> list[CohortVolume]:
    """The volumes, each with a split; a data set's own split wins, and a library is for training.

    Subjects without a split are shuffled within their data set, group, and whether they have a mask, so that
    each split gets its share of each kind; the volumes of one subject stay together.

    Raises:
        InputError: fractions that are not three shares of 1, or a seed of more than 32 bits.
    """
    if not 0 <= seed <= LARGEST_SEED:
        raise InputError(f"the split's seed is {seed}; expected 0 to {LARGEST_SEED}")
    is_whole = len(fractions) == len(SPLITS) and math.isclose(sum(fractions), 1, abs_tol=1e-6)
    if not is_whole or min(fractions) < 0:
        raise InputError(f"split fractions {fractions}: expected shares of train, val and test that sum to 1")
    unsplit = [volume for volume in volumes if volume.split is None and volume.group != "library"]
    masked = {volume.subject for volume in volumes if volume.mask}
    drawn: dict[str, Split] = {}
    for kind, members in grouped(unsplit, lambda v: f"{v.source} {v.group} {v.subject in masked}").items():
        rng = np.random.default_rng([seed, *kind.encode()])
        subjects = sorted({volume.subject for volume in members})
        shares = np.repeat(np.arange(len(SPLITS)), _counts(len(subjects), fractions))
        for subject, share in zip(rng.permutation(subjects), shares, strict=True):
            drawn[str(subject)] = SPLITS[share]
    return [replace(v, split=v.split or drawn.get(v.subject, "train")) for v in volumes]


def totals_of(split: Split, records: Sequence[VolumeRecord]) -> SplitTotals:
    """Sums over the records of a split that have an image."""
    of_split = [record for record in records if record["split"] == split and record["group"] != "library"]
    facts = [record["facts"] for record in of_split]
    lesion = sum(fact["lesion_voxels"] for fact in facts)
    saturated = sum((fact["saturated_lesion_share"] or 0) * fact["lesion_voxels"] for fact in facts)
    return {
        "subjects": list(dict.fromkeys(record["subject"] for record in of_split)),
        "volumes": len(of_split),
        "slices": {label: sum(fact["slices"][label] for fact in facts) for label in LABELS},
        "saturated_lesion_share": saturated / lesion if lesion else None,
    }


def subject_counts(records: Sequence[VolumeRecord]) -> str:
    """How many patients have a lesion mask, whose are empty, and how many have none; how many controls."""
    subjects: dict[Group, set[str]] = {}
    for record in records:
        subjects.setdefault(record["group"], set()).add(record["subject"])
    patients = subjects.get("patient", set())
    masked = {record["subject"] for record in records if "mask" in record["inputs"]} & patients
    marked = {record["subject"] for record in records if record["facts"]["lesion_voxels"]}
    empty = sorted(masked - marked)
    of_which = f" ({len(empty)} of them empty, taken for no lesion: {listed(empty)})" if empty else ""
    counts = f"patients: {len(masked)} with a lesion mask{of_which}, {len(patients - masked)} without"
    controls, library = (len(subjects.get(group, ())) for group in ("control", "library"))
    return (
        counts
        + (f"; controls: {controls}" if controls else "")
        + (f"; library: masks of {library}" if library else "")
    )


def expect_enough(totals: Mapping[Split, SplitTotals], fractions: Fractions, *, masks: bool) -> None:
    """Make sure that there is something to train on and something to measure on.

    Args:
        totals: of each split.
        fractions: of the splits; one of 0 may be empty.
        masks: whether any image has a mask, so that validation and test are expected to show a lesion.

    Raises:
        InputError: what is missing, and where.
    """
    for split, fraction in zip(SPLITS, fractions, strict=True):
        slices = totals[split]["slices"]
        volumes = f"its {totals[split]['volumes']} volumes"
        if not any(slices.values()):
            if fraction > 0:
                raise InputError(f"the {split} split is empty; give more subjects, or a share of 0")
        elif split == "train":
            if not slices["pathological"] + slices["unlabelled"]:
                raise InputError(
                    f"no lesion slice in the train split: {volumes} are all healthy; add patients"
                )
            if not slices["healthy"]:
                raise InputError(
                    f"no healthy slice in the train split: {volumes} have none; add healthy controls"
                )
        elif masks and not slices["pathological"]:
            raise InputError(
                f"no lesion slice in the {split} split: {volumes} show none; take another seed or split"
            )


def _counts(subjects: int, fractions: Fractions) -> list[int]:
    """Whole subjects a split: one each first where there are enough, then whichever is furthest behind."""
    wanted = np.array(fractions) > 0
    counts = wanted.astype(int) if subjects >= wanted.sum() else np.zeros(len(SPLITS), dtype=int)
    for _ in range(subjects - counts.sum()):
        counts[np.argmax(np.array(fractions) * subjects - counts)] += 1
    return [int(count) for count in counts]
