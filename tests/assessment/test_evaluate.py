"""A model on a split of a cohort: the scores of models whose output is known beforehand."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from fixtures.cohorts import FITTING, bids, controls, participants
from fixtures.models import saved
from pseudohealthy import __version__
from pseudohealthy.assessment.evaluate import evaluate
from pseudohealthy.assessment.protocol import ProtocolSettings
from pseudohealthy.config import Split
from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.data.prepare import prepare
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import RESEARCH_USE, InputError
from pseudohealthy.provenance import provenance
from pseudohealthy.synthesis.model import Model

ROOT = Path(__file__).resolve().parents[2]
SPLITS = ("train", "train", "val", "val", "val", "test")


@pytest.fixture(scope="module")
def with_truth(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """Six patients whose healthy images are known, three of them for validation."""
    root = tmp_path_factory.mktemp("truth")
    rows = (f"sub-{number:02d}\t{split}" for number, split in enumerate(SPLITS, 1))
    participants(bids(root / "patients", 6, truths=True), "participant_id\tsplit", *rows)
    prepare(read_cohort([root / "patients"]), root / "prepared", FITTING)
    return Prepared.open(root / "prepared")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Model]:
    root = tmp_path_factory.mktemp("models")
    folders = {
        "fresh": saved(root / "fresh"),
        "copying": saved(root / "copying", copying=True),
        "judge": saved(root / "judge", "judge"),
        "sees all": saved(root / "all", "judge", finds=True),
        "sees none": saved(root / "none", "judge", finds=False),
    }
    return {name: Model.load(folder, "cpu") for name, folder in folders.items()}


def of_split(prepared: Prepared, split: str) -> tuple[Any, pd.DataFrame]:
    """Rows of a split's pathological slices, and their table."""
    table = prepared.slices
    table = table[(table["split"] == split) & (table["label"] == "pathological")]
    return table["row"].to_numpy(), table


def test_a_copy_keeps_identity_and_heals_nothing(
    tmp_path: Path, with_truth: Prepared, models: dict[str, Model]
) -> None:
    judge = models["judge"]
    summary = evaluate(with_truth, models["copying"], tmp_path, judges={"judge": judge})
    for name, value in {
        "identity": 1,
        "identity_normalised": 1,
        "psnr_outside": 100,
        "mae_outside": 0,
    }.items():
        assert summary[name] == {"mean": pytest.approx(value), "std": 0, "low": value, "high": value}
    assert summary["truth_phantom"]["mae_ratio"]["mean"] == 1
    assert summary["truth_phantom"]["outside"]["psnr"]["mean"] == 100
    assert summary["healthiness"]["rel"] == 0
    rows, _ = of_split(with_truth, "val")
    found = np.count_nonzero(judge.segment(with_truth.images[rows]) > 0.5)
    assert found > 0
    assert summary["healthiness"]["pooled"] == pytest.approx(1 - found / with_truth.masks[rows].sum())


def test_the_error_against_the_truth_is_that_of_the_outputs(
    tmp_path: Path, with_truth: Prepared, models: dict[str, Model]
) -> None:
    fresh = models["fresh"]
    evaluate(with_truth, fresh, tmp_path)
    written = pd.read_csv(tmp_path / "volumes.tsv", sep="\t", dtype={"volume": str}).set_index("volume")
    assert with_truth.truth is not None
    for subject, rows in of_split(with_truth, "val")[1].groupby("subject")["row"]:
        x, m = with_truth.images[rows], with_truth.masks[rows] > 0
        x_tilde, truth = fresh.synthesize(x), with_truth.truth[rows]
        inside = np.abs(x_tilde - truth)[m].mean()
        scores = written.loc[str(subject)]
        assert scores["truth_phantom.inside.mae"] == pytest.approx(inside, rel=1e-5)
        assert scores["truth_phantom.mae_ratio"] == pytest.approx(
            inside / np.abs(x - truth)[m].mean(), rel=1e-5
        )
        outside = np.abs(x_tilde - x)[(x > 0) & ~m].mean()
        assert scores["mae_outside"] == pytest.approx(outside, rel=1e-5)
        assert 0 < scores["identity"] < 1


def test_the_judge_looks_at_outputs_and_at_inputs(
    tmp_path: Path, with_truth: Prepared, models: dict[str, Model]
) -> None:
    judge, fresh = models["judge"], models["fresh"]
    summary = evaluate(with_truth, fresh, tmp_path, judges={"judge": judge})
    rows, _ = of_split(with_truth, "val")
    x = with_truth.images[rows]
    in_inputs, in_outputs = (np.count_nonzero(judge.segment(each) > 0.5) for each in (x, fresh.synthesize(x)))
    assert in_inputs != in_outputs
    assert summary["healthiness"]["pooled"] == pytest.approx(1 - in_outputs / with_truth.masks[rows].sum())
    assert summary["healthiness"]["rel"] == pytest.approx(1 - in_outputs / in_inputs)


