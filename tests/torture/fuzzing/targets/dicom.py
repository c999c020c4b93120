"""What scanners export: DICOM files in folders and zip archives."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random
from typing import Any

from fixtures.brains import diseased
from fixtures.models import saved
from pseudohealthy.cli.dicom import read_if_dicom
from torture.fuzzing import mutations as m
from torture.fuzzing.dicom_mutations import archive_changed, elements_changed
from torture.fuzzing.targets.bids import names_changed
from torture.fuzzing.targets.target import Target, made, run_pseudohealthy

SLICES = 5
IMAGES = tuple(f"study/IM{index:05d}" for index in range(SLICES))


def _images() -> list[Any]:
    from fixtures.scans import FLAIR, images, stack

    series = images(stack(data=diseased()[:, :, 8 : 8 + SLICES]), 5, **FLAIR)
    for number, image in enumerate(series, 1):
        _identify(image, number)
    return series


def _identify(image: Any, number: int) -> None:
    """Give an image the identifiers that it has each time."""
    image.SeriesInstanceUID = "1.2.5"
    image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"1.2.5.{number}"


def build_series(folder: Path) -> None:
    """A series of a file a slice in `study`."""
    from fixtures.scans import write

    write(folder / "study", _images())


def _build_frames(folder: Path) -> None:
    from fixtures.scans import enhanced, stack

    image = enhanced(stack(data=diseased()[:, :, 8 : 8 + SLICES]), 5)
    _identify(image, 1)
    image.save_as(folder / "frames.dcm", enforce_file_format=True)


def _build_archive(folder: Path) -> None:
    from fixtures.scans import zipped

    with tempfile.TemporaryDirectory() as place:
        build_series(Path(place))
        zipped(Path(place) / "study", folder / "study.zip")


def _build_synthesis(folder: Path) -> None:
    build_series(folder)
    saved(folder / "weights", finds=None)


def _read(path: Path, out: Path) -> None:
    """As `synthesize --dicom` does before and after its work."""
    before, tempfile.tempdir = tempfile.tempdir, str(made(out / "temporary"))
    try:
        scan = read_if_dicom(path, None, writes=True)
    finally:
        tempfile.tempdir = before
    if scan is not None:
        from pseudohealthy.dicom.output import write_dicom

        write_dicom(scan, scan.volume.data, scan.volume.data > 200, out / "dicom")


def _read_series(folder: Path, out: Path) -> None:
    _read(folder / "study", out)


def _read_frames(folder: Path, out: Path) -> None:
    _read(folder / "frames.dcm", out)


def _read_archive(folder: Path, out: Path) -> None:
    _read(folder / "study.zip", out)


def _synthesize(folder: Path, out: Path) -> None:
    options = ("--weights", folder / "weights", "--dicom", "--no-report")
    before, tempfile.tempdir = tempfile.tempdir, str(made(out / "temporary"))
    try:
        run_pseudohealthy("synthesize", folder / "study", "-o", out / "made", *options)
    finally:
        tempfile.tempdir = before


def _series_changed(random: Random, folder: Path) -> None:
    """Files renamed, doubled or made something else; and an attribute of all images, or of all but one."""
    if random.random() < 0.5:
        names_changed(random, folder / "study")
        return
    paths, seed = [folder / name for name in IMAGES], random.random()
    for path in paths[random.choice((0, 0, 1)) :]:
        path.write_bytes(elements_changed(Random(seed), path.read_bytes()))


DICOM = m.any_of(elements_changed, elements_changed, m.bytes_changed)
TARGETS = (
    Target("dicom_series", "DICOM", 2, build_series, _read_series, dict.fromkeys(IMAGES, DICOM)),
    Target("dicom_folder", "DICOM", 1, build_series, _read_series, disturb=_series_changed),
    Target("dicom_frames", "DICOM", 0.7, _build_frames, _read_frames, {"frames.dcm": DICOM}),
    Target("dicom_archive", "DICOM", 1, _build_archive, _read_archive, {"study.zip": archive_changed}),
    Target(
        "synthesize_dicom",
        "DICOM",
        0.2,
        _build_synthesis,
        _synthesize,
        dict.fromkeys(IMAGES, elements_changed),
    ),
)
