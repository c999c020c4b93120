"""A whole experiment at its smallest: what comes out, what the controls are, what a kill changes."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fixtures.cohorts import bids, participants
from pseudohealthy.errors import RESEARCH_USE, InputError
from pseudohealthy.experiment.config import Data, Experiment, read_experiment
from pseudohealthy.experiment.publish import render
from pseudohealthy.experiment.runner import describe_steps, prepared_cohort, reproduce

SMOKE = Path(__file__).resolve().parents[2] / "configs" / "smoke.yaml"
PROGRAM = [sys.executable, "-m", "pseudohealthy.cli.main"]
METHODS = ["conditional_gan", "cyclegan", "unpaired", "paired", "semi_supervised"]
VARYING = ("hours", "seconds", "commit", "machine")


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    return read_experiment(SMOKE)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, experiment: Experiment) -> Path:
    folder = tmp_path_factory.mktemp("smoke")
    reproduce(experiment, folder, device="cpu")
    return folder


@pytest.fixture(scope="module")
def table1(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "results/table1.json").read_text(encoding="utf-8"))
    return found


def row(table1: dict[str, Any], method: str, output: str = "raw", mask: str | None = None) -> dict[str, Any]:
    """The only row of its kind."""
    (found,) = [
        row for row in table1["rows"] if (row["method"], row["output"], row["mask"]) == (method, output, mask)
    ]
    return dict(found)


def test_the_results_say_what_made_them(table1: dict[str, Any], experiment: Experiment) -> None:
    assert table1["config"] == experiment.model_dump(mode="json")
    assert table1["split"] == {"train": 7, "val": 2, "test": 3}
    assert table1["research_use"] == RESEARCH_USE
    assert table1["choice_rule"]
    assert {step["kind"] for step in table1["steps"]} == {"judge", "references", "train", "choose", "measure"}
    assert all(step["key"] and step["seconds"] >= 0 for step in table1["steps"])
    assert table1["valid"] is (
        table1["judge"]["dice_pooled"] >= 0.7
        and abs(table1["judge"]["h_copy"]) <= 0.2
        and table1["judge"]["h_real_healthy"] >= 0.95
    )
    assert bool(table1["invalid_reason"]) is not table1["valid"]


def test_every_row_has_every_measure_that_it_can_have(table1: dict[str, Any]) -> None:
    common = {
        *("identity", "identity_normalised", "psnr_outside", "residual_contrast", "truth_transplant"),
        *(
            "truth_phantom",
            "reseg_excess_auroc",
            "healthy_in",
            "anomaly_auprc",
            "checkerboard",
            "through_plane_inconsistency",
        ),
        *("healthiness", "balance", "texture", "p_holm", "star"),
    }
    assert {"median", "low", "high", "slices"} <= table1["texture_of_healthy_slices"].keys()
    for each in table1["rows"]:
        assert common <= each.keys(), each["method"]
        assert {"median", "low", "high", "slices"} <= each["texture"].keys()
        assert each["star"].keys() == each["p_holm"].keys() == {"identity", "healthiness", "balance"}
        assert {
            "pooled",
            "rel",
            "panel_mean",
            "panel_worst",
            "held_out",
            "insertion_recall",
            "unreliable",
        } <= (each["healthiness"].keys())
    for method in METHODS:
        raw, blend = row(table1, method), row(table1, method, "blend")
        with_s = method not in {"conditional_gan", "cyclegan"}
        assert (raw["segmentor_dice"] is not None) is with_s
        assert (raw["cycle"] is not None) is (method != "conditional_gan")
        assert (raw["mask_control"] is not None) is with_s
        assert blend["cycle"] is None
        assert (raw["width"], raw["images_in_all"], raw["device"]) == (4, 24, "cpu")
        assert raw["hours"] > 0
    assert row(table1, "inpainter", mask="segmentor")["images"] == 24


def test_controls_are_what_their_definitions_say(table1: dict[str, Any]) -> None:
    copy, judge = row(table1, "copy"), table1["judge"]
    assert copy["healthiness"]["rel"] == 0
    assert copy["healthiness"]["pooled"] == pytest.approx(judge["h_copy"])
    assert copy["healthiness"]["insertion_recall"] == judge["insertion_recall"]
    assert copy["identity"]["mean"] == copy["identity_normalised"]["mean"] == 1
    assert copy["checkerboard"]["mean"] == copy["through_plane_inconsistency"]["mean"] == 1
    assert copy["healthy_in"]["mae"]["mean"] == 0
    for method in ("mirror", "fill", "inpainter"):
        oracle = row(table1, method, mask="true")
        assert oracle["identity"]["mean"] == pytest.approx(1)
        assert oracle["healthy_in"]["mae"]["mean"] == 0
        assert row(table1, method, mask="segmentor")["identity"]["mean"] < 1
    assert row(table1, "constant")["residual_contrast"]["mean"] == pytest.approx(0, abs=1e-6)
    assert row(table1, "blur")["checkerboard"]["mean"] < 0.5
    threshold = row(table1, "threshold_fill")["healthiness"]["members"]["threshold"]
    assert threshold["pooled"] == pytest.approx(1, abs=0.05)


def test_the_held_back_judge_is_not_of_the_panel(table1: dict[str, Any]) -> None:
    for each in table1["rows"]:
        members = each["healthiness"]["members"]
        assert set(members) == {"first", "other_seed", "lesion_slices_only", "threshold"}
        pooled = [member["pooled"] for member in members.values()]
        assert each["healthiness"]["panel_worst"] == min(pooled)
        assert each["healthiness"]["panel_mean"] == pytest.approx(sum(pooled) / 4)


def test_the_checkpoint_is_the_best_on_validation(out: Path, table1: dict[str, Any]) -> None:
    curves = pd.read_csv(out / "results/curves.tsv", sep="\t")
    assert set(curves["method"]) == set(METHODS)
    for method, curve in curves.groupby("method"):
        assert curve["images"].tolist() == [12, 24]
        (images,) = curve["images"][curve["chosen"]]
        assert curve["choice"][curve["images"] == images].item() == curve["choice"].max()
        assert row(table1, str(method))["images"] == images


def test_pairs_of_inserted_lesions_are_on_disk_and_of_two_subjects(out: Path) -> None:
    pairs = pd.read_csv(out / "results/pairs.tsv", sep="\t")
    assert set(pairs["use"]) == {"truth", "check"}
    assert (pairs["donor_subject"] != pairs["recipient_subject"]).all()


def test_tables_figures_and_report_can_be_made_again_from_the_files(out: Path, tmp_path: Path) -> None:
    results = out / "results"
    made = {path.relative_to(results) for path in results.rglob("*") if path.is_file()}
    assert {Path(f"pictures/{name}.png") for name in ("methods", "cycles", "all_volumes")} <= made
    kept = ("table1.json", "volumes.tsv", "curves.tsv")
    for name in kept:
        (tmp_path / name).write_bytes((results / name).read_bytes())
    render(tmp_path)
    for name in ("table1.md", "table1.tex", "table1.tsv"):
        assert (tmp_path / name).read_text() == (results / name).read_text()
    for name in ("distributions", "identity_healthiness", "validation_curves"):
        assert (tmp_path / f"charts/{name}.png").read_bytes() == (results / f"charts/{name}.png").read_bytes()
    page = (results / "report.html").read_text(encoding="utf-8")
    assert RESEARCH_USE in page
    assert page.count("data:image/png;base64") >= 7
    with pytest.raises(InputError, match="not a folder of results"):
        render(tmp_path / "nowhere")


def test_what_is_done_is_not_done_again(out: Path, experiment: Experiment) -> None:
    assert all(line.startswith("done") for line in describe_steps(experiment, out))
    before = {path: path.stat().st_mtime_ns for path in (out / "train").rglob("*") if path.is_file()}
    written = (out / "results/table1.json").read_bytes()
    reproduce(experiment, out, device="cpu")
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (out / "results/table1.json").read_bytes() == written


def test_another_setting_is_to_do_and_the_rest_stays_done(out: Path, experiment: Experiment) -> None:
    changed = read_experiment(SMOKE, ["judges.other_seed.training.seed=9"])
    to_do = [line for line in describe_steps(changed, out) if line.startswith("to do")]
    assert any("judge other_seed" in line for line in to_do)
    assert not any("train " in line or "judge first" in line for line in to_do)
    assert "24 images" in next(line for line in describe_steps(experiment, out) if "train paired" in line)


def test_data_that_is_missing_or_too_much_is_told(tmp_path: Path, experiment: Experiment) -> None:
    with pytest.raises(InputError, match="makes its own phantoms"):
        reproduce(experiment, tmp_path, folders=[tmp_path])
    real = experiment.model_copy(update={"data": experiment.data.model_copy(update={"phantom": None})})
    with pytest.raises(InputError, match="needs --data FOLDER"):
        reproduce(real, tmp_path)
    assert not list(tmp_path.iterdir())


def without_times(value: Any) -> Any:
    """A results file less what no two runs have in common."""
    if isinstance(value, dict):
        return {key: without_times(each) for key, each in value.items() if key not in VARYING}
    return [without_times(each) for each in value] if isinstance(value, list) else value


@pytest.mark.slow
def test_killed_at_three_random_moments_it_gives_the_same_table(
    tmp_path: Path, table1: dict[str, Any]
) -> None:
    command = [*PROGRAM, "reproduce", str(SMOKE), "-o", str(tmp_path), "--device", "cpu"]
    chance = random.Random(0)
    for _ in range(3):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(6, 25))
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, check=True, capture_output=True)
    found = json.loads((tmp_path / "results/table1.json").read_text(encoding="utf-8"))
    assert without_times(found) == without_times(table1)


@pytest.mark.slow
def test_steps_side_by_side_come_to_the_same(
    table1: dict[str, Any],
    experiment: Experiment,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One thread each, as here: threads share sums out differently."""
    reproduce(experiment, tmp_path, device="cpu", jobs=2)
    again = json.loads((tmp_path / "results/table1.json").read_text(encoding="utf-8"))
    assert without_times(again) == without_times(table1)
    said = capsys.readouterr().err
    assert "2 at once" in said
    assert "train paired-" in said
    (log,) = tmp_path.glob("train/paired-*/log.txt")
    assert log.is_file()  # empty: a line comes each minute, and these take seconds


def test_the_cohort_s_own_words_and_what_it_lacks(experiment: Experiment, tmp_path: Path) -> None:
    data, told = bids(tmp_path / "data", 6), list[str]()
    (data / "sub-06/anat/sub-06_FLAIR.nii.gz").rename(data / "sub-06/anat/sub-06_T1w.nii.gz")
    for number in (4, 5, 6):
        (data / f"derivatives/lesions/sub-0{number}/anat/sub-0{number}_label-lesion_mask.nii.gz").unlink()
    words = {1: "1", 2: "1", 3: "1", 4: "0", 5: "0"}
    participants(data, "participant_id\tgroup", *(f"{number:02d}\t{word}" for number, word in words.items()))
    own = experiment.model_copy(update={"data": Data(controls=("0",))})
    prepared = prepared_cohort(own, tmp_path / "out", [data], told.append)
    assert prepared.slices.groupby("group")["subject"].nunique().to_dict() == {"control": 2, "patient": 3}
    assert told == [
        "note: data: participants.tsv: group: 1 = patient (3), 0 = control (2)",
        "note: data: no FLAIR image, left out: sub-06",
    ]