def test_a_judge_that_sees_all_or_none(
    tmp_path: Path, with_truth: Prepared, models: dict[str, Model]
) -> None:
    rows, _ = of_split(with_truth, "val")
    pixels, lesions = with_truth.masks[rows].size, int(with_truth.masks[rows].sum())
    every = evaluate(with_truth, models["fresh"], tmp_path / "all", judges={"judge": models["sees all"]})
    assert every["healthiness"]["pooled"] == pytest.approx(1 - pixels / lesions)
    assert every["judge"]["dice_pooled"] == pytest.approx(2 * lesions / (pixels + lesions))
    none = evaluate(with_truth, models["fresh"], tmp_path / "none", judges={"judge": models["sees none"]})
    assert none["healthiness"]["pooled"] == none["healthiness"]["mean"] == 1
    assert none["judge"]["dice_pooled"] == 0
    assert none["judge"]["weights"]["method"] == "judge"


def test_the_segmentor_is_scored_against_the_masks(
    tmp_path: Path, with_truth: Prepared, models: dict[str, Model]
) -> None:
    summary = evaluate(with_truth, models["fresh"], tmp_path)
    rows, table = of_split(with_truth, "val")
    x, masks = with_truth.images[rows], with_truth.masks[rows] > 0
    found = (models["fresh"].segment(x) > 0.5) & (x > 0)
    assert summary["segmentor_dice"]["pooled"] == pytest.approx(_dice(found, masks))
    subjects = table["subject"].to_numpy()
    each = [_dice(found[subjects == name], masks[subjects == name]) for name in pd.unique(subjects)]
    assert summary["segmentor_dice"]["mean"] == pytest.approx(np.mean(each))


def _dice(found: Any, masks: Any) -> float:
    return float(2 * (found & masks).sum() / (found.sum() + masks.sum()))


def test_each_volume_of_the_split_has_a_row(
    tmp_path: Path, with_truth: Prepared, models: dict[str, Model]
) -> None:
    splits: dict[Split, list[str]] = {"val": ["03", "04", "05"], "test": ["06"]}
    for split, subjects in splits.items():
        summary = evaluate(with_truth, models["copying"], tmp_path / split, ProtocolSettings(split=split))
        rows = pd.read_csv(tmp_path / split / "volumes.tsv", sep="\t", dtype={"volume": str})
        assert rows["volume"].tolist() == subjects
        assert rows["slices"].tolist() == [4] * len(subjects)
        assert rows["lesion_voxels"].tolist() == [4 * 48] * len(subjects)
        assert (summary["split"], summary["volumes"]) == (split, len(subjects))
        assert summary["slices"] == 4 * len(subjects)


def test_the_summary_on_disk_is_strict_json_and_says_what_made_it(
    tmp_path: Path, with_truth: Prepared, models: dict[str, Model]
) -> None:
    def refuse(name: str) -> None:
        raise AssertionError(name)

    evaluate(
        with_truth,
        models["fresh"],
        tmp_path,
        ProtocolSettings(split="test"),
        judges={"judge": models["judge"]},
    )
    summary = json.loads((tmp_path / "summary.json").read_text(), parse_constant=refuse)
    assert summary["identity"]["std"] is None  # of one volume
    assert (summary["data"], summary["cohort"]) == (with_truth.manifest["key"], "patients")
    assert summary["model"] == models["fresh"].provenance
    assert summary["judge"]["weights"] == models["judge"].provenance
    assert (summary["version"], summary["torch"]) == (__version__, torch.__version__)
    assert summary["research_use"] == RESEARCH_USE
    assert summary["seconds_a_slice"] > 0


def test_balance_comes_with_a_judge_and_texture_always(
    tmp_path: Path, with_truth: Prepared, models: dict[str, Model]
) -> None:
    """Of a blind judge and the threshold rule a copy has half; lesions of 48 pixels are too small."""
    summary = evaluate(with_truth, models["copying"], tmp_path, judges={"judge": models["sees none"]})
    assert summary["texture"]["slices"] == 0
    found = json.loads((tmp_path / "summary.json").read_text())
    assert (found["texture"]["median"], found["texture"]["slices"]) == (None, 0)
    table = pd.read_csv(tmp_path / "volumes.tsv", sep="\t")
    assert table["texture"].isna().all()
    i, h = table["identity_normalised"], 1 - (table["found.judge"] * 0 + table["found.threshold"]) / 96 / 4
    assert table["balance"].tolist() == pytest.approx((2 * i * h / (i + h)).tolist())
    assert summary["balance"]["mean"] == pytest.approx(table["balance"].mean())


def test_without_truth_and_judge_there_is_identity_alone(
    tmp_path: Path, prepared: Prepared, models: dict[str, Model]
) -> None:
    summary = evaluate(prepared, models["copying"], tmp_path)
    assert "identity" in summary
    assert not {"truth_phantom", "healthiness", "balance", "judge", "valid"} & summary.keys()


