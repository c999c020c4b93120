"""dcm2niix makes the volume; what it leaves in the temporary folder is gone, however it ends."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import FileDataset

from fixtures.brains import diseased
from fixtures.scans import PLANTED, enhanced, flair, stack, write, zipped
from pseudohealthy.dicom.conversion import TEXTS, convert
from pseudohealthy.dicom.scale import Scale
from pseudohealthy.dicom.sources import opened
from pseudohealthy.errors import InputError, PseudohealthyError


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary folder of the test's own."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_a_series_becomes_a_volume_with_nothing_of_its_headers(tmp_path: Path, temporary: Path) -> None:
    with opened(write(tmp_path / "one", flair(ImageComments="seen with Ottoline"))) as members:
        volume, scale = convert(members, Path("named"))
    assert scale == Scale(1, 0)
    assert volume.path == Path("named")
    assert volume.warnings == ()
    np.testing.assert_array_equal(volume.data[:, ::-1], diseased())
    assert volume.header is not None
    assert not any(volume.header[field].item() for field in TEXTS)
    assert not any(word.encode() in volume.header.binaryblock for word in PLANTED)
    assert list(temporary.iterdir()) == []


def test_an_archive_is_converted_alike(tmp_path: Path, temporary: Path) -> None:
    folder = write(tmp_path / "one", flair("sagittal"))
    with opened(folder) as members, opened(zipped(folder, tmp_path / "one.zip")) as packed:
        one, other = (convert(each, Path("x"))[0] for each in (members, packed))
    np.testing.assert_array_equal(one.data, other.data)
    np.testing.assert_array_equal(one.affine, other.affine)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(("slope", "intercept"), [("2.5", "-10"), ("0.25", "0")])
def test_intensities_are_in_the_units_of_the_rescaling(tmp_path: Path, slope: str, intercept: str) -> None:
    series = flair(RescaleSlope=slope, RescaleIntercept=intercept, RescaleType="US")
    with opened(write(tmp_path / "one", series)) as members:
        volume, scale = convert(members, Path("x"))
    assert scale == Scale(float(slope), float(intercept))
    np.testing.assert_allclose(volume.data[:, ::-1], diseased() * float(slope) + float(intercept))


def test_rescaling_that_changes_from_slice_to_slice_has_no_scale(tmp_path: Path) -> None:
    series = flair(RescaleIntercept="0", RescaleType="US", Manufacturer="Philips")
    slopes = [1 + index / 10 for index in range(len(series))]
    for image, slope in zip(series, slopes, strict=True):
        image.RescaleSlope = slope
    with opened(write(tmp_path / "one", series)) as members:
        volume, scale = convert(members, Path("x"))
    assert scale is None
    np.testing.assert_allclose(volume.data[:, ::-1], diseased() * np.array(slopes), rtol=1e-5)


def test_an_enhanced_series_is_converted(tmp_path: Path) -> None:
    with opened(write(tmp_path / "one", [enhanced(stack("coronal"), 3, RescaleSlope="2")])) as members:
        volume, scale = convert(members, Path("x"))
    assert scale == Scale(2, 0)
    assert sorted(volume.data.shape) == sorted(diseased().shape)
    assert volume.data.sum() == 2 * diseased().sum()


@pytest.mark.parametrize("vendor", ["GE MEDICAL SYSTEMS", "Philips Medical Systems", "TOSHIBA", "UIH"])
def test_makers_that_write_headers_otherwise_give_the_same_volume(tmp_path: Path, vendor: str) -> None:
    series = flair(Manufacturer=vendor)
    for index, image in enumerate(series):
        image.EchoTime = 120 + index / 100  # which may not be the same in all slices
        image.AcquisitionTime = f"1012{index:02d}"
        image.AcquisitionNumber = 1 + index % 2
    with opened(write(tmp_path / "one", series)) as members:
        volume, _ = convert(members, Path("x"))
    np.testing.assert_array_equal(volume.data[:, ::-1], diseased())


def test_what_dcm2niix_makes_nothing_of_is_told_in_one_line(tmp_path: Path, temporary: Path) -> None:
    two = [*flair(), *flair("sagittal")]
    with opened(write(tmp_path / "two", two)) as members, pytest.raises(InputError) as several:
        convert(members, Path("x"))
    assert str(several.value) == (
        f"dcm2niix made 2 volumes of its {len(two)} files (exit code 0); expected one (exit code 0), so "
        "export the series again, or convert it and give the NIfTI file"
    )
    colours = write(tmp_path / "colours", flair(SamplesPerPixel=3))
    with opened(colours) as members, pytest.raises(InputError) as coloured:
        convert(members, Path("x"))
    assert str(coloured.value).startswith("the volume made of it holds ")
    (tmp_path / "text").write_bytes(bytes(1000))
    with (
        opened(tmp_path / "text") as members,
        pytest.raises(InputError, match="made no volumes of its 1 files"),
    ):
        convert(members, Path("x"))
    assert list(temporary.iterdir()) == []


def test_a_conversion_that_fails_on_a_full_disk_asks_for_room(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**20))
    line = f"cannot be written to {temporary} (the disk is full); make room there, or set TMPDIR"
    for series in ([*flair(), *flair("sagittal")], flair(SamplesPerPixel=3)):
        folder = write(tmp_path / f"{len(series)}", series)
        with opened(folder) as members, pytest.raises(PseudohealthyError, match=re.escape(line)) as failed:
            convert(members, Path("x"))
        assert failed.value.exit_code == 1
    assert list(temporary.iterdir()) == []


def test_a_damaged_member_of_an_archive_is_told(tmp_path: Path, temporary: Path) -> None:
    path = zipped(write(tmp_path / "one", flair()[:3]), tmp_path / "one.zip")
    with zipfile.ZipFile(path) as archive:
        place = archive.infolist()[1].header_offset + 500
    content = bytearray(path.read_bytes())
    content[place : place + 50] = bytes(50)
    path.write_bytes(content)
    with opened(path) as members, pytest.raises(InputError, match="a file of it is damaged in the archive"):
        convert(members, Path("x"))
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_nothing_is_left_where_the_conversion_is_interrupted(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, end: type[BaseException]
) -> None:
    seen: list[str] = []

    def interrupted(command: list[str], **_: Any) -> None:
        seen.extend(path.name for path in Path(command[-1]).iterdir())
        raise end

    monkeypatch.setattr(subprocess, "run", interrupted)
    series: list[FileDataset] = flair()[:3]
    with opened(write(tmp_path / "Quackenbush", series)) as members, pytest.raises(end):
        convert(members, Path("x"))
    assert sorted(seen) == ["000000.dcm", "000001.dcm", "000002.dcm"]
    assert list(temporary.iterdir()) == []
