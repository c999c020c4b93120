"""The command `prepare`: what is read, left out and refused of a cohort."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy import ndimage

from fixtures.brains import LPS, lesion, write
from fixtures.cohorts import bids, participants
from fixtures.command_line import FIT, Run, refused


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
