"""BIDS: `sub-*/[ses-*/]anat/*_FLAIR.nii[.gz]`, lesion masks and phantoms' truth in derivatives.

Only names are read, so a data set with a broken description or an unvalidated derivative can be used.
"""

from __future__ import annotations

import csv
from pathlib import Path

from pseudohealthy.config import SPLITS, Split
from pseudohealthy.data.layouts import (
    CohortVolume,
    Group,
    at_most_one,
    grouped,
    listed,
    natural,
    nifti_files,
    stem,
)
from pseudohealthy.errors import InputError

LOOKS_FOR = "BIDS: sub-*/[ses-*/]anat/*_FLAIR.nii[.gz] or derivatives/**/sub-*_label-lesion_mask.nii[.gz]"
IMAGES = ("sub-*/anat/sub-*_FLAIR.nii*", "sub-*/ses-*/anat/sub-*_FLAIR.nii*")
MASKS = ("derivatives/**/sub-*_mask.nii*", "sub-*/**/sub-*_mask.nii*")
TRUTHS = "derivatives/**/sub-*_desc-healthy_FLAIR.nii*"
LESION_LABELS = ("L", "lesion", "Lesion", "tumor")
GROUPS: tuple[Group, ...] = ("patient", "control")

Key = tuple[str, str | None]  # subject, session


def read(folder: Path, source: str) -> list[CohortVolume]:
    """The volumes of a BIDS folder, in natural order; none where it is not one.

    `participants.tsv` may give each subject a `split` (train, val, test) and a `group` (patient, control).
    A folder with lesion masks and no image is a bank of masks.

    Raises:
        InputError: a session with several images or masks, a mask without its image, or a participants.tsv
            that does not fit the files.
    """
    images = grouped(nifti_files(folder, *IMAGES), _session)
    masks = grouped((path for path in nifti_files(folder, *MASKS) if _is_lesion_mask(path)), _session)
    truths = grouped(nifti_files(folder, TRUTHS), _session)
    keys = images or masks
    if images and (orphans := [path for key in masks if key not in images for path in masks[key]]):
        names = listed(path.relative_to(folder).as_posix() for path in orphans)
        raise InputError(f"{folder}: no FLAIR image of the same subject and session for the masks {names}")
    people = _participants(folder, {subject for subject, _ in keys})
    volumes = []
    for subject, session in sorted(keys, key=lambda key: natural("_".join(filter(None, key)))):
        key, whose = (subject, session), f"{folder}: sub-{subject}" + (f" ses-{session}" if session else "")
        group, split = people.get(subject, ("patient", None))
        volumes.append(
            CohortVolume(
                subject=subject,
                group=group if images else "bank",
                image=at_most_one(images.get(key, []), "FLAIR image", whose),
                mask=at_most_one(masks.get(key, []), "lesion mask", whose),
                truth=at_most_one(truths.get(key, []), "healthy truth", whose),
                split=split,
                source=source,
                session=session,
                folder=folder,
            )
        )
    return volumes


def _entities(path: Path) -> dict[str, str]:
    """`sub-01_ses-2_label-L_mask` as `{"sub": "01", "ses": "2", "label": "L"}`."""
    pairs = (part.partition("-") for part in stem(path).split("_"))
    return {key: value for key, dash, value in pairs if dash}


def _is_lesion_mask(path: Path) -> bool:
    """Whether it is somebody's lesion mask, and not one that this program found."""
    entities = _entities(path)
    return entities.get("label") in LESION_LABELS and entities.get("desc") != "pseudohealthy"


def _session(path: Path) -> Key:
    entities = _entities(path)
    return entities["sub"], entities.get("ses")


def _participants(folder: Path, subjects: set[str]) -> dict[str, tuple[Group, Split | None]]:
    """Group and split by subject; empty without a participants.tsv."""
    table = folder / "participants.tsv"
    if not subjects or not table.exists():
        return {}
    people = {
        row["participant_id"].removeprefix("sub-"): (_group(row, table), _split(row, table))
        for row in _rows(table)
    }
    if missing := sorted(set(people) - subjects, key=natural):
        raise InputError(f"{table}: no file found for {listed(f'sub-{name}' for name in missing)}")
    with_split = {name for name, (_, split) in people.items() if split}
    unsplit = sorted(subjects - with_split, key=natural) if with_split else []
    if unsplit:
        names = listed(f"sub-{name}" for name in unsplit)
        raise InputError(f"{table}: no split for {names}; give every subject one, or none")
    return people


def _rows(table: Path) -> list[dict[str, str]]:
    try:
        with table.open(encoding="utf-8-sig", newline="") as lines:
            rows = list(csv.DictReader(lines, delimiter="\t", restval=""))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table}: cannot be read as a table ({error})") from error
    names = [row.get("participant_id", "") for row in rows]
    if not all(names):
        raise InputError(f"{table}: expected tab-separated columns, participant_id filled in each row")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"{table}: expected one row each, found several for {listed(twice)}")
    return rows


def _cell(row: dict[str, str], column: str) -> str | None:
    """The value of a cell; None for `n/a`, an empty cell, or no such column."""
    value = row.get(column, "").strip()
    return None if value in ("", "n/a") else value


def _group(row: dict[str, str], table: Path) -> Group:
    value = _cell(row, "group") or "patient"
    if value not in GROUPS:
        raise InputError(f"{table}: group {value!r} of {row['participant_id']}, expected patient or control")
    return value


def _split(row: dict[str, str], table: Path) -> Split | None:
    value = _cell(row, "split")
    if value is not None and value not in SPLITS:
        raise InputError(f"{table}: split {value!r} of {row['participant_id']}, expected train, val or test")
    return value
