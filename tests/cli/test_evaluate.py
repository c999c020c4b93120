"""The command `evaluate`."""

from __future__ import annotations

import re
from pathlib import Path

from fixtures.brains import lesion, write
from fixtures.cohorts import bids, participants
from fixtures.command_line import FIT, SHORT, Run, refused
from fixtures.models import saved


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


def test_a_split_without_lesion_is_told(run: Run, tmp_path: Path) -> None:
    data = bids(tmp_path / "data", 4)
    splits = enumerate(("train", "train", "val", "test"), 1)
    participants(data, "participant_id\tsplit", *(f"sub-{number:02d}\t{split}" for number, split in splits))
    write(data / "derivatives/lesions/sub-03/anat/sub-03_label-lesion_mask.nii.gz", 0 * lesion())
    refused(run("prepare", data, "-o", tmp_path / "out", *FIT), "no lesion slice in the val split")
    assert not (tmp_path / "out").exists()


def test_a_cohort_prepared_otherwise_than_the_models_is_told(
    run: Run, prepared_folder: Path, tmp_path: Path
) -> None:
    other = saved(tmp_path / "other", clip_region="all")
    result = run("evaluate", prepared_folder, "-o", tmp_path / "out", "--weights", other)
    refused(result, "another way than the model's (clip_region is brain, not all)")
