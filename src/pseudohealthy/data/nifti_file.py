"""NIfTI files, recognised by their content, read to their end and checked before memory is taken for them."""

from __future__ import annotations

import bz2
import contextlib
import io
import math
import re
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import nibabel
import numpy as np
from nibabel.imageglobals import logger
from numpy.typing import NDArray

from pseudohealthy.errors import InputError
from pseudohealthy.files import sha256_of

GZIP, BZIP2 = b"\x1f\x8b", b"BZh"
MOST_VOXELS = 2**29  # 1024 x 1024 x 512: beyond it a header is taken to be damaged
SLACK = 2**26  # bytes that may follow the voxels in a compressed file; more is not what its header says
_CHUNK = 2**20

_KINDS = {  # by the header's size: of one file, of a header and an image file
    348: (nibabel.Nifti1Image, nibabel.Nifti1Pair),
    540: (nibabel.Nifti2Image, nibabel.Nifti2Pair),
}
_MAGIC = {348: (344, (b"n+1\0", b"ni1\0")), 540: (4, (b"n+2\0", b"ni2\0"))}

_OTHERS = (  # place and content of what tells another format, its name, what to do
    (128, b"DICM", "a DICOM file", "convert the series with e.g. dcm2niix"),
    (0, b"\0\0\0\1", "an MGH file (FreeSurfer)", "convert it with e.g. mri_convert"),
    (0, b"CDF", "a MINC file (netCDF)", "convert it with e.g. mnc2nii"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file (MINC?)", "convert it with e.g. mnc2nii"),
    (0, b"NRRD", "an NRRD file", "convert it with e.g. SimpleITK"),
    (0, b"ObjectType", "a MetaImage file", "convert it with e.g. SimpleITK"),
    (0, b"NDims", "a MetaImage file", "convert it with e.g. SimpleITK"),
    (0, b"MATLAB", "a MATLAB file", "save its array as NIfTI"),
    (0, b"PK\3\4", "a zip archive", "unpack it"),
    (0, b"\xfd7zXZ", "compressed with xz", "unpack it"),
    (0, b"\x28\xb5\x2f\xfd", "compressed with zstd", "unpack it"),
    (0, b"version https://git-lfs", "a pointer of Git LFS, not the file", "fetch it with git lfs pull"),
    (0, b"/annex/objects", "a pointer of git-annex, not the file", "fetch it with datalad get"),
)


def open_nifti(path: Path) -> Any:
    """The image in a NIfTI-1 or -2 file, or pair of files, as nibabel opens it; all its bytes are in memory.

    Compression is recognised by the content, whatever the name. All that is compressed is read to its end,
    where its checksum stands.

    Raises:
        InputError: one line for what is missing, unreadable, damaged, not NIfTI, or not one 3-D volume of
            real numbers.
    """
    _check_readable(path)
    with _one_line(path):
        header_file, image_file = _files(path)
        content = _Content(header_file)
        header = _header(path, content)
        single, pair = _KINDS[int(header["sizeof_hdr"])]
        check_voxels(header.get_data_shape(), _dtype(header), str(path))
        if image_file == header_file:
            _check_single(path, header)
            return _opened(single, image=_voxel_bytes(path, content, header))
        content.read(SLACK)
        image = _voxel_bytes(image_file, _Content(image_file), header)
        return _opened(pair, header=content.buffer, image=image)


def sha256_of_nifti(path: Path) -> str:
    """SHA-256 of a NIfTI file, of which no more than that is checked.

    Raises:
        InputError: it is missing, empty, no file, or cannot be read.
    """
    _check_readable(path)
    try:
        return sha256_of(path)
    except OSError as error:
        raise _unreadable(path, error) from error


def check_voxels(shape: tuple[int, ...], dtype: np.dtype[Any], name: str) -> None:
    """Raise an `InputError` unless these are one volume (I, J), (I, J, K) of real numbers."""
    shape = tuple(int(n) for n in shape)
    if len(shape) < 2 or any(n != 1 for n in shape[3:]) or min(shape) < 1:
        raise InputError(
            f"{name} has shape {shape}; expected one 3-D volume, so extract one with e.g. fslroi or nibabel"
        )
    if math.prod(shape) > MOST_VOXELS:
        raise InputError(
            f"{name} has shape {shape}, more voxels than 1024 x 1024 x 512; expected a head, so "
            "check the header"
        )
    if dtype.kind not in "buif":
        raise InputError(
            f"{name} holds {dtype} voxels; expected real numbers, so convert it to one grey value a voxel"
        )


def voxels(image: Any, name: str) -> NDArray[np.float32]:
    """All voxels of an image that nibabel has opened, scaled as its header says.

    Raises:
        InputError: they cannot be read, or there is no memory for them.
    """
    with _one_line(name), _silent():
        return np.asarray(image.dataobj, dtype=np.float32)  # beyond float32 is infinite, and refused as such


def pixdim(image: Any) -> list[float]:
    """Voxel sizes as they stand in the file (nibabel mends its own copy), of axes longer than one voxel.

    Those of an image that nibabel has read or made itself are as nibabel has them.
    """
    file = image.file_map.get("header", image.file_map["image"]).fileobj
    header = image.header
    if isinstance(file, io.BytesIO):
        file.seek(0)
        header = type(header)(file.read(int(header["sizeof_hdr"])), check=False)
    return [float(mm) for mm, n in zip(header["pixdim"][1:4], image.shape, strict=False) if n > 1]


def opens_by_name(path: Path) -> bool:
    """Whether a file that `open_nifti` takes is one for other programs too, which go by its name."""
    with _silent():
        try:
            nibabel.load(path)
        except Exception:  # nibabel raises many kinds
            return False
    return True


@contextlib.contextmanager
def nibabel_silent() -> Iterator[None]:
    """Without what nibabel logs of headers that it mends; a header that says too little is refused here."""
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Without warnings and logs of a file that may be damaged: what is wrong is reported in one line."""
    with nibabel_silent(), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def _check_readable(path: Path) -> None:
    """Something other than a file could be waited for for ever."""
    try:
        if not path.is_file():
            kinds = {
                "is a folder": path.is_dir(),
                "is a device or pipe, not a file": path.exists(),
                "is a link to nothing": path.is_symlink(),
            }
            found = next((words for words, true in kinds.items() if true), "does not exist")
            raise InputError(f"{path} {found}; expected a NIfTI file")
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty (0 bytes); expected a NIfTI file, so fetch it again")
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(name: object, error: OSError) -> InputError:
    return InputError(f"{name} cannot be read ({error.strerror or error}); check permissions and disk")


@contextlib.contextmanager
def _one_line(name: object) -> Iterator[None]:
    """Whatever a damaged file lets libraries raise becomes an `InputError`."""
    try:
        yield
    except InputError:
        raise
    except MemoryError as error:
        raise InputError(f"{name}: more than fits in memory; expected a head, so check the header") from error
    except EOFError as error:
        raise _ends_early(name, " (truncated gzip?)") from error
    except zlib.error as error:
        what = "its checksum does not agree" if "check" in str(error) else "its compression is broken"
        raise InputError(f"{name}: damaged ({what}); fetch it again") from error
    except OSError as error:
        if error.errno is None:  # bz2's
            raise InputError(f"{name}: damaged ({error}); fetch it again") from error
        raise _unreadable(name, error) from error
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{name} cannot be read as NIfTI ({reason}); check the file or fetch it again"
        ) from error


def _ends_early(name: object, hint: str = "") -> InputError:
    return InputError(f"{name}: the file ends in the middle of its data{hint}; fetch it again")


class _Content:
    """The content of a file without its compression, read as far as it is needed.

    Attributes:
        buffer: what has been read, from the beginning.
        packed: whether it was compressed.
    """

    def __init__(self, path: Path) -> None:
        self.buffer = io.BytesIO()
        self._chunks = self._unpacked(path)
        self.packed = False

    def _unpacked(self, path: Path) -> Iterator[bytes]:
        with path.open("rb") as file:
            start = file.read(len(BZIP2))
            file.seek(0)
            self.packed = start.startswith((GZIP, BZIP2))
            if start.startswith(GZIP):
                yield from _gunzipped(file)
            elif start == BZIP2:
                with bz2.open(file) as unpacked:
                    yield from iter(lambda: unpacked.read(_CHUNK), b"")
            else:
                yield from iter(lambda: file.read(_CHUNK), b"")

    def read(self, size: int) -> int:
        """Read on until there are `size` bytes, or to the end; returns how many there are, or more."""
        while self.buffer.tell() < size and (chunk := next(self._chunks, b"")):
            self.buffer.write(chunk)
        return self.buffer.tell()

    def follows(self, most: int) -> int:
        """How many bytes follow those read; these are not stored, and not counted much beyond `most`."""
        count = 0
        while count <= most and (chunk := next(self._chunks, b"")):
            count += len(chunk)
        return count


def _gunzipped(file: BinaryIO) -> Iterator[bytes]:
    """Pieces of all members of a gzip file, each with its checksum and length; what is no member ends it.

    Raises:
        zlib.error: a checksum does not agree, or the data are none.
        EOFError: the file ends within a member.
    """
    data = file.read(_CHUNK)
    while data.startswith(GZIP):
        member = zlib.decompressobj(wbits=31)
        while not member.eof:
            if not data:
                raise EOFError
            if piece := member.decompress(data, _CHUNK):
                yield piece
            data = member.unconsumed_tail or (b"" if member.eof else file.read(_CHUNK))
        data = member.unused_data
        if len(data) < len(GZIP):
            data += file.read(_CHUNK)


def _files(path: Path) -> tuple[Path, Path]:
    """Where header and voxels lie: in the same file, or in a pair of which either may be given."""
    partner = next((each for each in _partners(path) if each.is_file()), path)
    return (partner, path) if _is_header(partner) else (path, partner)


def _partners(path: Path) -> list[Path]:
    """Names of the .img that belongs to a .hdr, or the other way round; of another name none."""
    found = re.fullmatch(r"(.+\.)(hdr|img)(\.\w+)?", path.name, flags=re.IGNORECASE)
    if not found:
        return []
    stem, ending, packed = found.groups(default="")
    other = {"hdr": "img", "HDR": "IMG", "img": "hdr", "IMG": "HDR"}.get(ending, "img")
    return [path.with_name(stem + other + each) for each in dict.fromkeys((packed, "", ".gz", ".bz2"))]


def _is_header(path: Path) -> bool:
    return ".hdr" in "".join(path.suffixes[-2:]).lower()


def _header(path: Path, content: _Content) -> Any:
    """The header as it stands in the file, nothing mended."""
    content.read(max(_KINDS))
    start = content.buffer.getvalue()[: max(_KINDS)]
    for size, (place, magic) in _MAGIC.items():
        if len(start) >= size and start[place : place + 4] in magic:
            return _in_one_byte_order(path, _KINDS[size][0].header_class(start[:size], check=False))
    for place, signature, what, advice in _OTHERS:
        if start[place:].startswith(signature):
            raise InputError(f"{path} is {what}; expected NIfTI (.nii or .nii.gz), so {advice}")
    if start[:4] in (b"\x5c\1\0\0", b"\0\0\1\x5c") and len(start) >= min(_KINDS):
        raise InputError(
            f"{path} is an Analyze header, or its mark of NIfTI is damaged; expected NIfTI, which tells "
            "left from right, so convert it or fetch it again"
        )
    if partners := [] if content.packed or _is_header(path) else _partners(path):
        raise InputError(f"{path} has no header beside it; expected {partners[0].name} there")
    raise InputError(f"{path} is not NIfTI, or ends in its header; expected .nii or .nii.gz")


def _in_one_byte_order(path: Path, header: Any) -> Any:
    """The header, if its size is one in the byte order that nibabel tells by its number of axes."""
    if int(header["sizeof_hdr"]) not in _KINDS:
        raise InputError(
            f"{path}: its header is damaged (its size, sizeof_hdr, or its number of axes, dim[0], cannot "
            "be); fetch it again"
        )
    return header


def _dtype(header: Any) -> np.dtype[Any]:
    try:
        dtype: np.dtype[Any] = header.get_data_dtype()
        return dtype
    except KeyError as error:
        raise ValueError(f"data code {header['datatype']} not recognized") from error


def _check_single(path: Path, header: Any) -> None:
    """Raise an `InputError` unless the voxels lie behind this header."""
    size = int(header["sizeof_hdr"])
    partners, least, offset = _partners(path), size + 4, float(header["vox_offset"])
    apart = _MAGIC[size][1][1].startswith(header["magic"].item()[:3])
    if apart and (partners or offset < least):
        name = partners[0].name if partners else path.with_suffix(".img").name
        raise InputError(f"{path}: its voxels lie in another file; expected {name} beside it")
    if not offset >= least:  # NaN too
        raise InputError(
            f"{path}: voxels from byte {offset:g} on (vox_offset), which is in the header; expected {least} "
            "or more, so correct the header or fetch the file again"
        )


def _voxel_bytes(path: Path, content: _Content, header: Any) -> io.BytesIO:
    """The content of a file up to the last voxel that the header names.

    Raises:
        InputError: there is less, far more of a compressed file, or a header that contradicts itself.
    """
    dtype, offset = _dtype(header), float(header["vox_offset"])
    if not 0 <= offset <= MOST_VOXELS:  # NaN too
        raise InputError(
            f"{path}: voxels from byte {offset:g} on (vox_offset); correct the header or fetch it again"
        )
    slope = float(header["scl_slope"])
    if math.isinf(slope):
        raise InputError(
            f"{path}: its intensities are scaled by {slope} (scl_slope); expected a number, so correct "
            "the header"
        )
    size = int(offset) + math.prod(int(n) for n in header.get_data_shape()) * dtype.itemsize
    if content.read(size) < size:
        raise _ends_early(path)
    more = content.buffer.tell() - size + content.follows(SLACK)
    if content.packed and more > SLACK:
        raise InputError(
            f"{path}: unpacks to far more than the {size} bytes that its header names; fetch it again"
        )
    bits = int(header["bitpix"])
    if more and bits not in (0, 8 * dtype.itemsize):
        raise InputError(
            f"{path}: {dtype} voxels (datatype) of {bits} bits (bitpix), and {more} bytes behind them; "
            "expected a header that agrees with itself, so fetch it again"
        )
    return content.buffer


def _opened(kind: Any, **parts: io.BytesIO) -> Any:
    for part in parts.values():
        part.seek(0)
    with _silent():
        return kind.from_file_map(kind.make_file_map(parts), mmap=False)
