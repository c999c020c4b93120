"""The series among many files, and the one of them that is wanted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from pseudohealthy.dicom.flair import MR_IMAGES, is_flair, is_mr, left_out
from pseudohealthy.dicom.headers import (
    FUNCTIONAL_GROUPS,
    begins_as_dicom,
    frame_count,
    listed,
    number,
    read_header,
    value,
)
from pseudohealthy.dicom.patient import PATIENT, shown
from pseudohealthy.dicom.slices import LEAST
from pseudohealthy.dicom.sources import Member
from pseudohealthy.errors import InputError

MOST_LISTED = 60
TAGS = (
    *("SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"),
    *("SeriesNumber", "SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName"),
    *("ImageType", "ComplexImageComponent", "SamplesPerPixel", "NumberOfFrames", "Rows"),
    *("InversionTime", "EchoTime", "RepetitionTime", "ScanningSequence"),
    *("PatientIdentityRemoved", *FUNCTIONAL_GROUPS),
    *PATIENT,
)


@dataclass(frozen=True, eq=False)
class Series:
    """Images of one SeriesInstanceUID; where there are magnitude and other images, the magnitude alone.

    Attributes:
        uid: of the series.
        number: as the scanner counts; None where it is absent.
        description: one line, which may be empty; without what tells the patient.
        header: of the first image.
        members: the images' files, each once.
        slices: images in them.
        others: images that are not the magnitude.
    """

    uid: str
    number: int | None
    description: str
    header: Dataset
    members: tuple[Member, ...]
    slices: int
    others: int

    @property
    def name(self) -> str:
        """For messages."""
        return f"series {self.number if self.number is not None else self.uid}"

    @property
    def row(self) -> str:
        """For lists: number, description, slices, and why it is not looked at."""
        why = left_out(self.header)
        what = f"{self.slices} slice{'s' * (self.slices != 1)}{f', {why}' if why else ''}"
        return (
            f"{'-' if self.number is None else self.number}: {self.description or 'no description'} ({what})"
        )


def find_series(
    path: Path, members: Sequence[Member], progress: Callable[[int, int, str], None] = lambda *_: None
) -> tuple[list[Series], int]:
    """All series of images among these files, by number; and how many files are damaged and could be images.

    Args:
        path: of what was given, for messages.
        members: its files; those that are no images, and damaged ones, are passed over.
        progress: is called with files read, files in all, and "".

    Raises:
        InputError: there are none.
    """
    found: dict[str, dict[str, tuple[Member, Dataset]]] = defaultdict(dict)
    damaged = 0
    for done, member in enumerate(members):
        progress(done, len(members), "")
        header = read_header(member, TAGS)
        if header is not None and value(header, "Rows") and (uid := _series_uid(header)):
            image = str(value(header, "SOPInstanceUID") or done)  # a copy of a file has the same
            found[uid].setdefault(image, (member, header))
        elif _could_be_image(member, header):
            damaged += 1
    if not found:
        of_them = f", {damaged} of them damaged" if damaged else ""
        raise InputError(
            f"{path}: no DICOM images among {len(members)} files{of_them}; expected the files of a scan, or "
            "the path of a NIfTI file"
        )
    every = [_series(uid, list(images.values())) for uid, images in found.items()]
    return sorted(every, key=lambda each: (each.number is None, each.number or 0, each.uid)), damaged


def _series_uid(header: Dataset) -> str:
    """Of the series that an image is of; "" where it does not say of which one."""
    uids = listed(value(header, "SeriesInstanceUID"))
    return str(uids[0]) if len(uids) == 1 else ""


def _could_be_image(member: Member, header: Dataset | None) -> bool:
    """Whether a file of which no image's header is read could be one: DICOM of no kind, or of that kind."""
    kind = getattr(header, "file_meta", {}).get("MediaStorageSOPClassUID")
    return begins_as_dicom(member) if kind is None else str(kind) in MR_IMAGES


def _series(uid: str, every: list[tuple[Member, Dataset]]) -> Series:
    images = [each for each in every if not left_out(each[1])] or every
    header = images[0][1]
    count = number(header, "SeriesNumber")
    return Series(
        uid,
        None if count is None else int(count),
        shown(header, "SeriesDescription") or shown(header, "ProtocolName"),
        header,
        tuple(member for member, _ in images),
        sum(frame_count(each) for _, each in images),
        len(every) - len(images),
    )


def choose(label: str, every: Sequence[Series], request: str | None = None) -> Series:
    """The series that is wanted.

    Args:
        label: of what was given, for messages.
        every: the series there are.
        request: a UID, a number or a part of the description; None: the one FLAIR.

    Raises:
        InputError: none or several are meant; its lines list those that there are.
    """
    if request is None:
        fitting = [each for each in every if each.slices >= LEAST and is_flair(each.header)]
        what = "FLAIR series"
    else:
        fitting = _requested(every, request)
        what = f"series for --series {request}"
    if len(fitting) != 1:
        count = f"{len(fitting)}" if fitting else "no"
        rows = _listed(fitting or every)
        raise InputError(
            f"{label}: {count} {what}; expected one, so choose with --series (its number, UID or a part of "
            f"its description), or give one alone, of\n  {rows}"
        )
    (chosen,) = fitting
    if not is_mr(chosen.header):
        raise InputError(f"{label}: {chosen.name} holds no MR images; expected a FLAIR, so choose another")
    return chosen


def _requested(every: Sequence[Series], request: str) -> list[Series]:
    """Those of this UID; else of this number; else with this in their description, left out ones last."""

    def described(each: Series) -> bool:
        return request.casefold() in each.description.casefold()

    tests: Iterable[Callable[[Series], bool]] = (
        lambda each: each.uid == request,
        lambda each: str(each.number) == request,
        lambda each: described(each) and not left_out(each.header),
        described,
    )
    return next((fitting for test in tests if (fitting := [each for each in every if test(each)])), [])


def _listed(every: Sequence[Series]) -> str:
    """A line for each; with its UID where numbers are there twice."""
    counts = [each.number for each in every]
    rows = [f"{each.row}{f', UID {each.uid}' if counts.count(each.number) > 1 else ''}" for each in every]
    more = len(rows) - MOST_LISTED
    return "\n  ".join([*rows[:MOST_LISTED], *([f"and {more} more"] if more > 0 else [])])