def test_a_cohort_prepared_in_another_way_is_refused_with_what_differs(
    tmp_path: Path, prepared: Prepared, models: dict[str, Model]
) -> None:
    other = Model.load(saved(tmp_path / "m", clip_region="all", spacing=2.0), "cpu")
    with pytest.raises(
        InputError, match=r"the model's \(spacing is 1\.0, not 2\.0; clip_region is brain, not all\)"
    ):
        evaluate(prepared, other, tmp_path / "out")
    judge = Model.load(saved(tmp_path / "j", "judge", slice_shape=(96, 80)), "cpu")
    with pytest.raises(InputError, match=r"the judge's \(slice_shape is \[64, 48\], not \[96, 80\]\)"):
        evaluate(prepared, models["fresh"], tmp_path / "out", judges={"judge": judge})
    assert not (tmp_path / "out").exists()


def test_a_judge_is_no_model_to_score(tmp_path: Path, prepared: Prepared, models: dict[str, Model]) -> None:
    with pytest.raises(InputError, match="method judge, which has no generator"):
        evaluate(prepared, models["judge"], tmp_path)


def test_a_split_without_lesions_is_refused(tmp_path: Path, models: dict[str, Model]) -> None:
    parts = [bids(tmp_path / "patients", 4, masks=False), controls(tmp_path / "controls", 4)]
    prepare(read_cohort(parts), tmp_path / "prepared", FITTING)
    with pytest.raises(InputError, match="no pathological val slice"):
        evaluate(Prepared.open(tmp_path / "prepared"), models["fresh"], tmp_path / "out")


def test_a_checkout_is_named_by_its_commit() -> None:
    if not (ROOT / ".git").exists():
        assert provenance()["commit"] is None
        return
    command = ["git", "-C", str(ROOT), "rev-parse", "HEAD"]
    head = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert provenance()["commit"] in (head, f"{head}-dirty")


def test_a_judge_is_valid_if_it_finds_the_lesions_of_the_inputs(
    tmp_path: Path, with_truth: Prepared, models: dict[str, Model]
) -> None:
    every = evaluate(with_truth, models["fresh"], tmp_path, judges={"judge": models["sees all"]})
    assert every["valid"] is False
    assert every["judge"]["h_copy"] < -0.2
    oracle = models["sees all"]
    rows, marked = of_split(with_truth, "val")[0], 0.0
    masks = with_truth.masks[rows].astype(np.float32)

    def lesion(_: object, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """The true masks of the lesions' slices; so much of any other."""
        other = np.zeros(x.shape, dtype=np.float32)
        other[:, : round(marked * x.shape[1])] = 1
        return masks if len(x) == len(rows) else other

    knows = type("Oracle", (), {"segment": lesion, "preprocessing": oracle.preprocessing})()
    knows.provenance = oracle.provenance
    right = evaluate(with_truth, models["fresh"], tmp_path / "right", judges={"judge": knows})
    assert right["valid"] is True
    assert right["judge"]["h_copy"] == pytest.approx(0)
    assert right["judge"]["dice_pooled"] == 1
    assert (right["judge"]["h_real_healthy"], right["invalid_reason"]) == (1, None)
    marked = 0.5  # of each healthy slice
    wrong = evaluate(with_truth, models["fresh"], tmp_path / "wrong", judges={"judge": knows})
    assert (wrong["judge"]["dice_pooled"], wrong["valid"]) == (1, False)
    assert wrong["judge"]["h_real_healthy"] == pytest.approx(1 - 32 * 48 / 48)  # over lesions of 6 x 8
    assert wrong["invalid_reason"] == "the judge's h(real healthy) is -31.000, under 0.95"


def test_without_healthy_slices_it_is_not_known_whether_a_judge_is_valid(
    tmp_path: Path, with_truth: Prepared, models: dict[str, Model]
) -> None:
    """As of a cohort of lesions' slices alone."""
    table = with_truth.slices
    ill = replace(with_truth, slices=table[(table["split"] != "val") | (table["label"] == "pathological")])
    found = evaluate(ill, models["fresh"], tmp_path, judges={"judge": models["sees all"]})
    assert not found["valid"]
    assert "h(real healthy) is not known" in found["invalid_reason"]
    assert json.loads((tmp_path / "summary.json").read_text())["judge"]["h_real_healthy"] is None


def test_scores_that_are_there_are_replaced_only_on_request(
    tmp_path: Path, with_truth: Prepared, models: dict[str, Model], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("summary.json", "volumes.tsv"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(InputError, match=f"{name}: exists already; .* --overwrite"):
            evaluate(with_truth, models["copying"], tmp_path)
        assert (tmp_path / name).read_text() == "mine"
        (tmp_path / name).unlink()
    replace_file = Path.replace

    def killed(path: Path, target: Path) -> Path:
        if target == tmp_path / "summary.json":  # the second of the two
            raise KeyboardInterrupt
        return replace_file(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            evaluate(with_truth, models["copying"], tmp_path)
    assert (tmp_path / "volumes.tsv").exists()
    assert not (tmp_path / "summary.json").exists()
    evaluate(with_truth, models["copying"], tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"summary.json", "volumes.tsv"}
    with pytest.raises(InputError, match="exists already"):
        evaluate(with_truth, models["copying"], tmp_path)
    evaluate(with_truth, models["copying"], tmp_path, overwrite=True)
