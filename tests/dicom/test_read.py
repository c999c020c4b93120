"""A study in, its FLAIR out as a volume that lies where the slices lie; or one line, and nothing left."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, JPEG2000Lossless, JPEGLSLossless, RLELossless, generate_uid

from fixtures.scans import ID, NAME, PLANES, enhanced, exported, flair, images, stack, write, zipped
from pseudohealthy.dicom import read
from pseudohealthy.dicom.headers import MOST_BYTES
from pseudohealthy.dicom.read import NEUTRAL, Scan, read_scan
from pseudohealthy.errors import InputError

Spoil = Callable[[list[FileDataset]], object]
ANGLES = (12.0, -7.0, 20.0)


def at_its_place(scan: Scan, series: list[FileDataset]) -> None:
    """Each pixel of each image is the voxel that lies where the pixel lies."""
    to_voxels = np.linalg.inv(scan.volume.affine) @ np.diag([-1, -1, 1, 1])
    for image in series:
        row, column = np.array(image.ImageOrientationPatient, float).reshape(2, 3)
        down, along = (float(mm) for mm in image.PixelSpacing)
        rows, columns = np.indices((image.Rows, image.Columns))
        mm = (
            np.array(image.ImagePositionPatient, float)
            + columns[..., None] * along * row
            + rows[..., None] * down * column
        )
        voxels = mm @ to_voxels[:3, :3].T + to_voxels[:3, 3]
        np.testing.assert_allclose(voxels, np.rint(voxels), atol=0.02)
        i, j, k = np.moveaxis(np.rint(voxels).astype(int), -1, 0)
        np.testing.assert_array_equal(scan.volume.data[i, j, k], image.pixel_array)


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("angles", [(0, 0, 0), ANGLES], ids=["straight", "oblique"])
def test_voxels_lie_where_the_pixels_lie(tmp_path: Path, plane: str, angles: tuple[float, ...]) -> None:
    of = stack(plane, mm=(1, 1.25, 3), angles=angles)
    series = images(of, 5, InversionTime=2500, EchoTime=120, RepetitionTime=9000)
    scan = read_scan(write(tmp_path / "study", series))
    at_its_place(scan, series)
    by_uid = {image.SOPInstanceUID: image for image in series}
    pixels = np.stack([by_uid[each.header.SOPInstanceUID].pixel_array for each in scan.slices])
    np.testing.assert_array_equal(scan.order.slices(scan.volume.data), pixels)


@pytest.mark.parametrize("plane", PLANES)
def test_frames_of_an_enhanced_image_lie_where_they_are_said_to(tmp_path: Path, plane: str) -> None:
    of = stack(plane, mm=(1, 1.25, 3), angles=ANGLES)
    scan = read_scan(write(tmp_path / "study", [enhanced(of, 5)]))
    pixels = np.stack([of.pixels[each.frame] for each in scan.slices])
    np.testing.assert_array_equal(scan.order.slices(scan.volume.data), pixels)
    at_its_place(scan, images(of, 5))
    alone = next((tmp_path / "study").iterdir())
    np.testing.assert_array_equal(read_scan(alone).volume.data, scan.volume.data)


def test_an_exported_study_and_its_archive_give_the_flair(tmp_path: Path) -> None:
    study = exported(tmp_path / "study")
    scan = read_scan(study)
    at_its_place(scan, flair())
    notes = ["1 file that could not be read, which may be a slice at an end"]  # `broken.dcm`
    assert (scan.name, scan.volume.path, scan.notes) == ("study", study, tuple(notes))
    assert {**scan.report, "converter": ""} == {
        "number": 5,
        "description": "AX T2 FLAIR",
        "slices": 20,
        "converter": "",
        "notes": notes,
    }
    packed = read_scan(zipped(study, tmp_path / "other.zip"))
    np.testing.assert_array_equal(packed.volume.data, scan.volume.data)
    assert packed.name == "other"
    assert read_scan(study, "2").report["description"] == "AX T1 SE"


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_compressed_pixels_are_read(tmp_path: Path, syntax: UID) -> None:
    packed = flair()
    for image in packed:
        if syntax == JPEG2000Lossless:
            codestream = io.BytesIO()
            Image.fromarray(image.pixel_array).save(codestream, "JPEG2000", no_jp2=True, irreversible=False)
            image.PixelData = encapsulate([codestream.getvalue()])
            image["PixelData"].VR, image["PixelData"].is_undefined_length = "OB", True
            image.file_meta.TransferSyntaxUID = syntax
        else:
            image.compress(syntax, generate_instance_uid=False)
    at_its_place(read_scan(write(tmp_path / "study", packed)), flair())


def copied(series: list[FileDataset]) -> None:
    again = flair()[3]
    again.SeriesInstanceUID = series[0].SeriesInstanceUID
    again.SOPInstanceUID = again.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    series.append(again)


def test_a_copy_of_a_slice_under_another_uid_is_left_out_and_that_is_said(tmp_path: Path) -> None:
    series = flair()
    copied(series)
    scan = read_scan(write(tmp_path / "study", series))
    assert scan.notes == ("1 slice that had a copy: one of each was taken",)
    at_its_place(scan, flair())


def test_slices_that_may_be_missing_at_an_end_are_told(tmp_path: Path) -> None:
    study = write(tmp_path / "study", flair())
    by_place = sorted(study.iterdir(), key=lambda path: float(pydicom.dcmread(path).ImagePositionPatient[2]))
    for path in by_place[:2]:
        path.write_bytes(path.read_bytes()[:500])
    scan = read_scan(study)
    assert scan.notes == (
        "2 files that could not be read, which may be slices at an end",
        "its slices are numbered from 3 on, so slices may be missing at an end",
    )
    assert scan.report["notes"] == list(scan.notes)
    assert len(scan.slices) == 18
    for path in by_place[:2]:
        path.unlink()
    phase = flair(ImageType=["ORIGINAL", "PRIMARY", "P", "ND"])[:2]
    for image in phase:  # which may have the numbers that lack
        image.SeriesInstanceUID = scan.slices[0].header.SeriesInstanceUID
    write(study / "phase", phase)
    assert read_scan(study).notes == ()


def doubled(series: list[FileDataset]) -> None:
    copied(series)
    series[-1].PixelData = bytes(len(series[-1].PixelData))


def gap(series: list[FileDataset]) -> None:
    del series[7:9]


def cut(series: list[FileDataset]) -> None:
    series[7].PixelData = series[7].PixelData[:1000]


def black(series: list[FileDataset]) -> None:
    for image in series:
        image.PixelData = bytes(len(image.PixelData))


def frame_twice(series: list[FileDataset]) -> None:
    of = stack()
    double = of._replace(pixels=of.pixels.repeat(2, axis=0), positions=of.positions.repeat(2, axis=0))
    series[:] = [enhanced(double, 5)]


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (doubled, "holds 2 different images at one place, 21 at 20 places; expected one volume"),
        (frame_twice, "holds 2 different images at one place, 40 at 20 places"),
        (gap, "slices are missing or not evenly spaced: 1 of 17 distances differ"),
        (cut, "the file of its image 8 ends in the middle of its pixels; fetch it again"),
        (black, "every voxel is 0"),
    ],
    ids=["two images", "two frames", "gap", "cut short", "black"],
)
def test_a_series_that_is_no_whole_volume_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Spoil, line: str
) -> None:
    (temporary := tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))  # other tests work in the usual one meanwhile
    series = flair()
    spoil(series)
    study = write(tmp_path / "study", series)
    with pytest.raises(InputError) as refused:
        read_scan(study)
    assert str(refused.value).startswith(f"{study}: series 5: ")
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not list(temporary.iterdir())


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"])
def test_an_identifier_of_several_values_is_refused(tmp_path: Path, keyword: str) -> None:
    series = flair()
    setattr(series[7], keyword, ["1.2", "3.4"])
    study = write(tmp_path / "study", series)
    with pytest.raises(InputError) as refused:
        read_scan(study)
    assert str(refused.value) == (
        f"{study}: series 5: an image with 2 {keyword}s; expected one, so export the series again"
    )


def test_images_of_several_series_at_once_are_damaged(tmp_path: Path) -> None:
    series = flair()
    series[-1].SeriesInstanceUID = ["1.2", "3.4"]
    scan = read_scan(write(tmp_path / "last", series))
    assert len(scan.slices) == 19
    assert scan.notes == ("1 file that could not be read, which may be a slice at an end",)
    for image in series:
        image.SeriesInstanceUID = ["1.2", "3.4"]
    every = write(tmp_path / "every", series)
    with pytest.raises(InputError, match=f"{every}: no DICOM images among 20 files, 20 of them damaged;"):
        read_scan(every)


def test_no_more_is_read_than_a_head_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = write(tmp_path / "study", flair())
    monkeypatch.setattr(read, "convert", None)  # which must not be reached
    with monkeypatch.context() as patch:
        patch.setattr(read, "MOST_VOXELS", 19 * 64 * 48)
        with pytest.raises(InputError, match="series 5: has 20 slices of 64 x 48, more voxels than 1024"):
            read_scan(study)
    with next(study.iterdir()).open("ab") as file:
        file.truncate(file.tell() + MOST_BYTES + 1)  # zeros that take no room on the disk
    with pytest.raises(
        InputError, match=r"series 5: the file of its image [0-9]+ is far larger than its image; export"
    ):
        read_scan(study)


def test_a_name_that_holds_the_patient_s_is_not_used(tmp_path: Path) -> None:
    for name in (NAME.replace("^", "_"), f"scan {ID}", "ottoline"):
        scan = read_scan(write(tmp_path / name, flair()))
        assert (scan.name, scan.volume.path) == (NEUTRAL, Path(NEUTRAL))
        assert "the input's own name holds the patient's name, id or birth date" in scan.notes[0]
        with pytest.raises(InputError) as refused:
            read_scan(tmp_path / name, "99")
        assert not any(word.lower() in str(refused.value).lower() for word in (ID, *NAME.split("^")))


def test_one_slice_is_refused_with_what_to_give(tmp_path: Path) -> None:
    path = next(write(tmp_path / "study", flair()).iterdir())
    with pytest.raises(InputError, match="one slice of a series; expected all of it, so give its folder"):
        read_scan(path)


def test_a_link_is_named_as_it_is_and_not_as_what_it_leads_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(write(tmp_path / "secret", flair()))
    scan = read_scan(tmp_path / "link")
    assert (scan.name, scan.volume.path) == ("link", tmp_path / "link")
    monkeypatch.chdir(tmp_path / "secret")
    assert read_scan(".").name == "secret"


def test_pseudonyms_of_what_has_no_names_any_more_are(tmp_path: Path) -> None:
    series = flair(PatientID="sub-0007", PatientName="sub-0007", PatientIdentityRemoved="YES")
    assert read_scan(write(tmp_path / "sub-0007", series)).name == "sub-0007"


def test_orientation_is_that_of_the_patient(tmp_path: Path) -> None:
    scan = read_scan(write(tmp_path / "study", flair("sagittal")))
    assert set(nib.aff2axcodes(scan.volume.affine)) <= set("LRAPSI")
    assert scan.volume.warnings == ()


def test_names_in_other_alphabets_and_damaged_ones_are_read_in_silence(tmp_path: Path) -> None:
    series = flair(SpecificCharacterSet="ISO_IR 144", PatientName="Люк^Иван")
    study = write(tmp_path / "study", series)
    for path in study.iterdir():  # another alphabet's bytes under this one's name
        path.write_bytes(path.read_bytes().replace(b"ISO_IR 144", b"ISO_IR 192"))
    assert read_scan(study).report["number"] == 5


def test_whatever_is_damaged_there_is_a_scan_or_one_line(tmp_path: Path) -> None:
    study = write(tmp_path / "study", flair()[:4])
    rng = np.random.default_rng(0)
    place = sorted(study.iterdir())[1]
    sound = place.read_bytes()
    ends = []
    for _ in range(40):
        damaged = bytearray(sound)
        for where in rng.integers(0, len(sound) - 64 * 48 * 2, rng.integers(1, 6)):
            damaged[where] = rng.integers(256)
        place.write_bytes(damaged)
        with contextlib.suppress(InputError):
            read_scan(study)
            ends.append(place)
    assert 0 < len(ends) < 40
