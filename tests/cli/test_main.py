"""The program as a person meets it: its commands, its exit codes, and one line for whatever is wrong."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch

from fixtures.cohorts import bids
from fixtures.command_line import FIT, SHORT, Run, contents, plain, refused
from fixtures.full_disk import full_disk
from pseudohealthy import __version__
from pseudohealthy.cli.main import EXITS
from pseudohealthy.errors import RESEARCH_USE
from pseudohealthy.synthesis.bundled_weights import bundled_weights
from pseudohealthy.synthesis.lesion_caveat import NOT_MEASURED
from pseudohealthy.synthesis.output_files import output_files, sidecar_path

COMMANDS = [
    "demo",
    "phantom",
    "prepare",
    "train",
    "synthesize",
    "transplant",
    "evaluate",
    "reproduce",
    "export",
    "serve",
    "info",
]


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


def test_what_is_no_prepared_cohort_is_told(run: Run, weights: Path, tmp_path: Path) -> None:
    for command in (["train"], ["evaluate", "--weights", weights]):
        for folder in (tmp_path, tmp_path / "none"):
            refused(run(*command, folder, "-o", tmp_path / "out"), f"{folder}: not a prepared cohort")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told(
    run: Run, image: Path, prepared_folder: Path, weights: Path, tmp_path: Path
) -> None:
    to = ["-o", tmp_path / "out", "--device", "cuda"]
    refused(run("train", prepared_folder, *SHORT, *to), "device cuda cannot be used", "--device cpu")
    refused(run("synthesize", image, "--weights", weights, *to), "device cuda cannot be used", "--device cpu")
    assert not (tmp_path / "out").exists()


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
