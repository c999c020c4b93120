"""Subjects into train, validation and test: by person, seeded, in equal shares of every kind of subject."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pseudohealthy.config import LARGEST_SEED, SPLITS, Split
from pseudohealthy.data.layouts import CohortVolume, grouped
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


def _counts(subjects: int, fractions: Fractions) -> list[int]:
    """Whole subjects a split: one each first where there are enough, then whichever is furthest behind."""
    wanted = np.array(fractions) > 0
    counts = wanted.astype(int) if subjects >= wanted.sum() else np.zeros(len(SPLITS), dtype=int)
    for _ in range(subjects - counts.sum()):
        counts[np.argmax(np.array(fractions) * subjects - counts)] += 1
    return [int(count) for count in counts]
