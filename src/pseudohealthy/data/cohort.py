"""A cohort: the volumes of one data set, or of several put together (sections 3 and 5 of docs/method.md)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pseudohealthy.data.layouts import READERS, CohortVolume, DataSet, Layout, count_of, listed, within
from pseudohealthy.data.layouts.base import is_absent
from pseudohealthy.data.layouts.groups import plain
from pseudohealthy.errors import InputError, printable

__all__ = ["Cohort", "CohortVolume", "Layout", "chosen", "read_cohort"]


@dataclass(frozen=True)
class Cohort:
    """Volumes of one or several data sets; a subject's name is unique among all of them.

    Attributes:
        name: of the data sets.
        volumes: of all of them.
        notes: what was left out, taken for something or not understood: a line each, with the data set's name
            in front; for a person.
    """

    name: str
    volumes: tuple[CohortVolume, ...]
    notes: tuple[str, ...] = ()


def read_cohort(folders: Sequence[Path], layout: Layout = "auto", controls: Sequence[str] = ()) -> Cohort:
    """The volumes of all folders: patients, healthy controls and lesion-mask libraries may each be a folder.

    Args:
        folders: one folder a data set; a data set is called by its folder's name.
        layout: how the folders are laid out; `auto` recognises each for itself.
        controls: the words that `participants.tsv` has for healthy controls; none: those that are known.

    Raises:
        InputError: no such folder, no layout recognised, two data sets of one name, a data set that
            contradicts itself, groups that are not understood, or none called as in `controls`. No image is
            opened yet.
    """
    if not folders:
        raise InputError("no folder of data given; expected at least one")
    if layout != "auto" and layout not in READERS:
        raise InputError(f"layout {layout!r} is not known; expected auto, {', '.join(READERS)}")
    sources = [printable(folder.resolve().name) for folder in folders]
    if twice := [name for name, count in Counter(sources).items() if count > 1]:
        raise InputError(f"several data sets are called {twice[0]}; rename all but one of the folders")
    data_sets = [
        _fetched(folder, _read(folder, layout, source, controls))
        for folder, source in zip(folders, sources, strict=True)
    ]
    data_sets = _without_own_masks(data_sets)
    _expect_groups(controls, [word for data in data_sets for word in data.groups])
    notes = [f"{name}: {note}" for name, data in zip(sources, data_sets, strict=True) for note in data.notes]
    volumes = _with_unique_subjects([data.volumes for data in data_sets])
    return Cohort("+".join(sources), volumes, (*notes, *_namesakes(data_sets)))


def chosen(cohort: Cohort, count: int, seed: int) -> Cohort:
    """So many of a cohort's subjects with an image, drawn at random with all their volumes; a library stays.

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


def _read(folder: Path, layout: Layout, source: str, controls: Sequence[str]) -> DataSet:
    """What is in one folder, each subject and session once."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected a folder of data")
    notes: list[str] = []
    readers = list(READERS.values()) if layout == "auto" else [READERS[layout]]
    for reader in readers:
        data: DataSet = reader.read(folder, source, controls)
        if data.volumes:
            break
        notes += data.notes
    else:
        looked_for = "; or ".join(reader.LOOKS_FOR for reader in readers)
        seen = "".join(f"; {note}" for note in notes)
        raise InputError(f"{folder}: no images or masks found; looked for {looked_for}{seen}")
    times = Counter((volume.subject, volume.session) for volume in data.volumes)
    if twice := [subject for (subject, _), count in times.items() if count > 1]:
        raise InputError(f"{folder}: several volumes of {listed(twice)}; give the folders inside one by one")
    return replace(data, volumes=tuple(_as_text(volume) for volume in data.volumes))


def _as_text(volume: CohortVolume) -> CohortVolume:
    """The volume with names that tables can hold; its files keep theirs."""
    session = None if volume.session is None else printable(volume.session)
    return replace(volume, subject=printable(volume.subject), session=session)


def _fetched(folder: Path, data: DataSet) -> DataSet:
    """The data set without volumes of which a file's content is not there, and a line that says so.

    A patient whose mask was not fetched is not one without a mask, and so is left out too.

    Raises:
        InputError: there is no other volume.
    """
    absent = {
        volume: path
        for volume in data.volumes
        for path in (volume.image, volume.mask, volume.truth)
        if path is not None and is_absent(path)
    }
    if not absent:
        return data
    files = f"{count_of(len(absent), 'volume')} whose files are links without content: "
    links = f"{files}{within(folder, absent.values())}"
    get = "fetch them (datalad get, git annex get)"
    if len(absent) == len(data.volumes):
        raise InputError(f"{folder}: every volume has files that are links without content; {get}: {links}")
    volumes = tuple(volume for volume in data.volumes if volume not in absent)
    return replace(data, volumes=volumes, notes=(*data.notes, f"{links}; left out; {get}"))


def _expect_groups(controls: Sequence[str], words: Sequence[str]) -> None:
    """Make sure that each word for controls is one that the data have."""
    there = {plain(word) for word in words}
    if missing := [word for word in controls if plain(word) not in there]:
        there_are = (
            listed(dict.fromkeys(words), most=10) or "no column group in participants.tsv, or an empty one"
        )
        raise InputError(f"--controls: no group is called {listed(missing)}; found {there_are}")


def _without_own_masks(data_sets: Sequence[DataSet]) -> list[DataSet]:
    """The data sets, of each library only masks that belong to none of the images.

    A library is for training, and a mask of a test patient has no place there.
    """
    own = {
        volume.mask.resolve() for data in data_sets for volume in data.volumes if volume.image and volume.mask
    }
    cleaned = []
    for data in data_sets:
        twice = {v for v in data.volumes if v.image is None and v.mask and v.mask.resolve() in own}
        note = f"{count_of(len(twice), 'mask')} that belong to images of the cohort left out of the library"
        volumes = tuple(volume for volume in data.volumes if volume not in twice)
        cleaned.append(replace(data, volumes=volumes, notes=(*data.notes, note)) if twice else data)
    return cleaned


def _namesakes(data_sets: Sequence[DataSet]) -> list[str]:
    """A line for each library that has masks of subjects who, in another data set, have no mask."""
    lacking = {
        (volume.subject, volume.session): volume.source
        for data in data_sets
        for volume in data.volumes
        if volume.image and not volume.mask and volume.group == "patient"
    }
    notes = []
    for data in data_sets:
        library = [volume for volume in data.volumes if volume.image is None]
        same = [volume for volume in library if (volume.subject, volume.session) in lacking]
        if same:
            whose = lacking[same[0].subject, same[0].session]
            notes.append(
                f"{same[0].source}: masks without image, taken for a library; {len(same)} named as "
                f"patients of {whose} who have none: to use them so, put them into {whose}/derivatives"
            )
    return notes


def _with_unique_subjects(sources: Sequence[Sequence[CohortVolume]]) -> tuple[CohortVolume, ...]:
    """All volumes; a subject's name that several sources use gets its source in front."""
    uses = Counter(name for volumes in sources for name in {volume.subject for volume in volumes})
    return tuple(
        replace(volume, subject=f"{volume.source}-{volume.subject}") if uses[volume.subject] > 1 else volume
        for volumes in sources
        for volume in volumes
    )
