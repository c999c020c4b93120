"""A whole experiment at its smallest: its files and figures, and that an interruption changes nothing."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fixtures.cohorts import bids, participants
from fixtures.drawn_cohort import drawn
from fixtures.experiments import SMOKE, without_times
from pseudohealthy.errors import RESEARCH_USE, InputError, PseudohealthyError
from pseudohealthy.experiment import runner
from pseudohealthy.experiment.config import Data, Experiment, read_experiment
from pseudohealthy.experiment.publish import render
from pseudohealthy.experiment.runner import StepRunner, describe_steps, prepared_cohort, reproduce
from pseudohealthy.experiment.steps import DONE, SELECTION, list_steps
from pseudohealthy.locks import locked
from pseudohealthy.synthesis.model import Model

PROGRAM = [sys.executable, "-m", "pseudohealthy.cli.main"]
METHODS = ["conditional_gan", "cyclegan", "unpaired", "paired", "semi_supervised"]


@pytest.fixture(scope="module")
def table1(finished: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((finished / "results/table1.json").read_text(encoding="utf-8"))
    return values


def row(table1: dict[str, Any], method: str, output: str = "raw", mask: str | None = None) -> dict[str, Any]:
    """The only row of its kind."""
    (only,) = [
        row for row in table1["rows"] if (row["method"], row["output"], row["mask"]) == (method, output, mask)
    ]
    return dict(only)


def test_a_device_that_is_not_there_is_refused_before_any_work(smoke: Experiment, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="device banana cannot be used here"):
        reproduce(smoke, tmp_path / "out", device="banana")
    assert not (tmp_path / "out").exists()


def test_the_results_say_what_made_them(finished: Path, table1: dict[str, Any], smoke: Experiment) -> None:
    assert table1["config"] == smoke.model_dump(mode="json")
    assert table1["split"] == {"train": 7, "val": 2, "test": 3}
    assert table1["research_use"] == RESEARCH_USE
    assert table1["choice_rule"]
    assert {step["kind"] for step in table1["steps"]} == {"judge", "protocol", "train", "select", "measure"}
    for step in table1["steps"]:
        folder = finished / step["kind"] / f"{step['name']}-{step['key'][:8]}"
        done = json.loads((folder / DONE).read_text(encoding="utf-8"))
        assert (done["key"], done["seconds"]) == (step["key"], step["seconds"])
    assert bool(table1["invalid_reason"]) is not table1["valid"]


def test_a_row_has_the_measures_that_its_method_can_have(table1: dict[str, Any]) -> None:
    for method in METHODS:
        raw, blend = row(table1, method), row(table1, method, "blend")
        with_segmentor = method not in {"conditional_gan", "cyclegan"}
        assert (raw["segmentor_dice"] is not None) is with_segmentor
        assert (raw["cycle"] is not None) is (method != "conditional_gan")
        assert (raw["mask_control"] is not None) is with_segmentor
        assert blend["cycle"] is None
        assert (raw["width"], raw["images_in_all"], raw["device"]) == (4, 24, "cpu")
        assert raw["hours"] > 0
    assert row(table1, "inpainter", mask="segmentor")["images"] == 24


def test_means_are_those_of_the_values_of_all_volumes(finished: Path, table1: dict[str, Any]) -> None:
    """Every value is in `volumes.tsv`: one a row, volume and measure."""
    values = pd.read_csv(finished / "results/volumes.tsv", sep="\t", na_values=["n/a"], keep_default_na=False)
    compared = set()
    for each in table1["rows"]:
        own = values
        for name in ("method", "output", "mask"):
            own = own[own[name].isna() if each[name] is None else own[name] == each[name]]
        for measure, mean in own.groupby("measure")["value"].mean().items():
            figure: Any = each
            for name in str(measure).split("."):
                figure = (figure or {}).get(name)
            if isinstance(figure, dict) and "mean" in figure:
                assert figure["mean"] == pytest.approx(mean, abs=1e-6), (each["method"], measure)
                compared.add(measure)
    assert {
        "identity",
        "psnr_outside",
        "healthiness",
        "truth_phantom.mae_ratio",
        "healthy_in.mae",
    } <= compared


def test_healthiness_is_what_the_networks_on_disk_make_of_the_images_on_disk(
    finished: Path, table1: dict[str, Any]
) -> None:
    """Pooled: 1 - pixels that the first judge finds in G's images of the test / pixels of the lesions."""
    slices = pd.read_csv(finished / "prepared/slices.tsv", sep="\t")
    rows = slices["row"][(slices["split"] == "test") & (slices["label"] == "pathological")].to_numpy()
    images = np.load(finished / "prepared/images.npy")[rows]
    lesions = np.load(finished / "prepared/masks.npy")[rows] > 0
    (judge,) = finished.glob("judge/first-*/run/best")
    (selection,) = finished.glob("select/paired-*/selection.json")
    (run,) = finished.glob("train/paired-*/run")
    weights = run / json.loads(selection.read_text(encoding="utf-8"))["weights"]
    processed = Model.load(weights, "cpu").synthesize(images)
    marked = Model.load(judge, "cpu").segment(processed) > 0.5
    pooled = row(table1, "paired")["healthiness"]["pooled"]
    assert pooled == pytest.approx(1 - marked.sum() / lesions.sum(), abs=1e-9)
    (measured,) = finished.glob("measure/paired-*-raw-*")
    with np.load(measured / "pictures.npz") as pictures:
        shown = pictures["healthy"]
    assert all(any(np.array_equal(image, own) for own in processed) for image in shown)


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


