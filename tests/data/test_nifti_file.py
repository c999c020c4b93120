"""Files of any content under any name: read whole and right, or refused in one line."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import os
import resource
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from pseudohealthy.data.nifti_file import SLACK, opens_by_name
from pseudohealthy.data.volume import read_labels, read_volume, volume_from_image
from pseudohealthy.errors import InputError

SHAPE = (9, 8, 7)
DATA = np.random.default_rng(0).integers(1, 900, SHAPE).astype(np.int16)
AFFINE = np.diag([-2.0, -2.0, 3.0, 1.0])


def content(kind: Any = nibabel.Nifti1Image, data: NDArray[Any] = DATA, **fields: Any) -> bytes:
    """A file of one image, its raw header fields then set as given, even to nonsense."""
    whole: bytes = kind(data, AFFINE, dtype=data.dtype).to_bytes()
    size = kind.header_class.sizeof_hdr
    header = kind.header_class(whole[:size], check=False)
    for field, value in fields.items():
        header[field] = value
    return bytes(header.binaryblock) + whole[size:]


def complaint(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_labels(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


def written(path: Path, whole: bytes) -> Path:
    path.write_bytes(whole)
    return path


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("scan.nii.gz", bytes),
        ("scan.nii", gzip.compress),
        ("scan", gzip.compress),
        ("scan.nii.bz2", bz2.compress),
        ("scan.NII.GZ", gzip.compress),
        ("scan.img", bytes),
    ],
)
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
def test_the_content_tells_compression_and_kind_whatever_the_name(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes], kind: Any
) -> None:
    volume = read_volume(written(tmp_path / name, pack(content(kind))))
    np.testing.assert_array_equal(volume.data, DATA)
    np.testing.assert_array_equal(volume.affine, AFFINE)


def test_whether_other_programs_would_open_a_file_by_its_name(tmp_path: Path) -> None:
    packed = gzip.compress(content())
    for name, whole, right in (
        ("scan.nii", content(), True),
        ("scan.nii.gz", packed, True),
        ("scan.nii", packed, False),
        ("scan.nii.gz", content(), False),
        ("scan", content(), False),
        ("scan.img", content(), False),
    ):
        assert opens_by_name(written(tmp_path / name, whole)) is right


@pytest.mark.parametrize("behind", [b"", bytes(1000), b"left by a download"])
def test_several_members_of_gzip_are_one_file_and_what_is_none_is_ignored(
    tmp_path: Path, behind: bytes
) -> None:
    whole = content()
    members = b"".join(gzip.compress(whole[at : at + 700]) for at in range(0, len(whole), 700))
    np.testing.assert_array_equal(read_volume(written(tmp_path / "scan.nii.gz", members + behind)).data, DATA)


def test_every_flipped_bit_of_compressed_voxels_is_found(tmp_path: Path) -> None:
    """None gives other voxels than were written: a checksum stands at the end."""
    packed = gzip.compress(content(), mtime=0)
    rng = np.random.default_rng(1)
    for at in (*rng.integers(10, len(packed), 60), *range(len(packed) - 8, len(packed))):
        damaged = bytearray(packed)
        damaged[at] ^= 1 << int(rng.integers(8))
        assert "fetch it again" in complaint(written(tmp_path / "scan.nii.gz", bytes(damaged)))
    assert "damaged (its checksum does not agree); fetch it again" in complaint(tmp_path / "scan.nii.gz")


def test_damaged_bzip2_is_named(tmp_path: Path) -> None:
    packed = bytearray(bz2.compress(content()))
    cut = written(tmp_path / "cut.nii.bz2", bytes(packed[:-20]))
    assert "ends in the middle of its data" in complaint(cut)
    packed[300] ^= 1
    assert "damaged (Invalid data stream)" in complaint(written(tmp_path / "scan.nii.bz2", bytes(packed)))


@contextlib.contextmanager
def little_memory(more: int) -> Iterator[None]:
    """This process cannot take so many bytes more than it has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def test_a_file_that_unpacks_to_far_more_than_it_promises_is_left_at_once(tmp_path: Path) -> None:
    path = written(tmp_path / "bomb.nii.gz", gzip.compress(content() + bytes(SLACK + 2**21), 1))
    with little_memory(SLACK // 2):
        assert f"unpacks to far more than the {352 + 2 * DATA.size} bytes" in complaint(path)
    some = written(tmp_path / "some.nii.gz", gzip.compress(content() + bytes(2**20), 1))
    np.testing.assert_array_equal(read_volume(some).data, DATA)


@pytest.mark.parametrize(
    ("dim", "words"),
    [
        ([3, 32767, 32767, 32767, 1, 1, 1, 1], "more voxels than 1024 x 1024 x 512"),
        ([3, 1000, 1000, 500, 1, 1, 1, 1], "ends in the middle of its data"),
        ([3, -9, 8, 7, 1, 1, 1, 1], "has shape (-9, 8, 7)"),
        ([3, 9, 0, 7, 1, 1, 1, 1], "has shape (9, 0, 7)"),
        ([0, 9, 8, 7, 1, 1, 1, 1], "has shape (0,)"),
        ([4, 9, 8, 7, 300, 1, 1, 1], "expected one 3-D volume"),
    ],
)
@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_shape_that_the_file_does_not_hold_takes_no_memory(
    tmp_path: Path, dim: list[int], words: str, kind: Any, pack: Callable[[bytes], bytes]
) -> None:
    path = written(tmp_path / "scan.nii", pack(content(kind, dim=dim)))
    with little_memory(2**26):
        assert words in complaint(path)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"vox_offset": np.nan},
            "voxels from byte nan on (vox_offset), which is in the header; expected 352",
        ),
        ({"vox_offset": np.inf}, "voxels from byte inf on (vox_offset); correct the header"),
        ({"vox_offset": -16}, "voxels from byte -16 on"),
        ({"vox_offset": 0}, "voxels from byte 0 on"),
        ({"vox_offset": 1e6}, "ends in the middle of its data"),
        ({"scl_slope": np.inf}, "scaled by inf (scl_slope); expected a number"),
        ({"scl_slope": 1, "scl_inter": np.inf}, "invalid intercept inf"),
        ({"magic": b"n+3"}, "is an Analyze header, or its mark of NIfTI is damaged"),
        ({"magic": b"ni1", "vox_offset": 0}, "its voxels lie in another file; expected scan.img beside it"),
        ({"sizeof_hdr": 349, "magic": b""}, "is not NIfTI"),
        ({"sizeof_hdr": 349}, "its header is damaged (its size, sizeof_hdr, or its number of axes"),
        ({"dim": [9, 9, 8, 7, 1, 1, 1, 1]}, "its header is damaged (its size, sizeof_hdr, or its number of"),
        (
            {"datatype": 2, "bitpix": 16},
            "uint8 voxels (datatype) of 16 bits (bitpix), and 504 bytes behind them",
        ),
    ],
)
def test_headers_that_cannot_be_are_named(tmp_path: Path, fields: dict[str, Any], words: str) -> None:
    assert words in complaint(written(tmp_path / "scan.nii", content(**fields)))


