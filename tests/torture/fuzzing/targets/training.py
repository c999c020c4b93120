"""What a training run leaves, to go on from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from fixtures.models import tiny
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.files import write_text
from pseudohealthy.training.checkpoint import load_state
from pseudohealthy.training.loop import describe_run, train
from pseudohealthy.training.progress import Metrics
from pseudohealthy.training.run_folder import CLOCK, METRICS, SETTINGS, STATE, RunFolder
from torture.fuzzing import mutations as m
from torture.fuzzing.targets.records import build_prepared_cohort
from torture.fuzzing.targets.target import Target

RUN = tiny("paired", "training.images=8", "training.checkpoint_every=4", "training.preview_every=100000")


def _run_folder(folder: Path) -> None:
    build_prepared_cohort(folder)
    train(Prepared.open(folder / "prepared"), folder / "run", RUN, accelerator="cpu")


def _load_state(folder: Path, out: Path) -> None:
    load_state(folder / "run" / STATE)


def _resume(folder: Path, out: Path) -> None:
    shutil.copytree(folder / "run", out / "run")
    train(Prepared.open(folder / "prepared"), out / "run", RUN, accelerator="cpu")


def _read_metrics(folder: Path, out: Path) -> None:
    shutil.copy(folder / METRICS, out)
    Metrics(out / METRICS, {"images": 800, "warm_up_images": 100})


def _metrics(folder: Path) -> None:
    lines = [
        {"images": n, "warm_up_images": 100, "generator": 0.5, "segmentor": 0.25} for n in (400, 800, 1200)
    ]
    write_text(folder / METRICS, "".join(json.dumps(line) + "\n" for line in lines))


def _same_run(folder: Path, out: Path) -> None:
    cohort = Prepared.open(folder / "prepared")
    RunFolder(folder / "run", cohort).refuse_other_run(describe_run(cohort, RUN, None, "cpu"))


TARGETS = (
    Target("state", "training state", 3, _run_folder, _load_state, {f"run/{STATE}": m.state_changed}),
    Target("metrics", "training state", 5, _metrics, _read_metrics, {METRICS: m.lines_changed}),
    Target("run_settings", "training state", 3, _run_folder, _same_run, {f"run/{SETTINGS}": m.YAML}),
    Target(
        "resume",
        "training state",
        0.4,
        _run_folder,
        _resume,
        {
            f"run/{STATE}": m.state_changed,
            f"run/{METRICS}": m.lines_changed,
            f"run/{CLOCK}": m.JSON,
            f"run/{SETTINGS}": m.YAML,
        },
    ),
)
