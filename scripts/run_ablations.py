"""Trains a method with one setting changed at a time, and scores each on the validation patients.

    python scripts/run_ablations.py PREPARED RUNS JUDGE JUDGE... [--jobs 2]

PREPARED is a prepared cohort, RUNS a folder for the trainings, which go on where they were, and each JUDGE a
folder of weights. Scores go to `results/ablations/NAME`; `make results` makes the table of them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

RESULTS = Path(__file__).parents[1] / "results" / "ablations"
# The default recipe as it was when the first were trained, narrower and shorter: an hour or two for all
BASE = (
    "losses.healthy_identity=0",
    *(f"networks.{name}=8" for name in ("width", "segmentor_width", "discriminator_width")),
    *("training.images=1000", "training.preview_every=500"),
)
CHANGES = {
    "base": (),
    "no_painted_lesions": ("losses.synthetic_supervision=0",),
    "whole_image": ("networks.output_mode=image",),
    "nothing_left_for_S": ("losses.residual_lesion=0",),
    "residual": ("networks.output_mode=residual",),
    "bounded_critics": ("networks.discriminator_activation=sigmoid",),
    "no_noise_before_R": ("losses.cycle_noise=0",),
    "identity_not_asked_for": ("losses.identity_outside_lesion=0",),
    "healthy_of_any_height": ("training.healthy_sampling=random",),
    "deformed": ("training.augment=deform",),
    "healthy_slices_stay": ("losses.healthy_identity=10",),
}


def ablate(name: str, prepared: Path, runs: Path, judges: Sequence[Path], threads: int) -> None:
    """Train one and score it; scores that are there are kept.

    Raises:
        RuntimeError: it failed; its log says why.
    """
    if (RESULTS / name / "summary.json").is_file():
        return
    program = [sys.executable, "-m", "pseudohealthy.cli.main"]
    changes = [f"--set={change}" for change in (*BASE, *CHANGES[name])]
    run = runs / name
    train = ["train", str(prepared), "-o", str(run), "--method", "paired", *changes]
    score = ["evaluate", str(prepared), "--weights", str(run / "weights"), "-o", str(RESULTS / name)]
    panel = [f"--judge={judge}" for judge in judges]
    runs.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    with (runs / f"{name}.log").open("a", encoding="utf-8") as log:
        for command in (train, [*score, *panel, "--resegmentation-steps", "0"]):
            done = subprocess.run([*program, *command], check=False, env=environment, stdout=log, stderr=log)
            if done.returncode:
                raise RuntimeError(f"{name} failed; see {log.name}")


def main() -> None:
    """All of them, some at once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prepared", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("judges", type=Path, nargs="+")
    parser.add_argument("--only", choices=list(CHANGES), nargs="+", default=list(CHANGES))
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once, which share the cores")
    asked = parser.parse_args()
    threads = max(1, torch.get_num_threads() // asked.jobs)
    with ThreadPoolExecutor(asked.jobs) as pool:
        done = {
            name: pool.submit(ablate, name, asked.prepared, asked.runs, asked.judges, threads)
            for name in asked.only
        }
        for name, future in done.items():
            future.result()
            print(f"{name}: {RESULTS / name}")


if __name__ == "__main__":
    main()