@pytest.mark.parametrize(
    "fields", [{"bitpix": 0}, {"bitpix": 8}, {"scl_slope": 0}, {"scl_slope": np.nan}, {"magic": b"ni1"}]
)
def test_headers_that_leave_no_doubt_are_taken(tmp_path: Path, fields: dict[str, Any]) -> None:
    np.testing.assert_array_equal(read_volume(written(tmp_path / "scan.nii", content(**fields))).data, DATA)


def test_types_that_cannot_be_read_here_are_named(tmp_path: Path) -> None:
    for code, words in ((1536, "expected real numbers"), (77, "data code 77 not recognized")):
        assert words in complaint(written(tmp_path / "scan.nii", content(datatype=code, bitpix=128)))


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_pair_is_read_by_either_name_and_what_lacks_is_named(tmp_path: Path, ending: str) -> None:
    nibabel.save(nibabel.Nifti1Pair(DATA, AFFINE), tmp_path / f"scan.img{ending}")
    header, image = tmp_path / f"scan.hdr{ending}", tmp_path / f"scan.img{ending}"
    for path in (header, image):
        np.testing.assert_array_equal(read_volume(path).data, DATA)
    whole = image.read_bytes()
    image.unlink()
    assert f"its voxels lie in another file; expected {image.name} beside it" in complaint(header)
    image.write_bytes(whole)
    header.unlink()
    lacks = "has no header beside it; expected scan.hdr" if not ending else "is not NIfTI"
    assert lacks in complaint(image)


