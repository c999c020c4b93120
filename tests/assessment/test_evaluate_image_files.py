"""Another program's images on a split of a cohort: of such whose scores are known beforehand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from fixtures.brains import lesion, write
from fixtures.cohorts import FITTING, bids, brats, isles, participants
from fixtures.models import saved
from pseudohealthy.assessment.evaluate import evaluate
from pseudohealthy.assessment.predictors import ImageFiles
from pseudohealthy.assessment.protocol import ProtocolSettings
from pseudohealthy.config import preprocessing
from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.data.predicted_images import read_outputs
from pseudohealthy.data.prepare import prepare
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import InputError
from pseudohealthy.evaluation.compare import read_scores
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.synthesize import synthesize

SPLITS = ("train", "train", "val", "val", "val", "test")
TEST = ProtocolSettings(split="test")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six patients whose healthy images are known, three of them for validation."""
    rows = (f"sub-{number:02d}\t{split}" for number, split in enumerate(SPLITS, 1))
    folder = bids(tmp_path_factory.mktemp("data") / "patients", 6, truths=True)
    participants(folder, "participant_id\tsplit", *rows)
    return folder


@pytest.fixture(scope="module")
def cohort(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("cohort") / "prepared"
    prepare(read_cohort([data]), folder, FITTING)
    return Prepared.open(folder)


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model.load(saved(tmp_path_factory.mktemp("judge"), "judge"), "cpu")


def pathological(cohort: Prepared, split: str) -> pd.DataFrame:
    table = cohort.slices
    return table[(table["split"] == split) & (table["label"] == "pathological")]


def copied(data: Path, pattern: str, to: Path) -> Path:
    """Files of a data set, in one folder."""
    to.mkdir()
    for path in data.glob(pattern):
        shutil.copy(path, to)
    return to


def test_the_inputs_themselves_keep_identity_and_heal_nothing(
    data: Path, cohort: Prepared, judge: Model, tmp_path: Path
) -> None:
    outputs = copied(data, "sub-*/anat/*", tmp_path / "outputs")
    summary = evaluate(cohort, ImageFiles(outputs, [data]), tmp_path / "scores", judges={"first": judge})
    assert summary["identity"]["mean"] == pytest.approx(1)
    assert summary["mae_outside"]["mean"] == 0
    assert summary["healthiness"]["rel"] == 0
    assert (summary["volumes"], summary["split"], summary["predictions"]) == (3, "val", "outputs")
    assert json.loads((tmp_path / "scores/summary.json").read_text())["data"] == cohort.manifest["key"]
    assert read_scores(tmp_path / "scores").index.tolist() == ["03", "04", "05"]


def test_the_truths_are_without_error(data: Path, cohort: Prepared, tmp_path: Path) -> None:
    outputs = copied(data, "derivatives/healthy/sub-*/anat/*", tmp_path / "outputs")
    summary = evaluate(cohort, ImageFiles(outputs, [data]), tmp_path / "scores", TEST)
    assert summary["truth_phantom"]["inside"]["mae"]["mean"] == 0
    assert summary["truth_phantom"]["mae_ratio"]["mean"] == 0
    assert not {"healthiness", "judge", "valid", "compared"} & summary.keys()


def test_what_synthesize_writes_is_what_the_model_makes_of_the_slices(
    data: Path, cohort: Prepared, tmp_path: Path
) -> None:
    model = Model.load(saved(tmp_path / "model"), "cpu")
    for path in data.glob("sub-*/anat/*.nii.gz"):
        synthesize(path, model).save(tmp_path / "outputs", path.name)
    table = pathological(cohort, "val")
    x = cohort.images[table["row"]]
    outputs, x_tilde = read_outputs(cohort, table, tmp_path / "outputs", [data]), model.synthesize(x)
    seen = (x > 0) & (x < 1)  # above the ceiling an output keeps what the model never saw
    assert np.abs(x_tilde - x)[seen].mean() > 1e-3
    np.testing.assert_allclose(outputs[seen], x_tilde[seen], atol=1e-5)
    assert not outputs[x == 0].any()


@pytest.mark.parametrize("make", [brats, isles])
def test_the_paper_s_cohorts_in_the_paper_s_recipe(tmp_path: Path, make: Any) -> None:
    """Layout, middle slices, field around the image's centre, V99.5 of all voxels, and whose output it is."""
    settings = preprocessing("midl2019", {"slice_shape": (64, 48)})
    folder = make(tmp_path / "set", 5)
    prepare(read_cohort([folder]), tmp_path / "prepared", settings, fractions=(0.4, 0.2, 0.4))
    cohort = Prepared.open(tmp_path / "prepared")
    assert cohort.slices["z"].unique().tolist() == list(range(1, 19))  # all of 20 that show brain
    weights = saved(
        tmp_path / "judge", "judge", clip_region="all", crop_centre="image", slice_selection="middle60"
    )
    judge = Model.load(weights, "cpu")
    for record in cohort.manifest["volumes"]:
        image = nib.load(folder / record["inputs"]["image"]["path"]).get_fdata()
        write(tmp_path / f"outputs/{record['subject']}_filled.nii.gz", np.where(lesion() > 0, 150, image))
        write(tmp_path / f"outputs/{record['subject']}_mask.nii.gz", lesion())
    files = ImageFiles(tmp_path / "outputs", [folder])
    summary = evaluate(cohort, files, tmp_path / "out", TEST, judges={"first": judge})
    assert (summary["volumes"], summary["slices"]) == (2, 8)
    assert summary["mae_outside"]["mean"] == 0
    table = pathological(cohort, "test")
    outputs = read_outputs(cohort, table, tmp_path / "outputs", [folder])
    inside = outputs[cohort.masks[table["row"]] > 0]
    ceilings = [record["facts"]["ceiling"] for record in cohort.manifest["volumes"]]
    assert set(inside.tolist()) <= {float(np.float32(150) / np.float32(ceiling)) for ceiling in ceilings}
    found = np.count_nonzero(judge.segment(outputs) > 0.5)
    masks = np.count_nonzero(cohort.masks[table["row"]])
    assert summary["healthiness"]["pooled"] == pytest.approx(1 - found / masks)


def test_a_judge_of_other_slices_is_refused_before_any_image_is_read(
    data: Path, cohort: Prepared, tmp_path: Path
) -> None:
    other = Model.load(saved(tmp_path / "judge", "judge", slice_shape=(96, 80)), "cpu")
    files = ImageFiles(tmp_path / "none", [data])
    with pytest.raises(InputError, match=r"the judge.*'s \(slice_shape is \[64, 48\], not \[96, 80\]\)"):
        evaluate(cohort, files, tmp_path / "out", judges={"first": other})
    with pytest.raises(InputError, match="none: no such folder"):
        evaluate(cohort, files, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_comparison_is_written_beside_the_scores(
    data: Path, cohort: Prepared, judge: Model, tmp_path: Path
) -> None:
    judges = {"first": judge}
    copies = copied(data, "sub-*/anat/*", tmp_path / "copies")
    truths = ImageFiles(copied(data, "derivatives/healthy/sub-*/anat/*", tmp_path / "truths"), [data])
    evaluate(cohort, ImageFiles(copies, [data]), tmp_path / "first", judges=judges)
    summary = evaluate(cohort, truths, tmp_path / "second", judges=judges, compare=tmp_path / "first")
    written = json.loads((tmp_path / "second/summary.json").read_text())["compared"]
    assert written == summary["compared"]
    first, second = (read_scores(tmp_path / name) for name in ("first", "second"))
    for measure in ("identity", "healthiness"):
        gain = second[measure] - first[measure]
        assert written[measure]["difference"] == pytest.approx(gain.mean(), abs=1e-12)
        assert written[measure]["n"] == written["volumes"] == 3
    with pytest.raises(InputError, match=r"copies/volumes.tsv: cannot be read as scores"):
        evaluate(cohort, truths, tmp_path / "third", compare=copies)
