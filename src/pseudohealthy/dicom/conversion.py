"""A series as a volume, converted by dcm2niix in a folder of its own that is gone afterwards."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import dcm2niix
import numpy as np

from pseudohealthy.data.nifti_file import open_nifti
from pseudohealthy.data.volume import Volume, volume_from_image
from pseudohealthy.dicom.scale import Scale
from pseudohealthy.dicom.sources import Member
from pseudohealthy.errors import InputError, PseudohealthyError
from pseudohealthy.files import MEGABYTE, folder_beside, temporary_folder

NAME = "image"
ROOM = 64 * MEGABYTE  # a disk with less is full
OPTIONS = (
    *("-g", "i"),  # whatever the user's own defaults are
    *("-b", "n", "-z", "n", "-f", NAME),
    *("-m", "y"),  # one image of one series, whatever else changes from slice to slice
    *("-p", "n"),  # intensities in the units that viewers show, which the derived series has too
    *("-x", "i"),  # neither cropped nor turned
)
TEXTS = ("descrip", "aux_file", "db_name", "intent_name")  # of a NIfTI header, where dates and comments go


def convert(members: Sequence[Member], path: Path) -> tuple[Volume, Scale | None]:
    """The volume of a series, with nothing of its headers but grid and units; and how it is stored.

    The scale is None where it is not one for all slices.

    Args:
        members: the files of the series' images.
        path: what the volume is said to be of.

    Raises:
        InputError: a file is damaged, or dcm2niix makes no volume of them, or several.
        PseudohealthyError: there is no room for them, or no folder for temporary files.
    """
    with folder_beside(temporary_folder()) as folder:
        dicom, nifti = folder / "dicom", folder / "nifti"
        _gather(members, dicom)
        nifti.mkdir()
        code = subprocess.run(
            [dcm2niix.bin, *OPTIONS, "-o", str(nifti), str(dicom)],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # which may quote the headers
            stderr=subprocess.DEVNULL,
        ).returncode
        made = sorted(nifti.glob("*.nii"))
        if code or len(made) != 1:
            _expect_room(folder)
            count = f"{len(made) or 'no'} volume{'s' * (len(made) != 1)}"
            raise InputError(
                f"dcm2niix made {count} of its {len(members)} files (exit code {code}); expected one (exit "
                "code 0), so export the series again, or convert it and give the NIfTI file"
            )
        try:
            image = open_nifti(made[0])
        except InputError as error:
            _expect_room(folder)
            raise InputError(str(error).replace(str(made[0]), "the volume made of it")) from error
    for field in TEXTS:
        image.header[field] = b""
    image.header.extensions.clear()
    stored, proxy = image.get_data_dtype(), image.dataobj
    # The header has 32-bit numbers, of which the shortest decimals are those of DICOM
    slope, intercept = (float(str(np.float32(each))) for each in (proxy.slope, proxy.inter))
    scale = Scale(slope, intercept) if stored.kind in "iu" else None
    return replace(volume_from_image(image), path=path), scale


def _gather(members: Sequence[Member], folder: Path) -> None:
    """Put the files, or links to them, into a new folder, under numbers in place of their names."""
    folder.mkdir()
    with _readable():
        for index, member in enumerate(members):
            place = folder / f"{index:06d}.dcm"
            if member.path is not None:
                with contextlib.suppress(OSError):  # where links are not allowed, a copy
                    place.symlink_to(member.path.absolute())
                    continue
            with member.open() as file, place.open("wb") as copy:
                shutil.copyfileobj(file, copy, 2**20)


def _expect_room(folder: Path) -> None:
    """Where a conversion has failed and the disk is full, that is why."""
    if shutil.disk_usage(folder).free < ROOM:
        raise PseudohealthyError(_no_room("the disk is full"))


def _no_room(reason: str) -> str:
    return (
        f"its files cannot be written to {temporary_folder()} ({reason}); make room there, or set TMPDIR "
        "to a folder with room"
    )


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """What is wrong with a file, or with the disk, in one line without the file's name."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise InputError("a file of it is damaged in the archive; fetch the archive again") from error
    except OSError as error:
        raise PseudohealthyError(_no_room(str(error.strerror))) from error
