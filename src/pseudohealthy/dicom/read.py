"""A scan as it comes from a scanner or an archive: its FLAIR found, checked and converted."""

from __future__ import annotations

import contextlib
import hashlib
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import dcm2niix
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID, ImplicitVRLittleEndian

from pseudohealthy.data.nifti_file import MOST_VOXELS
from pseudohealthy.data.volume import Volume
from pseudohealthy.dicom.conversion import convert
from pseudohealthy.dicom.headers import MOST_BYTES, frame_count, listed, number, read_header, silent, value
from pseudohealthy.dicom.patient import anonymous_name
from pseudohealthy.dicom.scale import Scale
from pseudohealthy.dicom.series import Series, choose, find_series
from pseudohealthy.dicom.series_report import SeriesReport
from pseudohealthy.dicom.slices import Slice, VoxelOrder, at_one_place, expect_a_stack, in_order, slices_of
from pseudohealthy.dicom.sources import Member, opened
from pseudohealthy.errors import InputError, PseudohealthyError

NEUTRAL = "dicom"
UNIQUE = ("SOPInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID")  # of which an image has one at most


@dataclass(frozen=True, eq=False)
class Scan:
    """A series as a volume, and the slices that it was made of.

    Attributes:
        name: what files that are made of it are named after; nothing that tells the patient is in it.
        volume: its voxels, with nothing of the headers but grid and units.
        scale: how its intensities are stored in the slices; None: in each slice otherwise.
        slices: from one end to the other, without their pixels.
        order: how the volume's voxels lie in the slices.
        report: which series it was.
        notes: what was left out, and what may be missing.
    """

    name: str
    volume: Volume
    scale: Scale | None
    slices: tuple[Slice, ...]
    order: VoxelOrder
    report: SeriesReport
    notes: tuple[str, ...]


def read_scan(
    source: str | Path,
    request: str | None = None,
    progress: Callable[[int, int, str], None] = lambda *_: None,
) -> Scan:
    """The series that is wanted of a folder, a zip archive or a file.

    Args:
        source: its path.
        request: UID, number or a part of the description of the series; None: the one FLAIR.
        progress: is called with files read, files in all, and "".

    Raises:
        InputError: there is no such series, or not one alone, or it is no whole volume.
        PseudohealthyError: the disk for temporary files is full.
    """
    path = Path(source)
    with silent(), _in_one_line(path), opened(path) as members:
        every, damaged = find_series(path, members, progress)
        if len(members) == 1 and every[0].slices == 1:
            raise InputError(f"{path}: one slice of a series; expected all of it, so give its folder")
        label = reduce(anonymous_name, (each.header for each in every), str(path))
        chosen = choose(label, every, request)
        name = _name(path, chosen.header)
        with _about(label, chosen):
            slices, files, copies = _stack(chosen)
            volume, scale = convert(files, Path(name) if name == NEUTRAL else _place(path).with_name(name))
            order = VoxelOrder.between(slices, volume.affine, volume.data.shape)
            if order is None:
                raise InputError(
                    "its headers and dcm2niix place its voxels differently; convert it, look where left and "
                    "right are, and give the NIfTI file"
                )
    notes = [
        *_maybe_missing(chosen, slices, damaged),
        *([f"{copies} slice{'s' * (copies > 1)} that had a copy: one of each was taken"] if copies else []),
    ]
    if name == NEUTRAL:
        notes.append(
            f"files are named {NEUTRAL}, for the input's own name holds the patient's name, id or birth date"
        )
    report: SeriesReport = {
        "number": chosen.number,
        "description": chosen.description,
        "slices": len(slices),
        "converter": f"dcm2niix {dcm2niix.__version__}",
        "notes": notes,
    }
    return Scan(name, volume, scale, tuple(slices), order, report, tuple(notes))


def _maybe_missing(chosen: Series, slices: Sequence[Slice], damaged: int) -> Iterator[str]:
    """Why slices may lack at an end, where no gap shows it."""
    if damaged == 1:
        yield "1 file that could not be read, which may be a slice at an end"
    elif damaged:
        yield f"{damaged} files that could not be read, which may be slices at an end"
    instances = {int(number(each.header, "InstanceNumber") or 0) for each in slices}
    if not chosen.others and len(instances) == len(slices) and min(instances) > 1:
        yield f"its slices are numbered from {min(instances)} on, so slices may be missing at an end"


