"""A cohort: the volumes of one data set, or of several put together (sections 3 and 5 of docs/method.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from pseudohealthy.data.layouts import CohortVolume, bids, brats, isles, listed
from pseudohealthy.errors import InputError

__all__ = ["Cohort", "CohortVolume", "Layout", "chosen", "read_cohort"]

Layout = Literal["auto", "bids", "brats", "isles"]
LAYOUTS = {"bids": bids, "brats": brats, "isles": isles}


@dataclass(frozen=True)
class Cohort:
    """Volumes of one or several data sets; a subject's name is unique among all of them."""

    name: str
    volumes: tuple[CohortVolume, ...]


def read_cohort(folders: Sequence[Path], layout: Layout = "auto") -> Cohort:
    """The volumes of all folders: patients, healthy controls and banks of masks may each be a folder.

    Args:
        folders: one folder a data set; a data set is called by its folder's name.
        layout: how the folders are laid out; `auto` recognises each for itself.

    Raises:
        InputError: no such folder, no layout recognised, two data sets of one name, or a data set that
            contradicts itself. No image is opened yet.
    """
    if not folders:
        raise InputError("no folder of data given; expected at least one")
    if layout != "auto" and layout not in LAYOUTS:
        raise InputError(f"layout {layout!r} is not known; expected auto, {', '.join(LAYOUTS)}")
    sources = [folder.resolve().name for folder in folders]
    if twice := [name for name, count in Counter(sources).items() if count > 1]:
        raise InputError(f"several data sets are called {twice[0]}; rename all but one of the folders")
    found = [_read(folder, layout, source) for folder, source in zip(folders, sources, strict=True)]
    return Cohort("+".join(sources), _with_unique_subjects(found))


def chosen(cohort: Cohort, count: int, seed: int) -> Cohort:
    """So many of a cohort's subjects with an image, drawn at random with all their volumes; a bank stays.

    The paper used 79 of the 210 HGG volumes of BraTS 2018 and does not say which. Whoever was drawn is listed
    in the manifest that `prepare` writes.

    Args:
        cohort: what `read_cohort` found; the order of its volumes does not matter.
        count: of subjects.
        seed: the same subjects are drawn from the same subjects.

    Raises:
        InputError: the cohort has fewer subjects, or none is asked for.
    """
    subjects = sorted({volume.subject for volume in cohort.volumes if volume.image})
    if not 1 <= count <= len(subjects):
        raise InputError(
            f"{cohort.name}: {count} subjects to choose, expected 1 to {len(subjects)}, its number"
        )
    drawn = set(np.random.default_rng(seed).permutation(subjects)[:count])
    volumes = (volume for volume in cohort.volumes if volume.image is None or volume.subject in drawn)
    return replace(cohort, volumes=tuple(volumes))


def _read(folder: Path, layout: Layout, source: str) -> list[CohortVolume]:
    """The volumes of one folder, each subject and session once."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected a folder of data")
    readers = list(LAYOUTS.values()) if layout == "auto" else [LAYOUTS[layout]]
    volumes: list[CohortVolume] = next(filter(None, (reader.read(folder, source) for reader in readers)), [])
    if not volumes:
        looked_for = "; or ".join(reader.LOOKS_FOR for reader in readers)
        raise InputError(f"{folder}: no images or masks found; looked for {looked_for}")
    times = Counter((volume.subject, volume.session) for volume in volumes)
    if twice := [subject for (subject, _), count in times.items() if count > 1]:
        raise InputError(f"{folder}: several volumes of {listed(twice)}; give the folders inside one by one")
    return volumes


def _with_unique_subjects(sources: Sequence[list[CohortVolume]]) -> tuple[CohortVolume, ...]:
    """All volumes; a subject's name that several sources use gets its source in front."""
    uses = Counter(name for volumes in sources for name in {volume.subject for volume in volumes})
    return tuple(
        replace(volume, subject=f"{volume.source}-{volume.subject}") if uses[volume.subject] > 1 else volume
        for volumes in sources
        for volume in volumes
    )
