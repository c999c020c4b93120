"""`synthesize` on what a scanner exports: files, lines, and no trace of the patient but in DICOM itself."""

from __future__ import annotations

import base64
import gzip
import importlib.util
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from fixtures.brains import brain, write
from fixtures.command_line import PROGRAM, Run, contents, refused
from fixtures.scans import PLANTED, exported, flair, other_series, zipped
from fixtures.scans import write as write_series
from pseudohealthy.locks import locked
from pseudohealthy.synthesis.output_files import dicom_folder, output_files, output_stem, with_sidecars

SHOWN = re.compile("|".join(PLANTED), re.IGNORECASE)


@pytest.fixture
def run(run: Run, weights: Path) -> Run:
    """`synthesize` with these arguments."""
    return partial(run, "synthesize", "--weights", weights, "--device", "cpu")


def told(path: Path) -> str:
    """All that a file holds, unpacked, as text."""
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    packed = re.findall(rb"H4sI[A-Za-z0-9+/=]+", content)  # volumes within a page
    return b"".join([content, *(gzip.decompress(base64.b64decode(each)) for each in packed)]).decode(
        "latin-1"
    )


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_a_study_gives_its_files_without_a_trace_of_the_patient(run: Run, tmp_path: Path, form: str) -> None:
    study = exported(tmp_path / "export", flair(SeriesDescription="AX FLAIR Ottoline"))
    for path in sorted(study.rglob("SE0*")):
        path.rename(path.with_name(f"{path.name} Quackenbush"))
    given = study if form == "folder" else zipped(study, tmp_path / "packed.zip")
    out = tmp_path / "out"
    code, said, warned = run(given, "-o", out, "--dicom", "--keep-header-text")
    note = "1 file that could not be read, which may be a slice at an end"
    assert (code, warned) == (0, f"note: {note}\n")
    assert said.splitlines()[0] == "series: 5, AX FLAIR ***, 20 slices"
    files = with_sidecars(output_files(out, given.stem))
    folder = dicom_folder(out, given.stem)
    assert f"dicom: {folder}" in said
    assert sorted(out.iterdir()) == sorted([*files.values(), folder])
    everything = [said, *(told(path) for path in files.values())]
    everything += [str(path.relative_to(out)) for path in out.rglob("*")]
    assert len(told(files["page"])) > files["page"].stat().st_size  # which was unpacked
    assert [SHOWN.findall(each) for each in everything if SHOWN.search(each)] == []
    assert all(pydicom.dcmread(path).PatientID == PLANTED[2] for path in folder.iterdir())
    report = json.loads(files["report"].read_text(encoding="utf-8"))
    assert report["input"] == given.stem
    assert (report["dicom"]["number"], report["dicom"]["description"]) == (5, "AX FLAIR ***")
    assert report["dicom"]["notes"] == [note]


def test_the_image_is_that_of_the_converted_volume(run: Run, tmp_path: Path) -> None:
    study, out = exported(tmp_path / "study"), tmp_path / "out"
    assert run(study, "-o", out, "--dicom", "--blend")[0] == 0
    healthy = nib.load(output_files(out, "study")["healthy"])
    written = [pydicom.dcmread(path) for path in sorted(dicom_folder(out, "study").glob("healthy_*"))]
    voxels = np.asarray(healthy.dataobj)[:, ::-1].transpose(2, 1, 0)
    np.testing.assert_allclose(np.stack([image.pixel_array for image in written]), voxels, atol=0.501)
    expected = np.diag([-1.0, 1, 1, 1])
    expected[:3, 3] = (-3.25, -45.5, 40.125)
    np.testing.assert_allclose(healthy.affine, expected)


def test_without_a_flair_the_series_are_listed_before_any_work(run: Run, tmp_path: Path) -> None:
    study = write_series(tmp_path / "study", other_series())
    code, said, warned = run(study, "-o", tmp_path / "out")
    lines = warned.splitlines()
    assert (code, said) == (2, "")
    assert lines[0].startswith(
        f"pseudohealthy: {study}: no FLAIR series; expected one, so choose with --series"
    )
    assert lines[1] == "  1: localizer FLAIR (3 slices, localiser)"
    assert len(lines) == 8
    assert not (tmp_path / "out").exists()
    code, said, _ = run(study, "-o", tmp_path / "out", "--series", "MPR")
    assert (code, said.splitlines()[0]) == (0, "series: 6, AX T2 FLAIR MPR, 20 slices")
    assert not dicom_folder(tmp_path / "out", "study").exists()


@pytest.mark.parametrize(
    ("keyword", "line"),
    [
        ("StudyInstanceUID", "series 5: an image with 2 StudyInstanceUIDs; expected one"),
        ("SeriesInstanceUID", "no DICOM images among 20 files, 20 of them damaged"),
    ],
)
def test_identifiers_of_several_values_are_refused_in_one_line(
    run: Run, tmp_path: Path, keyword: str, line: str
) -> None:
    series = flair()
    for image in series:
        setattr(image, keyword, ["1.2", "3.4"])
    study = write_series(tmp_path / "study", series)
    refused(run(study, "-o", tmp_path / "out", "--dicom"), f"{study}: {line}")
    assert not (tmp_path / "out").exists()