def test_the_held_out_judge_is_not_of_the_panel(table1: dict[str, Any]) -> None:
    for each in table1["rows"]:
        members = each["healthiness"]["members"]
        assert set(members) == {"first", "other_seed", "lesion_slices_only", "threshold"}
        pooled = [member["pooled"] for member in members.values()]
        assert each["healthiness"]["panel_worst"] == min(pooled)
        assert each["healthiness"]["panel_mean"] == pytest.approx(sum(pooled) / 4)


def test_the_checkpoint_is_the_best_on_validation(finished: Path, table1: dict[str, Any]) -> None:
    curves = pd.read_csv(finished / "results/curves.tsv", sep="\t")
    assert set(curves["method"]) == set(METHODS)
    for method, curve in curves.groupby("method"):
        assert curve["images"].tolist() == [12, 24]
        (images,) = curve["images"][curve["chosen"]]
        assert curve["choice"][curve["images"] == images].item() == curve["choice"].max()
        assert row(table1, str(method))["images"] == images


def test_pairs_of_synthetic_lesions_are_on_disk_and_of_two_subjects(finished: Path) -> None:
    pairs = pd.read_csv(finished / "results/pairs.tsv", sep="\t")
    assert set(pairs["use"]) == {"truth", "check"}
    assert (pairs["donor_subject"] != pairs["recipient_subject"]).all()


def test_tables_figures_and_report_can_be_made_again_from_the_files(finished: Path, tmp_path: Path) -> None:
    results = finished / "results"
    made = {path.relative_to(results) for path in results.rglob("*") if path.is_file()}
    assert {Path(f"pictures/{name}.png") for name in ("methods", "cycles", "all_volumes")} <= made
    for name in ("table1.json", "volumes.tsv", "curves.tsv"):
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


def files_of(out: Path) -> dict[Path, int]:
    """When each file of the steps was written."""
    return {
        path: path.stat().st_mtime_ns
        for kind in ("judge", "train", "protocol", "select", "measure")
        for path in (out / kind).rglob("*")
        if path.is_file()
    }


def test_what_is_done_is_not_done_again(finished: Path, smoke: Experiment, tmp_path: Path) -> None:
    assert all(line.startswith("done") for line in describe_steps(smoke, finished))
    copy = shutil.copytree(finished, tmp_path / "copy")
    before, written = files_of(copy), (copy / "results/table1.json").read_bytes()
    assert before
    reproduce(smoke, copy, device="cpu")
    assert files_of(copy) == before
    assert (copy / "results/table1.json").read_bytes() == written


def test_interrupted_steps_are_done_again_alone_and_come_to_the_same(
    finished: Path, smoke: Experiment, table1: dict[str, Any], tmp_path: Path
) -> None:
    """As a kill leaves them: without `done.json`, and what they had written half there or not at all."""
    copy = shutil.copytree(finished, tmp_path / "copy")
    interrupted = {
        "train/conditional_gan": ["run/state.pt", "run/clock.json", "run/weights/model.safetensors"],
        "select/conditional_gan": ["selection.json"],
        "measure/conditional_gan-default-s0-raw": ["numbers.json"],
        "measure/copy-raw": ["volumes.tsv", "pictures.npz"],
    }
    folders = []
    for step, partial in interrupted.items():
        (folder,) = copy.glob(f"{step}*-????????")
        (folder / DONE).unlink()
        for name in partial:
            (folder / name).unlink()
        folders.append(folder)
    before = files_of(copy)
    reproduce(smoke, copy, device="cpu")
    again = {path for path, time in files_of(copy).items() if before.get(path) != time}
    assert {folder for folder in folders if folder / DONE in again} == set(folders)
    assert all(any(path.is_relative_to(folder) for folder in folders) for path in again)
    results = json.loads((copy / "results/table1.json").read_text(encoding="utf-8"))
    assert without_times(results) == without_times(table1)


@pytest.mark.parametrize("damage", ["no UTF-8", "no file", "a folder"])
def test_a_damaged_table_of_a_finished_step_says_what_to_remove(
    finished: Path, smoke: Experiment, tmp_path: Path, damage: str
) -> None:
    copy = shutil.copytree(finished, tmp_path / "copy")
    (pairs,) = copy.glob("protocol/*/pairs.tsv")
    pairs.unlink()
    if damage == "no UTF-8":
        pairs.write_bytes(b"use\tdonor\n\xff\n")
    elif damage == "a folder":
        pairs.mkdir()
    with pytest.raises(InputError) as failure:
        reproduce(smoke, copy, device="cpu")
    line = str(failure.value)
    assert line.startswith(f"{pairs.parent}: damaged (")
    assert line.endswith(f"); remove {pairs.parent} and run the experiment again")
    assert len(line.splitlines()) == 1


