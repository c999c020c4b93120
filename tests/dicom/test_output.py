"""What is written belongs to the patient, lies on the input's slices exactly, and is sound DICOM."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import generate_uid

import pseudohealthy
from fixtures.full_disk import full_disk
from fixtures.models import saved
from fixtures.scans import BIRTH, FRAME, ID, NAME, PLANES, STUDY, enhanced, flair, images, stack, write
from pseudohealthy.dicom.derived_series import DESCRIPTION
from pseudohealthy.dicom.headers import silent
from pseudohealthy.dicom.output import expect_writable, write_dicom
from pseudohealthy.dicom.read import Scan, read_scan
from pseudohealthy.errors import RESEARCH_USE, InputError, PseudohealthyError

ANGLES = (12.0, -7.0, 20.0)
TIMES = {"InversionTime": 2500, "EchoTime": 120, "RepetitionTime": 9000}


def made(scan: Scan, folder: Path) -> tuple[NDArray[np.float32], NDArray[np.bool_], Path]:
    """A healthy image that differs where the lesion is, the lesion, and the folder of both as DICOM."""
    mask = scan.volume.data >= scan.volume.data.max()
    healthy = np.where(mask, scan.volume.data / 2, scan.volume.data).astype(np.float32)
    return healthy, mask, write_dicom(scan, healthy, mask, folder, weights="paired")


def healthy_images(folder: Path) -> list[FileDataset]:
    return [pydicom.dcmread(path) for path in sorted(folder.glob("healthy_*.dcm"))]


def values(image: FileDataset) -> NDArray[np.float64]:
    slope, intercept = float(image.get("RescaleSlope", 1)), float(image.get("RescaleIntercept", 0))
    return image.pixel_array * slope + intercept


def sound(folder: Path) -> None:
    """`dciodvfy` of dicom3tools finds no error in any file."""
    program = shutil.which("dciodvfy")
    if program is None:
        pytest.skip("dciodvfy is not installed (Debian package dicom3tools)")
    for path in folder.iterdir():
        done = subprocess.run([program, str(path)], capture_output=True, check=False)
        report = (done.stdout + done.stderr).decode("latin-1")
        assert "Segmentation" in report or "MRImage" in report
        assert "Error" not in report, report
        assert "Abort" not in report, report


@pytest.fixture(scope="module", params=["classic", "enhanced", "rescaled", "anonymous"])
def scan(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Scan:
    """Of an oblique sagittal series, in several forms."""
    of = stack("sagittal", mm=(1.5, 1, 1), angles=ANGLES)
    window = {"WindowCenter": "200", "WindowWidth": "400"}
    series = {
        "classic": lambda: images(of, 5, **TIMES, **window, BodyPartExamined="HEAD"),
        "enhanced": lambda: [enhanced(of, 5)],
        "rescaled": lambda: images(
            of, 5, **TIMES, RescaleSlope="2.5", RescaleIntercept="-10", RescaleType="US"
        ),
        "anonymous": lambda: stripped(images(of, 5, **TIMES)),
    }[request.param]()
    return read_scan(write(tmp_path_factory.mktemp(request.param) / "study", series))


def test_times_of_an_enhanced_image_fit_into_an_image_of_one_frame(tmp_path: Path) -> None:
    image = enhanced(stack(), 5, EchoTime=344.6700134277344)
    shared = image.SharedFunctionalGroupsSequence[0]
    shared.MRModifierSequence[0].InversionTimes = [1200.0, 2500.0]
    _, _, folder = made(read_scan(write(tmp_path / "study", [image])), tmp_path / "dicom")
    for each in healthy_images(folder):
        assert str(each.EchoTime) == "344.670013427734"
        assert each.InversionTime == 2500


def stripped(series: list[FileDataset]) -> list[FileDataset]:
    for image in series:
        for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "StudyDate"):
            del image[keyword]
        for keyword in ("StudyTime", "AccessionNumber", "ReferringPhysicianName", "Manufacturer"):
            del image[keyword]
        image.PatientIdentityRemoved, image.DeidentificationMethod = "YES", "removed"
    return series


def test_each_image_lies_exactly_on_its_source(scan: Scan, tmp_path: Path) -> None:
    healthy, _, folder = made(scan, tmp_path / "dicom")
    written = {
        (image.SourceImageSequence[0].ReferencedSOPInstanceUID, frame(image)): image
        for image in healthy_images(folder)
    }
    assert len(written) == len(scan.slices)
    for index, source in enumerate(scan.slices):
        number = source.frame if "NumberOfFrames" in source.header else None
        image = written[source.header.SOPInstanceUID, number]
        assert [float(mm) for mm in image.ImagePositionPatient] == list(source.position)
        assert [float(x) for x in image.ImageOrientationPatient] == [*source.along_row, *source.along_column]
        assert tuple(float(mm) for mm in image.PixelSpacing) == source.spacing
        step = scan.scale.slope if scan.scale else 1
        expected = scan.order.slices(healthy)[index]
        np.testing.assert_allclose(values(image), expected, atol=step / 2 + 1e-3)


def frame(image: Dataset) -> int | None:
    source = image.SourceImageSequence[0]
    return int(source.ReferencedFrameNumber) - 1 if "ReferencedFrameNumber" in source else None


def test_all_that_is_not_changed_is_stored_as_the_source_is(tmp_path: Path) -> None:
    series = flair("coronal", RescaleSlope="0.7", RescaleIntercept="3", RescaleType="US")
    scan = read_scan(write(tmp_path / "study", series))
    _, mask, folder = made(scan, tmp_path / "dicom")
    lesion = dict(
        zip((each.header.SOPInstanceUID for each in scan.slices), scan.order.slices(mask), strict=True)
    )
    sources = {image.SOPInstanceUID: image for image in series}
    assert mask.any()
    for image in healthy_images(folder):
        source = sources[image.SourceImageSequence[0].ReferencedSOPInstanceUID]
        unchanged = ~lesion[source.SOPInstanceUID]
        np.testing.assert_array_equal(image.pixel_array[unchanged], source.pixel_array[unchanged])
        assert (image.InstanceNumber, image.RescaleSlope) == (source.InstanceNumber, source.RescaleSlope)
        assert (image.WindowCenter, image.WindowWidth) == (source.WindowCenter, source.WindowWidth)


def test_it_says_what_it_is_and_whose(scan: Scan, tmp_path: Path) -> None:
    _, _, folder = made(scan, tmp_path / "dicom")
    every = [*healthy_images(folder), pydicom.dcmread(folder / "lesion.dcm")]
    source = scan.slices[0].header
    assert len({image.SOPInstanceUID for image in every}) == len(every)
    assert len({image.SeriesInstanceUID for image in every}) == 2
    assert source.SeriesInstanceUID not in {image.SeriesInstanceUID for image in every}
    for image in every:
        assert (image.StudyInstanceUID, image.FrameOfReferenceUID) == (STUDY, FRAME)
        assert (image.PatientName, image.PatientID) == (source.PatientName, source.PatientID)
        assert image.ImageComments == RESEARCH_USE
        assert image.ContentQualification == "RESEARCH"
        assert "NOT FOR DIAGNOSIS" in image.SeriesDescription
        assert not any(element.tag.is_private for element in image)
    for image in every[:-1]:
        assert image.SeriesDescription == DESCRIPTION
        assert list(image.ImageType[:2]) == ["DERIVED", "SECONDARY"]
        assert RESEARCH_USE in image.DerivationDescription
        assert (float(image.InversionTime), float(image.EchoTime), float(image.RepetitionTime)) == (
            2500,
            120,
            9000,
        )
        assert float(image.WindowWidth) >= 1
    assert [int(image.SeriesNumber) for image in (every[0], every[-1])] == [5001, 5002]


def test_the_patient_is_the_source_s(tmp_path: Path) -> None:
    _, _, folder = made(read_scan(write(tmp_path / "study", flair())), tmp_path / "dicom")
    for path in folder.iterdir():
        image = pydicom.dcmread(path)
        assert (image.PatientName, image.PatientID, image.PatientBirthDate) == (NAME, ID, BIRTH)
        assert (image.PatientSex, image.StudyDate, image.AccessionNumber) == ("F", "20260102", "A1")


def test_the_lesion_map_is_read_by_highdicom_in_its_place(scan: Scan, tmp_path: Path) -> None:
    _, mask, folder = made(scan, tmp_path / "dicom")
    lesion = highdicom.seg.segread(folder / "lesion.dcm")
    described = lesion.get_segment_description(1)
    assert (described.segment_label, described.algorithm_type.value) == ("Lesion", "AUTOMATIC")
    volume = lesion.get_volume(combine_segments=True)
    # voxels of the map in LPS mm, found again in the volume
    marked = np.argwhere(volume.array > 0)
    mm = marked @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    to_voxels = np.linalg.inv(scan.volume.affine) @ np.diag([-1, -1, 1, 1])
    voxels = mm @ to_voxels[:3, :3].T + to_voxels[:3, 3]
    np.testing.assert_allclose(voxels, np.rint(voxels), atol=0.05)
    found = np.zeros_like(mask)
    found[tuple(np.rint(voxels).astype(int).T)] = True
    np.testing.assert_array_equal(found, mask)
    assert mask.any()
    sources = {each.header.SOPInstanceUID for each in scan.slices}
    referenced = lesion.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert {item.ReferencedSOPInstanceUID for item in referenced} == sources


def test_no_error_is_found_in_the_files(scan: Scan, tmp_path: Path) -> None:
    _, _, folder = made(scan, tmp_path / "dicom")
    sound(folder)


@pytest.mark.parametrize("plane", PLANES)
def test_maps_without_a_lesion_are_written_too(tmp_path: Path, plane: str) -> None:
    scan = read_scan(write(tmp_path / "study", flair(plane)))
    nothing = np.zeros(scan.volume.data.shape, bool)
    folder = write_dicom(scan, scan.volume.data, nothing, tmp_path / "dicom")
    lesion = highdicom.seg.segread(folder / "lesion.dcm")
    assert not lesion.pixel_array.any()
    assert len(list(folder.iterdir())) == len(scan.slices) + 1
    sound(folder)


def test_a_scale_that_changes_from_slice_to_slice_is_one_afterwards(tmp_path: Path) -> None:
    series = flair(RescaleIntercept="0", RescaleType="US", Manufacturer="Philips")
    for index, image in enumerate(series):
        image.RescaleSlope = 1 + index / 10
    scan = read_scan(write(tmp_path / "study", series))
    folder = write_dicom(scan, scan.volume.data, scan.volume.data > 600, tmp_path / "dicom")
    expected = {image.SOPInstanceUID: image.pixel_array * float(image.RescaleSlope) for image in series}
    written = healthy_images(folder)
    for image in written:
        source = image.SourceImageSequence[0].ReferencedSOPInstanceUID
        np.testing.assert_allclose(values(image), expected[source], atol=0.01)
    assert len({image.RescaleSlope for image in written}) == 1


@pytest.mark.parametrize("keyword", ["FrameOfReferenceUID", "StudyInstanceUID"])
def test_headers_that_lack_what_a_derived_series_shares_are_refused(tmp_path: Path, keyword: str) -> None:
    for given in (None, generate_uid()):
        series = flair()
        setattr(series[4], keyword, given)
        scan = read_scan(write(tmp_path / f"study {given}", series))
        with pytest.raises(InputError, match=f"--dicom: an image without {keyword}, or of another"):
            expect_writable(scan)


def test_several_multi_frame_files_are_refused(tmp_path: Path) -> None:
    of = stack()
    parts = [slice(index, index + 1) for index in range(20)]
    files = [enhanced(of._replace(pixels=of.pixels[each], positions=of.positions[each]), 5) for each in parts]
    for index, image in enumerate(files):
        image.SeriesInstanceUID, image.InstanceNumber = files[0].SeriesInstanceUID, index + 1
    scan = read_scan(write(tmp_path / "study", files))
    with pytest.raises(InputError, match="--dicom: 20 slices in 20 multi-frame files; expected one"):
        expect_writable(scan)


def test_a_folder_of_an_earlier_run_is_replaced_whole(tmp_path: Path) -> None:
    scan = read_scan(write(tmp_path / "study", flair()))
    folder = tmp_path / "dicom"
    folder.mkdir()
    (folder / "healthy_0099.dcm").touch()
    made(scan, folder)
    assert len(list(folder.iterdir())) == 21
    assert not (folder / "healthy_0099.dcm").exists()


def test_from_python_as_the_how_to_does(tmp_path: Path) -> None:
    scan = read_scan(str(write(tmp_path / "study", flair())))
    result = pseudohealthy.synthesize(scan.volume, saved(tmp_path / "weights"), device="cpu")
    result.save(tmp_path / "healthy", scan.name)
    folder = write_dicom(scan, result.healthy, result.mask, str(tmp_path / "healthy" / "dicom"))
    assert len(list(folder.iterdir())) == 21
    (folder / "mine").touch()
    with pytest.raises(InputError, match="holds something that was not made here"):
        write_dicom(scan, result.healthy, result.mask, folder)


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    scan = read_scan(write(tmp_path / "study", flair()))
    out = tmp_path / "out"
    out.mkdir()
    with full_disk(1000), pytest.raises(PseudohealthyError, match="cannot be written"):
        made(scan, out / "dicom")
    assert list(out.iterdir()) == []


def test_a_header_that_cannot_be_written_is_refused_before_any_work_and_without_the_patient(
    tmp_path: Path,
) -> None:
    scan = read_scan(write(tmp_path / "study", flair()))
    expect_writable(scan)
    for each in scan.slices:
        each.header.SOPClassUID = "Ottoline"
    line = "--dicom: no DICOM can be made of the headers of the input"
    with pytest.raises(InputError, match=line) as refused:
        expect_writable(scan)
    assert "Ottoline" not in str(refused.value)
    with pytest.raises(PseudohealthyError, match=line):
        made(scan, tmp_path / "dicom")
    assert not (tmp_path / "dicom").exists()


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 192", "Müller^Jürgen"),
        ("ISO_IR 144", "Иванов^Иван"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    ],
)
def test_names_in_any_alphabet_are_those_of_the_source(tmp_path: Path, charset: str, name: str) -> None:
    scan = read_scan(write(tmp_path / "study", flair(SpecificCharacterSet=charset, PatientName=name)))
    expect_writable(scan)
    _, _, folder = made(scan, tmp_path / "dicom")
    assert {str(pydicom.dcmread(path).PatientName) for path in folder.iterdir()} == {name}
    sound(folder)


@pytest.mark.parametrize(
    ("keyword", "given", "expected"),
    [
        ("PatientSex", "UNKNOWN", ""),
        ("PatientBirthDate", "ANON", ""),
        ("StudyTime", "10:11:12", ""),
        ("SliceThickness", None, "1"),
        ("SliceThickness", "0", "1"),
        ("SpacingBetweenSlices", "-1", "1"),
    ],
)
def test_what_an_export_fills_with_what_cannot_be_is_mended(
    tmp_path: Path, keyword: str, given: Any, expected: str
) -> None:
    with silent():
        scan = read_scan(write(tmp_path / "study", flair(**{keyword: given})))
    expect_writable(scan)
    _, _, folder = made(scan, tmp_path / "dicom")
    assert {str(image.get(keyword)) for image in healthy_images(folder)} == {expected}
    sound(folder)


@pytest.mark.parametrize(
    ("keyword", "given"), [("ManufacturerModelName", "x" * 100), ("AcquisitionDateTime", "garbage")]
)
def test_a_scanner_that_cannot_be_named_is_left_out(tmp_path: Path, keyword: str, given: Any) -> None:
    with silent():
        scan = read_scan(write(tmp_path / "study", flair(**{keyword: given})))
    expect_writable(scan)
    _, _, folder = made(scan, tmp_path / "dicom")
    assert all("ContributingEquipmentSequence" not in image for image in healthy_images(folder))
    sound(folder)
