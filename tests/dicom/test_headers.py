"""Headers are read from what is DICOM, and bounded."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from fixtures.scans import ID, enhanced, flair, stack
from pseudohealthy.dicom import headers
from pseudohealthy.dicom.headers import number, numbers, read_header, silent, value, words
from pseudohealthy.dicom.sources import Member


def member(content: bytes) -> Member:
    return Member(lambda: io.BytesIO(content), len(content))


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    image = flair()[0]
    image.save_as(tmp_path / "image", enforce_file_format=True)
    return (tmp_path / "image").read_bytes()


def test_a_header_is_read_with_and_without_preamble(content: bytes, tmp_path: Path) -> None:
    whole = read_header(member(content))
    assert whole is not None
    assert "PixelData" not in whole
    some = read_header(member(content), ["Rows"])
    assert some is not None
    assert [element.keyword for element in some] == ["SpecificCharacterSet", "Rows"]
    image = Dataset(flair()[0])
    image.save_as(tmp_path / "bare", implicit_vr=True, little_endian=True)
    bare = (tmp_path / "bare").read_bytes()
    assert bare.startswith(b"\x08\0\x05\0")
    old = read_header(member(bare))
    assert old is not None
    assert old.SeriesDescription == "AX T2 FLAIR"


def test_what_is_no_dicom_is_none_and_whatever_is_damaged_raises_nothing(content: bytes) -> None:
    assert [read_header(member(each)) for each in (b"", b"text", bytes(1000))] == [None] * 3
    rng = np.random.default_rng(0)
    header = len(content) - 64 * 48 * 2
    for place in rng.integers(128, header, 300):
        flipped = bytearray(content)
        flipped[place] ^= 1 << rng.integers(8)
        for damaged in (bytes(flipped), content[:place]):
            found = read_header(member(damaged))
            assert found is None or "PixelData" not in found


def test_a_header_takes_no_more_than_it_may(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "MOST_BYTES", len(content) // 10)
    assert read_header(member(content)) is None


def test_values_of_a_frame_come_before_those_of_all() -> None:
    image = enhanced(stack(), 9, RescaleSlope="2")
    assert numbers(image, "ImagePositionPatient", 0) != numbers(image, "ImagePositionPatient", 1)
    assert numbers(image, "PixelSpacing", 7) == (1.0, 1.0)
    assert (number(image, "RescaleSlope"), number(image, "EffectiveEchoTime")) == (2.0, 120.0)
    assert value(image, "PatientID") == ID
    assert value(image, "SliceLocation") is None
    assert (numbers(image, "SliceLocation"), number(image, "PatientName")) == ((), None)
    assert words(image, "ImageType") == ("ORIGINAL", "PRIMARY", "T2", "NONE")


def test_tables_that_are_none_and_frames_beyond_all_measure_are_damage(tmp_path: Path) -> None:
    for given in ("1000000000", "-3"):
        image = flair(NumberOfFrames=given)[0]
        image.save_as(tmp_path / "image", enforce_file_format=True)
        assert read_header(member((tmp_path / "image").read_bytes())) is None
    header = Dataset()
    with silent():
        header.EchoTime, header.SeriesDescription = "1e400", ["1", "x"]
    assert (numbers(header, "EchoTime"), numbers(header, "SeriesDescription")) == ((), ())