def test_results_that_another_run_publishes_meanwhile_are_waited_for_and_not_replaced(
    finished: Path, smoke: Experiment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy, results, said = shutil.copytree(finished, tmp_path / "copy"), tmp_path / "results", ""
    with ThreadPoolExecutor(1) as pool:
        results.mkdir()
        with locked(results / ".results.lock"):
            second = pool.submit(reproduce, smoke, copy, results=results, device="cpu")
            while "waiting" not in said and not second.done():
                said += capsys.readouterr().err
                time.sleep(0.05)
            (results / "table1.json").write_text('{"experiment": "another"}')
        with pytest.raises(InputError, match=r"holds the results of another, not of smoke; .* \(--results\)"):
            second.result()
    assert f"{results}: another run (" in said
    assert [path.name for path in results.iterdir()] == ["table1.json"]


def test_a_step_that_is_done_elsewhere_and_not_seen_here_is_told(
    smoke: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "SEEN_SECONDS", 0)
    steps = list_steps(smoke, "key")[:1]
    with pytest.raises(PseudohealthyError, match="the same on all machines"):
        runner.wait_until_seen(steps, tmp_path)


def test_another_setting_is_to_do_and_the_rest_stays_done(finished: Path, smoke: Experiment) -> None:
    changed = read_experiment(SMOKE, ["judges.other_seed.training.seed=9"])
    to_do = [line for line in describe_steps(changed, finished) if line.startswith("to do")]
    assert any("judge other_seed" in line for line in to_do)
    assert not any("train " in line or "judge first" in line for line in to_do)
    assert "24 images" in next(line for line in describe_steps(smoke, finished) if "train paired" in line)


def test_data_that_is_missing_or_too_much_is_refused(tmp_path: Path, smoke: Experiment) -> None:
    with pytest.raises(InputError, match="makes its own phantoms"):
        reproduce(smoke, tmp_path, folders=[tmp_path])
    real = smoke.model_copy(update={"data": smoke.data.model_copy(update={"phantom": None})})
    with pytest.raises(InputError, match="needs --data FOLDER"):
        reproduce(real, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("weights", ["/etc", "../../../weights", "snapshots/../../.."])
def test_a_selection_names_no_weights_outside_its_run(
    tmp_path: Path, smoke: Experiment, weights: str
) -> None:
    steps = list_steps(smoke, "key")
    select = next(step for step in steps if step.kind == "select")
    select.folder(tmp_path).mkdir(parents=True)
    selection = {"weights": weights, "images": 1, "curve": []}
    (select.folder(tmp_path) / SELECTION).write_text(json.dumps(selection))
    with pytest.raises(InputError, match="expected the path of something inside"):
        StepRunner(smoke, tmp_path, drawn(), steps, "cpu").selected(select)


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
    results = json.loads((tmp_path / "results/table1.json").read_text(encoding="utf-8"))
    assert without_times(results) == without_times(table1)


@pytest.mark.slow
def test_steps_in_parallel_come_to_the_same(
    table1: dict[str, Any],
    smoke: Experiment,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One thread each, as here: threads share sums out differently."""
    reproduce(smoke, tmp_path, device="cpu", jobs=2)
    again = json.loads((tmp_path / "results/table1.json").read_text(encoding="utf-8"))
    assert without_times(again) == without_times(table1)
    messages = capsys.readouterr().err
    assert "2 at once" in messages
    assert "train paired-" in messages
    (log,) = tmp_path.glob("train/paired-*/log.txt")
    assert log.is_file()  # empty: a line comes each minute, and these take seconds

    # Killed with one training left: what needs it must not begin in parallel before it is done
    shutil.rmtree(log.parent)
    for later in ("protocol", "select", "measure"):
        shutil.rmtree(tmp_path / later)
    reproduce(smoke, tmp_path, device="cpu", jobs=2)
    again = json.loads((tmp_path / "results/table1.json").read_text(encoding="utf-8"))
    assert without_times(again) == without_times(table1)


def test_the_cohort_s_own_words_and_what_it_lacks(smoke: Experiment, tmp_path: Path) -> None:
    data, notes = bids(tmp_path / "data", 6), list[str]()
    (data / "sub-06/anat/sub-06_FLAIR.nii.gz").rename(data / "sub-06/anat/sub-06_T1w.nii.gz")
    for number in (4, 5, 6):
        (data / f"derivatives/lesions/sub-0{number}/anat/sub-0{number}_label-lesion_mask.nii.gz").unlink()
    words = {1: "1", 2: "1", 3: "1", 4: "0", 5: "0"}
    participants(data, "participant_id\tgroup", *(f"{number:02d}\t{word}" for number, word in words.items()))
    own = smoke.model_copy(update={"data": Data(controls=("0",))})
    prepared = prepared_cohort(own, tmp_path / "out", [data], notes.append)
    assert prepared.slices.groupby("group")["subject"].nunique().to_dict() == {"control": 2, "patient": 3}
    assert notes == [
        "note: data: participants.tsv: group: 1 = patient (3), 0 = control (2)",
        "note: data: no FLAIR image, left out: sub-06",
    ]
