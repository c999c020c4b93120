"""Which subjects and which FLAIR images of a BIDS data set are to be processed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pseudohealthy.data.layouts import listed, natural, nifti_files
from pseudohealthy.data.layouts.bids import IMAGES
from pseudohealthy.errors import InputError
from pseudohealthy.synthesis.output_files import output_stem

ENTITY = {"brain": "desc-brain", "lesion": "label-lesion"}


@dataclass(frozen=True)
class Subject:
    """A subject and its images.

    Attributes:
        label: as the folder's name, `sub-01`.
        images: FLAIR images of every requested session, run and acquisition, as paths inside the data set.
    """

    label: str
    images: tuple[str, ...]


@dataclass(frozen=True)
class Shard:
    """The `index`-th (from 1) of `count` parts of the sorted subjects: every `count`-th of them.

    Raises:
        InputError: there is no such part.
    """

    index: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise InputError(f"--shard {self.index}/{self.count}: expected I/N with I from 1 to N")

    @classmethod
    def of(cls, text: str) -> Shard:
        """The part that `I/N` names.

        Raises:
            InputError: it names none.
        """
        if not (numbers := re.fullmatch(r"(\d{1,9})/(\d{1,9})", text.strip())):
            raise InputError(f"--shard {text}: expected I/N, such as 1/10 for the first of ten parts")
        return cls(int(numbers[1]), int(numbers[2]))


def select(
    bids: Path, labels: Sequence[str] = (), sessions: Sequence[str] = (), shard: Shard | None = None
) -> list[Subject]:
    """Subjects in natural order, each with its FLAIR images; those without one are among them.

    Args:
        bids: the data set's folder.
        labels: of subjects, with or without `sub-`; none: all.
        sessions: labels with or without `ses-`; none: all. Subjects that have none of them are left out.
        shard: of the subjects that are left, only this part.

    Raises:
        InputError: not a data set, no FLAIR image of any requested subject, or a label that is nowhere in
            it.
    """
    subjects = _chosen(_folders(bids, "sub-*"), labels, "sub-", "--participant-label", bids)
    if sessions:
        existing = sorted({path.name for label in subjects for path in (bids / label).glob("ses-*/")})
        selected = _chosen(existing, sessions, "ses-", "--session-label", bids)
        subjects = [label for label in subjects if any((bids / label / name).is_dir() for name in selected)]
        images = _images(bids, *(f"sub-*/{name}/anat/sub-*_FLAIR.nii*" for name in selected))
    else:
        images = _images(bids, *IMAGES)
    chosen = [
        Subject(label, tuple(path for path in images if path.startswith(f"{label}/"))) for label in subjects
    ]
    if not any(subject.images for subject in chosen):
        whose = f" of {listed(subjects)}" if labels or sessions else ""
        raise InputError(
            f"{bids}: no FLAIR image there{whose}; expected sub-*/[ses-*/]anat/sub-*_FLAIR.nii[.gz]"
        )
    part = shard or Shard()
    return chosen[part.index - 1 :: part.count]


def mask_of(kind: Literal["brain", "lesion"], folder: Path, image: str) -> Path:
    """The mask of an image in BIDS derivatives, such as fMRIPrep's or HD-BET's of the brain.

    Args:
        kind: whose mask.
        folder: of the derivatives, with folders named as the data set's.
        image: its path in the data set.

    Raises:
        InputError: not exactly one mask is named after the image.
    """
    begin = output_stem(Path(image).name)
    place = folder / Path(image).parent
    names = [f"{begin}{more}_{ENTITY[kind]}_mask" for more in ("", "_FLAIR", "_space-orig")]
    paths = [place / f"{name}{end}" for name in names for end in (".nii.gz", ".nii")]
    found = [path for path in paths if path.is_file()]
    if len(found) != 1:
        raise InputError(
            f"{image}: {listed(path.name for path in found) or f'no {kind} mask'} in {place}; expected one "
            f"{names[0]}.nii.gz" + (", empty where there is no lesion" if kind == "lesion" else "")
        )
    return found[0]


def session(image: str) -> str | None:
    """`ses-1` of `sub-01/ses-1/anat/sub-01_ses-1_FLAIR.nii.gz`; None where there is no session."""
    second = image.split("/")[1]
    return second if second.startswith("ses-") else None


def _folders(bids: Path, pattern: str) -> list[str]:
    if not bids.is_dir():
        raise InputError(f"{bids}: no such folder; expected a BIDS data set")
    names = sorted((path.name for path in bids.glob(pattern) if path.is_dir()), key=natural)
    if not names:
        raise InputError(f"{bids}: no folder sub-* there; expected a BIDS data set")
    return names


def _images(bids: Path, *patterns: str) -> list[str]:
    return [path.relative_to(bids).as_posix() for path in nifti_files(bids, *patterns)]


def _chosen(existing: list[str], requested: Sequence[str], prefix: str, option: str, bids: Path) -> list[str]:
    """Those of `existing` that are requested, in the order of `existing`; all where none is requested."""
    names = {prefix + label.removeprefix(prefix) for label in requested}
    if unknown := sorted(names - set(existing), key=natural):
        expected = listed(existing) or f"its {prefix}*, and it has none"
        raise InputError(f"{option}: {bids} has no {listed(unknown)}; expected some of {expected}")
    return [name for name in existing if name in names] if names else existing
