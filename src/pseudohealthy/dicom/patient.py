"""What tells who the patient is, and texts without it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydicom.dataset import Dataset

from pseudohealthy.dicom.folding import folded
from pseudohealthy.dicom.headers import listed, value
from pseudohealthy.errors import printable

LONGEST_TEXT = 60  # characters of a description that are shown
SHORTEST, LONG = 3, 5  # characters of a name that could tell a person, and that is found within words
_NAMES = ("PatientName", "OtherPatientNames", "PatientBirthName", "PatientID", "OtherPatientIDs")
_BIRTH = "PatientBirthDate"
PATIENT = (*_NAMES, "AccessionNumber", _BIRTH)


def shown(header: Dataset, keyword: str) -> str:
    """A text of the header in one short line, without what tells the patient."""
    given = str(value(header, keyword) or "")[: 100 * LONGEST_TEXT]
    text = " ".join(re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", given).split())
    text = printable("".join(each for each in text if each.isprintable()))
    text = anonymous(text, header)
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 3]}..."


def anonymous(text: str, header: Dataset) -> str:
    """A text with stars in place of what tells the patient, whatever its spelling.

    Those are names, ids, the accession number and the date of birth. Long ones are found within words too,
    short ones only where no letter or digit stands beside them.
    """
    letters, places = folded(text)
    spans: list[tuple[int, int]] = []
    for each in identifiers(header):
        start = letters.find(each)
        while start >= 0:
            begin, end = places[start][0], places[start + len(each) - 1][1]
            alone = not (text[:begin][-1:].isalnum() or text[end : end + 1].isalnum())
            if alone or len(each) >= LONG:
                spans.append((begin, end))
            start = letters.find(each, start + 1)
    result, done = "", 0
    for begin, end in sorted(spans):
        if begin > done or not done:
            result += f"{text[done:begin]}***"
        done = max(done, end)
    return result + text[done:]


def anonymous_name(name: str, header: Dataset) -> str:
    """As `anonymous`, but a name that is the pseudonym of an image without the patient's identity stays."""
    removed = str(value(header, "PatientIdentityRemoved") or "").strip().upper() == "YES"
    return name if removed else anonymous(name, header)


def identifiers(header: Dataset) -> list[str]:
    """What tells the patient, as `folded` gives it: names and their parts, ids, and dates of birth."""
    found = {
        each
        for keyword in PATIENT
        for text in listed(header.get(keyword))
        for parts in (_dates(str(text)) if keyword == _BIRTH else _names(str(text)))
        if _tells("".join(parts))
        for each in (folded("".join(parts))[0], "".join(folded(part)[0] for part in parts))
    }
    return sorted(found)


def _names(text: str) -> Iterator[tuple[str, ...]]:
    """Of each spelling (Latin, ideographic, phonetic) what stands together: a part, all, the first two."""
    for spelling in text.split("="):
        parts = tuple(filter(None, re.split(r"[\^\s,]+", spelling)))
        yield from ((part,) for part in parts)
        yield from (parts, parts[:2], parts[1::-1])


def _dates(text: str) -> Iterator[tuple[str, ...]]:
    """A date of birth as year, month and day, and as others order them; none where it is no whole one."""
    if found := re.fullmatch(r"(\d{4})\D?(\d\d)\D?(\d\d)", text.strip()):
        year, month, day = found.groups()
        yield from ((year, month, day), (day, month, year), (month, day, year))


def _tells(text: str) -> bool:
    """Whether it is long enough to tell a person; names in other scripts may have two characters."""
    count = sum(map(str.isalnum, text))
    return count >= (SHORTEST if text.isascii() else SHORTEST - 1)