def _stack(chosen: Series) -> tuple[list[Slice], list[Member], int]:
    """The slices in order, the files that hold them, and how many copies were left out."""
    groups = at_one_place(in_order(slices_of([_whole_header(member) for member in chosen.members])))
    for group in groups:
        if len(group) > 1 and len({_content(chosen.members[each.file], each) for each in group}) > 1:
            raise InputError(
                f"holds {len(group)} different images at one place, {sum(map(len, groups))} at {len(groups)} "
                "places; expected one volume, so export it as one"
            )
    slices = [group[0] for group in groups]
    rows, columns = slices[0].shape
    if rows * columns * len(slices) > MOST_VOXELS:
        raise InputError(
            f"has {len(slices)} slices of {rows} x {columns}, more voxels than 1024 x 1024 x 512; expected a "
            "head, so check the headers"
        )
    expect_a_stack(slices)
    files = [chosen.members[file] for file in sorted({each.file for each in slices})]
    return slices, files, sum(map(len, groups)) - len(groups)


def _whole_header(member: Member) -> Dataset:
    """All of a header but its pixels, of which the file must hold enough, and little besides.

    Raises:
        InputError: it does not, or an identifier has several values.
    """
    header = read_header(member)
    if header is None:  # though it was read a moment ago
        raise InputError("a file of it is damaged; fetch it again")
    for keyword in UNIQUE:
        if (count := len(listed(value(header, keyword)))) > 1:
            raise InputError(f"an image with {count} {keyword}s; expected one, so export the series again")
    sizes = ("Rows", "Columns", "BitsAllocated", "SamplesPerPixel", "NumberOfFrames")
    pixels = math.prod(int(number(header, keyword) or 1) for keyword in sizes) // 8
    syntax = UID(str(header.file_meta.get("TransferSyntaxUID", ImplicitVRLittleEndian)))
    instance = number(header, "InstanceNumber")
    what = (
        f"the file of its image {instance:g}" if instance else "a file of it"
    )  # whose name may be anybody's
    if not (syntax.is_compressed or syntax.is_deflated) and member.size < pixels:
        raise InputError(f"{what} ends in the middle of its pixels; fetch it again")
    if member.size > pixels + MOST_BYTES:  # compressed ones are smaller
        raise InputError(f"{what} is far larger than its image; export the series again")
    return header


def _content(member: Member, one: Slice) -> bytes | int:
    """A digest of an image's pixels as they are stored; of one among several in a file, its number."""
    if frame_count(one.header) > 1:
        return one.frame
    with member.open() as file, silent():
        return hashlib.sha256(pydicom.dcmread(file, force=True).get("PixelData", b"")).digest()


def _place(path: Path) -> Path:
    """The path with a name at its end; a link's own, for what it leads to may be named after anybody."""
    return path if path.name not in ("", "..") else path.resolve()


def _name(path: Path, header: Dataset) -> str:
    """The name of a folder or file without its ending; "dicom" where it tells the patient."""
    place = _place(path)
    name = (
        place.name
        if path.is_dir()
        else re.sub(r"(\.(zip|dcm|dicom|ima|nii|gz))+$", "", place.name, flags=re.I)
    )
    return name if name and anonymous_name(name, header) == name else NEUTRAL


@contextlib.contextmanager
def _in_one_line(path: Path) -> Iterator[None]:
    """Whatever damaged headers let libraries raise becomes an `InputError`."""
    try:
        yield
    except (PseudohealthyError, OSError):
        raise
    except Exception as error:
        raise InputError(
            f"{path}: a damaged header ({type(error).__name__}); export the series again, or convert it and "
            "give the NIfTI file"
        ) from error


@contextlib.contextmanager
def _about(label: str, chosen: Series) -> Iterator[None]:
    """Errors begin with what was given and the series."""
    try:
        yield
    except PseudohealthyError as error:
        raise type(error)(f"{label}: {chosen.name}: {error}") from error
