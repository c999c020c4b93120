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
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch

RESULTS = Path(__file__).parents[1] / "results" / "ablations"
# The default recipe as it was when the first were trained, narrower and shorter: an hour or two for all
BASE = (
    "losses.healthy_identity=0",
    *(f"networks.{name}=8" for name in ("width", "segmentor_width", "discriminator_width")),
    *("training.images=1000", "training.preview_every=500"),
)
CHANGES: Mapping[str, str | None] = {
    "base": None,
    "no_synthetic_lesions": "losses.synthetic_supervision=0",
    "whole_image": "networks.output_mode=image",
    "no_residual_lesion_loss": "losses.residual_lesion=0",
    "residual": "networks.output_mode=residual",
    "bounded_discriminators": "networks.discriminator_activation=sigmoid",
    "no_cycle_noise": "losses.cycle_noise=0",
    "no_identity_outside_lesion": "losses.identity_outside_lesion=0",
    "healthy_of_any_height": "training.healthy_sampling=random",
    "deformed_training_slices": "training.augment=deform",
    "healthy_identity": "losses.healthy_identity=10",
}
RETIRED = ("varied_synthetic_lesions",)  # measured by version 0.1, which had a setting for it; not kept


@dataclass(frozen=True)
class Ablations:
    """What all trainings have in common.

    Attributes:
        prepared: the prepared cohort.
        runs: folder of the trainings and their logs.
        judges: weights folders of the judges.
        results: folder of the scores.
        threads: of each training.
        base: settings of the training that the others differ from in one.
    """

    prepared: Path
    runs: Path
    judges: Sequence[Path]
    results: Path = RESULTS
    threads: int = 1
    base: Sequence[str] = BASE

    def commands(self, name: str) -> list[list[str]]:
        """Arguments of `pseudohealthy` that train one and score it."""
        change = CHANGES[name]
        run, changes = self.runs / name, [*self.base, *([] if change is None else [change])]
        train = ["train", str(self.prepared), "-o", str(run), "--method", "paired"]
        score = ["evaluate", str(self.prepared), "--weights", str(run / "weights")]
        score += ["-o", str(self.results / name), *(f"--judge={judge}" for judge in self.judges)]
        return [[*train, *(f"--set={each}" for each in changes)], [*score, "--resegmentation-steps", "0"]]

    def run(self, name: str) -> None:
        """Train one and score it; scores that are there stay.

        Raises:
            RuntimeError: it failed; its log says why.
        """
        if (self.results / name / "summary.json").is_file():
            return
        self.runs.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "OMP_NUM_THREADS": str(self.threads)}
        with (self.runs / f"{name}.log").open("a", encoding="utf-8") as log:
            for command in self.commands(name):
                program = [sys.executable, "-m", "pseudohealthy", *command]
                done = subprocess.run(program, check=False, env=environment, stdout=log, stderr=log)
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
    given = parser.parse_args()
    threads = max(1, torch.get_num_threads() // given.jobs)
    ablations = Ablations(given.prepared, given.runs, given.judges, threads=threads)
    with ThreadPoolExecutor(given.jobs) as pool:
        done = {name: pool.submit(ablations.run, name) for name in given.only}
        for name, future in done.items():
            future.result()
            print(f"{name}: {RESULTS / name}")


if __name__ == "__main__":
    main()
