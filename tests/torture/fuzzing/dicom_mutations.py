"""How a sound DICOM file or archive of such files is changed into one that nobody should rely on."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from collections.abc import Iterator
from random import Random

import numpy as np

from torture.fuzzing.mutations import FLOATS, INTEGERS, ODD_TEXTS, bytes_changed

LONG_KINDS = (b"OB", b"OW", b"OF", b"OD", b"OL", b"SQ", b"UC", b"UR", b"UT", b"UN")  # of a length of 32 bits
NUMBERS = {b"US": "<u2", b"SS": "<i2", b"UL": "<u4", b"SL": "<i4", b"FL": "<f4", b"FD": "<f8"}
DICOM_TEXTS = (
    *(
        "1.2\\3.4",
        "1.2.3",
        "1..2",
        "1" * 65,
        "\\",
        "\\\\1",
        "1\\nan\\inf",
        "0\\0",
        "1\\0\\0\\0\\1\\0",
        "1e-320",
    ),
    *(
        "ISO_IR 192",
        "ISO 2022 IR 87",
        "\x1b$B",
        "MR",
        "DERIVED\\SECONDARY",
        "FLAIR",
        "20260230",
        "1.2.840.10008.1.2.4.70",
    ),
    *("a^b=c=d", "NaN", "Infinity", "-0", "1,5", "0x10", " 5 ", "5\0", "9" * 17),
)
ZIP_NAMES = ("../up", "/etc/x", "C:\\x", "a/../../b", "a" * 60_000, "dir/", "IM00000", "\\..\\x")


def elements_changed(random: Random, content: bytes) -> bytes:
    """A DICOM file with elements of odd or several values, of another kind or length, doubled or removed."""
    begin = content.find(b"\x08\0\x05\0")  # the first behind the preamble and the meta header
    elements = list(_elements(content, begin))
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        _change_element(random, elements, random.randrange(len(elements)))
    return content[:begin] + b"".join(map(_encoded, elements))


Element = tuple[bytes, bytes, bytes, int]  # tag, kind (VR), value, and the length that is said


def _elements(content: bytes, at: int) -> Iterator[Element]:
    """Of explicit VR, little endian; sequences are one, as are pixels."""
    while at < len(content):
        tag, kind = content[at : at + 4], content[at + 4 : at + 6]
        form, start = ("<I", at + 12) if kind in LONG_KINDS else ("<H", at + 8)
        (length,) = struct.unpack_from(form, content, start - struct.calcsize(form))
        yield tag, kind, content[start : start + length], length
        at = start + length


def _encoded(element: Element) -> bytes:
    tag, kind, value, length = element
    form = struct.pack("<HI", 0, length % 2**32) if kind in LONG_KINDS else struct.pack("<H", length % 2**16)
    return tag + kind + form + value


def _change_element(random: Random, elements: list[Element], at: int) -> None:
    tag, kind, value, length = elements[at]
    odd, change = value, random.randrange(9)
    if change == 0:
        elements[at : at + 1] = random.choice(([], [elements[at]] * 2))
        return
    if change == 1:
        kind = random.choice((b"SQ", b"UI", b"DS", b"IS", b"US", b"FD", b"OW", b"UN", b"PN", b"AT", b"XX"))
    elif change == 2:
        length = random.choice((0, 1, length - 1, length + 1, len(value) * 2, 0xFFFF, 0xFFFFFFFF, 2**31))
        elements[at] = (tag, kind, value, max(length, 0))
        return
    elif change == 3:
        odd = value.rstrip(b"\0 ") + b"\\" + value
    elif change == 4:
        odd = elements[random.randrange(len(elements))][2]
    elif change == 5:
        odd = bytes_changed(random, value)
    elif kind in NUMBERS:
        count, form = random.choice((0, 1, 1, 1, 2, 3, 7)), NUMBERS[kind]
        odd = b"".join(_number(random, form) for _ in range(count))
    else:
        odd = random.choice((*ODD_TEXTS, *DICOM_TEXTS)).encode("utf-8", "surrogatepass")
    odd += b" " * (len(odd) % 2)
    elements[at] = (tag, kind, odd, len(odd))


def _number(random: Random, form: str) -> bytes:
    if form[-1] in "df":
        return np.array(random.choice(FLOATS), form).tobytes()
    size = 2 ** (8 * np.dtype(form).itemsize)
    return int(random.choice(INTEGERS) % size).to_bytes(np.dtype(form).itemsize, "little")


def archive_changed(random: Random, content: bytes) -> bytes:
    """A zip archive with members of odd names, kinds, sizes or contents, or damaged bytes."""
    if random.random() < 0.3:
        return bytes_changed(random, content)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(info, archive.read(info)) for info in archive.infolist()]
    file = io.BytesIO()
    chosen = random.sample(range(len(members)), random.choice((1, 1, 2)))
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # of a name that is there twice
        for at, (info, inner) in enumerate(members):
            if at not in chosen:
                archive.writestr(info, inner)
                continue
            _add_changed(random, archive, info, inner, content)
    packed = file.getvalue()
    if random.random() < 0.2:
        at = packed.rfind(b"PK\1\2")  # in the directory: version, flags, compression, sizes
        packed = packed[: at + 4] + bytes_changed(random, packed[at + 4 : at + 46]) + packed[at + 46 :]
    return packed


def _add_changed(
    random: Random, archive: zipfile.ZipFile, info: zipfile.ZipInfo, inner: bytes, whole: bytes
) -> None:
    kind = random.randrange(7)
    if kind == 0:
        info.filename = random.choice((*ODD_TEXTS[:-1], *ZIP_NAMES)).encode("utf-8", "replace").decode()
    elif kind == 1:
        info.external_attr = random.choice((0o120777, 0o010644, 0o020644, 0o040755, 0o140755)) << 16
        inner = random.choice((inner, b"/etc/passwd"))
    elif kind == 2:
        info.compress_type = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    elif kind == 3:
        inner = random.choice((whole, b"", bytes(30_000_000)))
    elif kind == 4:
        archive.writestr(info, inner)
    elif kind == 5:
        return
    if random.random() < 0.5:
        inner = elements_changed(random, inner) if b"DICM" in inner[:132] else bytes_changed(random, inner)
    archive.writestr(info, inner)