def test_options_for_dicom_are_refused_for_other_files(run: Run, tmp_path: Path) -> None:
    image = write(tmp_path / "scan.nii.gz", brain())
    for option in (["--dicom"], ["--series", "5"]):
        code, said, warned = run(image, "-o", tmp_path / "out", *option)
        assert (code, said) == (2, "")
        assert warned == (
            f"pseudohealthy: {option[0]}: {image} is no DICOM; expected a folder, a zip archive or a DICOM "
            "file\n"
        )


def test_what_is_not_there_and_an_archive_that_is_none_are_told_as_what_they_are(
    run: Run, tmp_path: Path
) -> None:
    no_archive = tmp_path / "export.ZIP"
    no_archive.write_text("an error page")
    for given, line in (
        (tmp_path / "nosuch", "does not exist; expected a NIfTI file, or a folder or zip of DICOM files"),
        (no_archive, "is no zip archive, whatever its name says; fetch it again"),
    ):
        code, said, warned = run(given, "-o", tmp_path / "out")
        assert (code, said, warned) == (2, "", f"pseudohealthy: {given} {line}\n")


@pytest.mark.parametrize("out", [".", "healthy", "../study/healthy"])
def test_dicom_is_not_written_among_the_series_that_are_read(run: Run, tmp_path: Path, out: str) -> None:
    study = write_series(tmp_path / "study", flair())
    before = sorted(study.rglob("*"))
    code, said, warned = run(study, "-o", study / out, "--dicom")
    assert (code, said) == (2, "")
    assert "whose series are read; choose a folder outside it for --dicom" in warned
    assert sorted(study.rglob("*")) == before


def test_without_the_extra_a_folder_is_refused_with_its_command(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "dcm2niix" else find(name))
    code, said, warned = run(tmp_path, "-o", tmp_path / "out")
    assert (code, said) == (2, "")
    assert "dcm2niix is needed and not installed; pip install '.[dicom]'" in warned
    assert len(warned.splitlines()) == 1


def test_earlier_dicom_is_replaced_where_that_is_allowed(run: Run, tmp_path: Path) -> None:
    study, out = write_series(tmp_path / "study", flair()), tmp_path / "out"
    folder = dicom_folder(out, "study")
    assert run(study, "-o", out, "--dicom")[0] == 0
    code, _, warned = run(study, "-o", out, "--dicom")
    assert (code, "exists already" in warned) == (2, True)
    for path in (*output_files(out, "study").values(), *out.glob("*.json")):
        path.unlink(missing_ok=True)
    assert run(study, "-o", out, "--dicom")[0] == 0  # as a run leaves it that is killed before its report
    assert run(study, "-o", out, "--dicom", "--overwrite")[0] == 0
    code, said, _ = run(study, "-o", out, "--overwrite")
    assert code == 0
    assert f"removed: {folder}, which an earlier run had made" in said
    assert not folder.exists()


def test_dicom_is_written_while_nobody_else_writes_for_an_input_of_the_name(
    run: Run, tmp_path: Path, weights: Path
) -> None:
    """Another patient's run that ends meanwhile keeps its DICOM, and the later one is refused."""
    first, out = tmp_path / "first", tmp_path / "out"
    assert run(write_series(tmp_path / "a" / "study", flair()), "-o", first, "--dicom")[0] == 0
    other = write_series(tmp_path / "b" / "study", flair(PatientName="Other^One"))
    words = ["synthesize", other, "-o", out, "--weights", weights, "--device", "cpu", "--dicom"]
    out.mkdir()
    with locked(out / f".{output_stem('study')}.lock"):
        process = subprocess.Popen([*PROGRAM, *map(str, words)], stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        while "waiting" not in (line := process.stderr.readline()):
            assert line, process.wait()
        assert not dicom_folder(out, "study").exists()
        shutil.copytree(first, out, dirs_exist_ok=True)
    assert "exists already" in process.communicate()[1]
    assert process.returncode == 2
    assert contents(out) == contents(first)


def test_what_was_not_made_here_is_never_removed(run: Run, tmp_path: Path) -> None:
    study, out = write_series(tmp_path / "study", flair()), tmp_path / "out"
    folder = dicom_folder(out, "study")
    folder.mkdir(parents=True)
    (folder / "notes.txt").touch()
    for option in ([], ["--dicom"], ["--overwrite"]):
        code, _, warned = run(study, "-o", out, *option)
        assert (code, "holds something that was not made here" in warned) == (2, True)
    assert (folder / "notes.txt").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM")
def test_a_terminated_conversion_leaves_nothing(tmp_path: Path, weights: Path) -> None:
    study, temporary = write_series(tmp_path / "study", flair()[:5]), tmp_path / "temporary"
    temporary.mkdir()
    slow = tmp_path / "slow"
    slow.write_text(f"#!/bin/sh\ntouch {tmp_path}/begun\nexec sleep 60\n", encoding="utf-8")
    slow.chmod(0o755)
    code = f"""
import sys, tempfile
import dcm2niix
dcm2niix.bin, tempfile.tempdir = {str(slow)!r}, {str(temporary)!r}
from pseudohealthy.cli.program import main
main()
"""
    words = ["synthesize", study, "-o", tmp_path / "out", "--weights", weights]
    command = [sys.executable, "-c", code, *map(str, words)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "begun").exists() and process.poll() is None:
            time.sleep(0.05)
        assert list(temporary.iterdir())
        process.send_signal(signal.SIGTERM)
        _, warned = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert warned == "pseudohealthy: interrupted; the same command goes on where it was\n"
    assert list(temporary.iterdir()) == []
    assert not (tmp_path / "out").exists()
