"""Where DICOM files lie: in a folder, a zip archive or alone. Each is opened to be read; none is unpacked."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from pseudohealthy.dicom.extra import is_archive
from pseudohealthy.errors import InputError

MOST_FILES = 200_000
MOST_BYTES = 32 * 2**30  # of all that an archive unpacks to; a large study has a tenth of it
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
_ENCRYPTED = 0x1  # bit of a member's flags
_TYPE = 16  # bits of a member's attributes below its Unix mode


@dataclass(frozen=True)
class Member:
    """One file. Its name may be a patient's, so it is never shown.

    Attributes:
        open: opens it to be read.
        size: bytes.
        path: where it lies; None in an archive.
    """

    open: Callable[[], IO[bytes]]
    size: int
    path: Path | None = None


@contextlib.contextmanager
def opened(path: Path) -> Iterator[list[Member]]:
    """The files of a folder, at any depth, or of a zip archive, or the one file.

    Links to folders are not followed in a folder, and no links in an archive. An archive's members are read
    in place: none of their names becomes a path.

    Raises:
        InputError: there are too many files, or an archive is damaged, encrypted, of an unknown compression,
            too large, or names places outside itself.
    """
    if path.is_dir():
        yield _in_folder(path)
    elif is_archive(path):
        with _archive(path) as archive:
            yield _in_archive(path, archive)
    else:
        yield [Member(lambda: path.open("rb"), path.stat().st_size, path)]


def _in_folder(folder: Path) -> list[Member]:
    members: list[Member] = []
    for place, _, names in os.walk(folder):
        for path in (Path(place, name) for name in names):
            with contextlib.suppress(OSError):  # a link to nothing, a file that goes away just now
                status = path.stat()
                if stat.S_ISREG(status.st_mode):  # a pipe would be waited for
                    members.append(Member(_opener(path), status.st_size, path))
        _expect_no_more(folder, len(members))
    return sorted(members, key=lambda member: os.fsencode(member.path or ""))


def _opener(path: Path) -> Callable[[], IO[bytes]]:
    return lambda: path.open("rb")


@contextlib.contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as error:
        raise InputError(f"{path}: a damaged zip archive; fetch it again") from error
    with archive:
        yield archive


def _in_archive(path: Path, archive: zipfile.ZipFile) -> list[Member]:
    files = [info for info in archive.infolist() if not info.is_dir()]
    _expect_no_more(path, len(files))
    if any(_leads_out(info.filename) for info in files):
        raise InputError(
            f"{path}: names files outside itself (with '..', or from the root on); expected an archive of "
            "one folder, so make it again"
        )
    if any(info.flag_bits & _ENCRYPTED for info in files):
        raise InputError(f"{path}: an encrypted zip archive; unpack it, and give the folder")
    if any(info.compress_type not in _COMPRESSIONS for info in files):
        raise InputError(
            f"{path}: a zip archive of a compression that is not known here; unpack it, and give the folder"
        )
    total = sum(info.file_size for info in files)
    if total > MOST_BYTES:
        raise InputError(
            f"{path}: unpacks to {total / 2**30:.0f} GB; expected one study, {MOST_BYTES / 2**30:.0f} GB at "
            "most, so unpack it and give the study's folder"
        )
    regular = (info for info in files if stat.S_IFMT(info.external_attr >> _TYPE) in (0, stat.S_IFREG))
    return [Member(_member_opener(archive, info), info.file_size) for info in regular]


def _member_opener(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], IO[bytes]]:
    return lambda: archive.open(info)


def _leads_out(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or bool(re.match(r"[A-Za-z]:", name))


def _expect_no_more(path: Path, count: int) -> None:
    if count > MOST_FILES:
        raise InputError(
            f"{path}: holds more than {MOST_FILES} files; expected one study, so give its own folder"
        )
