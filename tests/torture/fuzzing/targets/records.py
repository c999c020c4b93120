"""What the program has written and reads again: JSON and tables."""

from __future__ import annotations

import shutil
from pathlib import Path

from fixtures.cohorts import FITTING, library, one_slice, touch
from fixtures.experiments import experiment
from fixtures.results import curves as drawn_curves
from fixtures.results import table1, volumes
from pseudohealthy.assessment.judge_selection import VALIDATION
from pseudohealthy.bids_app.records import InputFingerprint, Record, outputs_of
from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.data.prepare import prepare
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.evaluation.compare import compare_scores, read_scores
from pseudohealthy.experiment.publish import render
from pseudohealthy.experiment.steps import DONE, SELECTION, Step, list_steps
from pseudohealthy.files import write_json, write_tsv
from pseudohealthy.json_files import read_json
from pseudohealthy.training.run_folder import CLOCK
from torture.fuzzing import mutations as m
from torture.fuzzing.targets.nifti import build_synthesis
from torture.fuzzing.targets.target import Target, made, run_bids_app


def build_prepared_cohort(folder: Path) -> None:
    """A prepared cohort in `prepared`, and what it is made of."""
    one_slice(folder / "patients", 8, 4)
    prepare(read_cohort([folder / "patients", library(folder / "masks", 2)]), folder / "prepared", FITTING)


def _open_prepared(folder: Path, out: Path) -> None:
    opened = Prepared.open(folder / "prepared")
    _ = opened.preprocessing


def _derivatives(folder: Path) -> None:
    for number in (1, 2, 3):
        label = f"sub-{number:02d}"
        name = f"{label}/anat/{label}_FLAIR.nii.gz"
        touch(folder / "raw", name)
        files = outputs_of(name, blend=False)
        touch(folder / "out", *files.values())
        report = {
            "lesion_ml": 1.5 * number,
            "brain_ml": 1000.0,
            "anomaly": {"mean": 0.01, "p99": 0.1},
            "warnings": ["another contrast"],
        }
        write_json(folder / "out" / files["report"], report)
        made_from = InputFingerprint(input="i", weights="w", blend=False)
        Record(subject=label, image=name, status="done", made_from=made_from, files=files, seconds=1.5).write(
            folder / "out"
        )
    write_json(folder / "raw/dataset_description.json", {"Name": "Study", "BIDSVersion": "1.11.1"})
    description = {"GeneratedBy": [{"Name": "pseudohealthy"}], "DatasetLinks": {"raw": "../../in/raw"}}
    write_json(folder / "out/dataset_description.json", description)


def _group_level(folder: Path, out: Path) -> None:
    shutil.copytree(folder / "out", out / "made")
    run_bids_app(folder / "raw", out / "made", "group")


DERIVED = "out/sub-01/anat/sub-01_desc-pseudohealthy_report.json"
LOGGED = "out/logs/sub-01/anat/sub-01_FLAIR.nii.gz.json"


def _again(folder: Path) -> None:
    """A report of an earlier run, and what one that was killed left."""
    build_synthesis(folder)
    (folder / "before").mkdir()
    write_json(folder / "before/x_desc-pseudohealthy_report.json", {"input": "x.nii.gz"})
    write_json(folder / "before/.x.unfinished", {"x_desc-pseudohealthy_FLAIR.nii.gz": "0" * 64})


def _made_again(folder: Path, out: Path) -> None:
    from pseudohealthy.synthesis.output_files import not_made_again, refuse_another_s, refuse_existing

    shutil.copytree(folder / "before", out / "made")
    refuse_existing(out / "made", "x.nii.gz", overwrite=True)
    refuse_another_s(out / "made", "x.nii.gz")
    not_made_again(out / "made", "x.nii.gz", blend=False)


def _any_json(folder: Path) -> None:
    write_json(folder / "x.json", {"a": [1, 2.5, None, True, "b"], "c": {"d": {"e": "f"}}})


def _read_any_json(folder: Path, out: Path) -> None:
    read_json(folder / "x.json", "no report", "make it again")


EXPERIMENT = experiment()
STEPS = list_steps(EXPERIMENT, "key")


