"""Headers of DICOM files: read without pixels, in silence, and never more of a file than a header takes."""

from __future__ import annotations

import contextlib
import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from typing import IO, Any

import pydicom
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from pseudohealthy.dicom.extra import MAGIC, MAGIC_PLACE
from pseudohealthy.dicom.sources import Member

FUNCTIONAL_GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")
MOST_FRAMES = 100_000
MOST_BYTES = 2**28  # that a header takes, with the tables of thousands of frames
_NO_PREAMBLE = (b"\x08\0", b"\x02\0")  # the first group of a file without preamble, as old archives write


class _Bounded:
    """A file of which at most `MOST_BYTES` can be read; what is passed over does not count."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._left = file, MOST_BYTES
        self.seek, self.tell, self.close = file.seek, file.tell, file.close

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self._left:
            raise ValueError("a header that is too long")
        self._left -= size
        return self._file.read(size)


def read_header(member: Member, tags: Sequence[str] | None = None) -> Dataset | None:
    """The header of a file; None where it is no DICOM file, or a damaged one.

    Args:
        member: the file.
        tags: keywords of what is read; None: all but the pixels.
    """
    try:
        with member.open() as file, silent():
            start = file.read(MAGIC_PLACE + len(MAGIC))
            if not (start.endswith(MAGIC) or start.startswith(_NO_PREAMBLE)):
                return None
            file.seek(0)
            header = pydicom.dcmread(
                _Bounded(file),
                stop_before_pixels=True,
                force=not start.endswith(MAGIC),
                specific_tags=None if tags is None else list(tags),
            )
            header.walk(lambda *_: None)  # which decodes what is decoded when it is used
            return header if _is_sound(header) else None
    except Exception:  # of whatever kind: a damaged file lets many libraries raise
        return None


def begins_as_dicom(member: Member) -> bool:
    """Whether a file has the mark of DICOM, or cannot even be opened."""
    try:
        with member.open() as file:
            return file.read(MAGIC_PLACE + len(MAGIC)).endswith(MAGIC)
    except Exception:  # as in `read_header`
        return True


def _is_sound(header: Dataset) -> bool:
    """Whether its tables are tables, and as long as tables are."""
    tables = [header[name].VR for name in FUNCTIONAL_GROUPS if name in header]
    return all(kind == "SQ" for kind in tables) and 1 <= frame_count(header) <= MOST_FRAMES


def frame_count(header: Dataset) -> int:
    """How many images a file holds."""
    return int(number(header, "NumberOfFrames") or 1)


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Without warnings and logs of pydicom and highdicom, which quote values of the header."""
    loggers = [logging.getLogger(name) for name in ("pydicom", "highdicom")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(), pydicom.config.disable_value_validation():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def value(header: Dataset, keyword: str, frame: int = 0) -> Any:
    """The value of an attribute; of a multi-frame image that of its frame, wherever its header holds it.

    None where it is absent or empty.
    """
    for place in _places(header, frame):
        found = place.get(keyword)
        if found is not None and found != "" and not (isinstance(found, MultiValue) and not found):
            return found
    return None


def _places(header: Dataset, frame: int) -> Iterator[Dataset]:
    """The frame's own functional groups, those that all frames share, and the header itself."""
    frames = header.get("PerFrameFunctionalGroupsSequence") or ()
    shared = header.get("SharedFunctionalGroupsSequence") or ()
    for groups in (*frames[frame : frame + 1], *shared[:1]):
        for element in groups:
            if element.VR == "SQ" and not element.tag.is_private and element.value:
                yield element.value[0]
    yield header


def numbers(header: Dataset, keyword: str, frame: int = 0) -> tuple[float, ...]:
    """The finite numbers of an attribute, as `value` finds it; empty where there are none."""
    found = value(header, keyword, frame)
    values = found if isinstance(found, list | tuple | MultiValue) else [found]
    try:
        found_numbers = tuple(float(each) for each in values)
    except (TypeError, ValueError, OverflowError):
        return ()
    return found_numbers if all(map(math.isfinite, found_numbers)) else ()


def number(header: Dataset, keyword: str, frame: int = 0) -> float | None:
    """The first number of an attribute; None where there is none."""
    return next(iter(numbers(header, keyword, frame)), None)


def words(header: Dataset, keyword: str) -> tuple[str, ...]:
    """The texts of an attribute in capitals, such as those of ImageType."""
    found = value(header, keyword)
    values = found if isinstance(found, list | tuple | MultiValue) else [found or ""]
    return tuple(str(each).strip().upper() for each in values)


def listed(found: Any) -> list[Any]:
    """The values of an attribute, of one or several; of none an empty text."""
    return list(found) if isinstance(found, list | tuple | MultiValue) else [found or ""]