@pytest.mark.parametrize(
    ("name", "start", "words"),
    [
        ("scan.dcm", bytes(128) + b"DICM", "is a DICOM file; expected NIfTI (.nii or .nii.gz), so convert"),
        ("scan.nrrd", b"NRRD0004\n", "is an NRRD file"),
        ("scan.mha", b"ObjectType = Image\n", "is a MetaImage file"),
        ("scan.mnc", b"CDF\x01", "is a MINC file"),
        ("scan.mnc", b"\x89HDF\r\n\x1a\n", "is an HDF5 file (MINC?)"),
        ("scan.mat", b"MATLAB 5.0 MAT-file", "is a MATLAB file"),
        ("scan.nii.zip", b"PK\x03\x04", "is a zip archive; expected NIfTI (.nii or .nii.gz), so unpack it"),
        ("scan.nii.xz", b"\xfd7zXZ\0", "is compressed with xz"),
        ("scan.nii.gz", b"version https://git-lfs.github.com/spec/v1\n", "fetch it with git lfs pull"),
        ("scan.nii.gz", b"/annex/objects/MD5E-s1--0.nii.gz\n", "fetch it with datalad get"),
        ("scan.txt", b"a text", "is not NIfTI"),
    ],
)
def test_other_formats_are_named(tmp_path: Path, name: str, start: bytes, words: str) -> None:
    assert words in complaint(written(tmp_path / name, start + bytes(1000)))


@pytest.mark.parametrize("name", ["scan.mgz", "scan.mgh"])
def test_mgh_is_named_sound_or_broken(tmp_path: Path, name: str) -> None:
    nibabel.save(nibabel.MGHImage(DATA, AFFINE), tmp_path / name)
    assert "is an MGH file (FreeSurfer); expected NIfTI" in complaint(tmp_path / name)
    whole = bytearray(nibabel.MGHImage(DATA, AFFINE).to_bytes())
    struct.pack_into(">i", whole, 20, 99)  # a type of voxel that there is not
    assert "is an MGH file" in complaint(written(tmp_path / name, gzip.compress(bytes(whole))))
    assert "is not NIfTI" in complaint(written(tmp_path / name, gzip.compress(b"not a header " * 100)))


def test_analyze_is_named_by_either_file(tmp_path: Path) -> None:
    nibabel.save(nibabel.AnalyzeImage(DATA, AFFINE), tmp_path / "old.img")
    for name in ("old.img", "old.hdr"):
        assert "is an Analyze header, or its mark of NIfTI is damaged" in complaint(tmp_path / name)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.nii")
    (tmp_path / "link.nii.gz").symlink_to("annexed")
    assert "is a device or pipe, not a file" in complaint(tmp_path / "pipe.nii")
    assert "is a device or pipe, not a file" in complaint(Path("/dev/zero"))
    assert "is a link to nothing" in complaint(tmp_path / "link.nii.gz")
    assert "cannot be read (File name too long)" in complaint(tmp_path / f"{'long' * 100}.nii")


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "scan.nii", content())
    path.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # root may read anything
    try:
        assert "cannot be read (Permission denied)" in complaint(path)
    finally:
        os.seteuid(user)