def _steps(folder: Path) -> None:
    """The files of an experiment whose steps are finished, under names that tests know."""
    point = {"images": 400, "identity": 0.9, "healthiness": 0.8, "choice": 1.7}
    for step in STEPS:
        place = step.folder(folder)
        about = {"key": step.key, "commit": "0" * 40, "seconds": 1.5, "device": "cpu"}
        write_json(made(place) / DONE, about)
        if step.kind == "select":
            write_json(place / SELECTION, {"weights": "snapshots/0000400", "images": 400, "curve": [point]})
        if step.kind in ("judge", "train"):
            write_json(made(place / "run") / CLOCK, {"images": 400, "seconds": 3.5})
        if step.kind == "judge":
            curve = [{"images": 400, "dice_pooled": 0.8}]
            validation = {"weights": "snapshots/0000400", "images": 400, "curve": curve}
            write_json(place / "run" / VALIDATION, validation)


def _first(kind: str) -> Step:
    return next(step for step in STEPS if step.kind == kind)


def _read_steps(folder: Path, out: Path) -> None:
    from pseudohealthy.experiment.results import _about, _training, curves, judge_curves

    for step in STEPS:
        step.is_done(folder)
    write_tsv(out / "curves.tsv", curves(folder, STEPS))
    write_tsv(out / "judge_curves.tsv", judge_curves(folder, STEPS))
    _training(_first("measure"), folder)
    for kind in ("judge", "train", "select"):
        _about(_first(kind), folder)


def _file_of(kind: str, name: str) -> str:
    return str(_first(kind).folder(Path()) / name)


def _results(folder: Path) -> None:
    write_json(folder / "table1.json", table1())
    write_tsv(folder / "volumes.tsv", volumes())
    write_tsv(folder / "curves.tsv", drawn_curves())


def _render(folder: Path, out: Path) -> None:
    shutil.copytree(folder, out / "results")
    render(out / "results")


def _scores(folder: Path) -> None:
    import pandas as pd

    for name, shift in (("ours", 0.02), ("theirs", 0.0)):
        table = pd.DataFrame(
            {
                "identity": [0.9 + shift, 0.8, 0.85],
                "identity_normalised": [0.9 + shift, 0.8, 0.85],
                "healthiness": [0.7, 0.6 + shift, 0.65],
                "balance": [0.8, 0.7 + shift, 0.75],
                "slices": [3, 4, 5],
                "lesion_voxels": [100, 200, 300],
                "found_in_inputs.judge": [90, 180, 280],
                "found.judge": [20, 30, 40],
            },
            index=pd.Index(["01", "02", "NA"], name="volume"),
        )
        write_tsv(made(folder / name) / "volumes.tsv", table)


def _compare(folder: Path, out: Path) -> None:
    ours = read_scores(folder / "ours")
    write_json(out / "x.json", compare_scores(ours, read_scores(folder / "theirs")))


TARGETS = (
    Target("json", "JSON", 6, _any_json, _read_any_json, {"x.json": m.JSON}),
    Target(
        "prepared",
        "JSON",
        6,
        build_prepared_cohort,
        _open_prepared,
        {
            "prepared/manifest.json": m.JSON,
            "prepared/slices.tsv": m.TABLE,
            "prepared/library.tsv": m.TABLE,
            "prepared/images.npy": m.array_changed,
        },
    ),
    Target(
        "bids_group",
        "JSON",
        1.5,
        _derivatives,
        _group_level,
        {
            DERIVED: m.JSON,
            LOGGED: m.JSON,
            "out/dataset_description.json": m.JSON,
            "raw/dataset_description.json": m.JSON,
        },
    ),
    Target(
        "earlier_run",
        "JSON",
        3,
        _again,
        _made_again,
        {"before/x_desc-pseudohealthy_report.json": m.JSON, "before/.x.unfinished": m.JSON},
    ),
    Target(
        "steps",
        "JSON",
        3,
        _steps,
        _read_steps,
        {
            _file_of("judge", DONE): m.JSON,
            _file_of("judge", f"run/{VALIDATION}"): m.JSON,
            _file_of("train", f"run/{CLOCK}"): m.JSON,
            _file_of("train", DONE): m.JSON,
            _file_of("select", SELECTION): m.JSON,
        },
    ),
    Target(
        "results",
        "JSON",
        0.1,
        _results,
        _render,
        {"table1.json": m.JSON, "volumes.tsv": m.TABLE, "curves.tsv": m.TABLE},
    ),
    Target("scores", "JSON", 2, _scores, _compare, {"theirs/volumes.tsv": m.TABLE}),
)