def variants(whole: bytes, count: int, seed: int) -> Iterator[bytes]:
    """Content with bytes changed (most of them in the header), cut off or put in."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        damaged = bytearray(whole)
        for _ in range(rng.integers(1, 6)):
            at = int(rng.integers(len(damaged)) if rng.random() < 0.2 else rng.integers(360))
            damaged[at] = (int(rng.integers(256)), 0, 255, 127, 128)[rng.integers(5)]
        if number % 5 == 0:
            del damaged[int(rng.integers(len(damaged))) :]
        if number % 7 == 0:
            damaged[int(rng.integers(360)) : 0] = rng.bytes(int(rng.integers(20)))
        yield bytes(damaged)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("when", ["uncompressed", "before", "after"])
def test_whatever_is_damaged_there_is_a_volume_or_one_line(
    tmp_path: Path,
    kind: Any,
    when: str,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Damage before or after compression, if any; nothing else is printed or raised, warnings included."""
    path, whole = tmp_path / "scan.nii", content(kind)
    result: list[str] = []
    compressed = when == "after"
    damaged = variants(gzip.compress(whole) if compressed else whole, 200, 1)
    with little_memory(2**28):
        for each in damaged:
            path.write_bytes(gzip.compress(each) if when == "before" else each)
            try:
                volume = read_labels(path)
            except InputError as error:
                result.append(str(error))
            else:
                assert np.isfinite(volume.data).all()
                assert not compressed or (volume.data == DATA).all()  # the time in gzip's header, say
    assert 20 < len(result) < (201 if compressed else 180)
    assert not any("\n" in line for line in result)
    assert (capfd.readouterr(), caplog.records) == (("", ""), [])


def test_what_nibabel_would_print_is_not_printed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path / "scan.nii", content(pixdim=[0, 0, 2, 3, 1, 1, 1, 1], sform_code=77))
    assert "voxel sizes (pixdim) are (0, 2, 3)" in complaint(path)
    assert not caplog.records
    nibabel.load(path)
    assert "pixdim[1,2,3] should be non-zero" in caplog.text  # it speaks to others as before


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti1Pair, nibabel.Nifti2Image])
def test_an_image_of_nibabel_is_taken_as_it_is(kind: Any) -> None:
    image = kind(DATA, AFFINE)
    volume = volume_from_image(image)
    np.testing.assert_array_equal(volume.data, DATA)
    np.testing.assert_array_equal(volume.affine, AFFINE)
    assert volume.path is None
    assert volume.header == image.header
    assert volume.header is not image.header


def test_an_image_that_nibabel_has_opened_is_the_volume_in_its_file(tmp_path: Path) -> None:
    path = written(tmp_path / "scan.nii", content(scl_slope=0.5, scl_inter=3))
    ours, theirs = read_volume(path), volume_from_image(nibabel.load(path))
    np.testing.assert_array_equal(ours.data, theirs.data)
    np.testing.assert_array_equal(ours.affine, theirs.affine)
    assert (ours.path, ours.shape, ours.header) == (theirs.path, theirs.shape, theirs.header)


def test_an_image_of_nibabel_without_a_place_of_its_own_lies_as_in_a_file(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(DATA, None)
    image.header.set_zooms((2, 2, 3))
    nibabel.save(image, tmp_path / "scan.nii")
    np.testing.assert_array_equal(volume_from_image(image).affine, read_volume(tmp_path / "scan.nii").affine)


def test_images_of_nibabel_that_cannot_be_used_are_named() -> None:
    colours = np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    for image, words in (
        (nibabel.MGHImage(DATA, AFFINE), "an image of type MGHImage; expected NIfTI"),
        (nibabel.Nifti1Image(np.stack([DATA, DATA], 3), AFFINE), r"the image has shape \(9, 8, 7, 2\)"),
        (nibabel.Nifti1Image(colours, AFFINE), "expected real numbers"),
        (nibabel.Nifti1Image(DATA.astype(complex), AFFINE), "expected real numbers"),
        (nibabel.Nifti1Image(np.full(SHAPE, np.nan), AFFINE), "NaN or infinite"),
        (nibabel.Nifti1Image(DATA, np.diag([2.0, 2, 500, 1])), "check the header's units"),
    ):
        with pytest.raises(InputError, match=words):
            volume_from_image(image)
