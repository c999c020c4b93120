"""Trains a method with one setting changed at a time, and scores each on the validation patients.

    python scripts/run_ablations.py STUDY PREPARED RUNS JUDGE JUDGE... [--jobs 2]

STUDY is `losses`, where all trainings see as many images, or `warm_up`, where all take as long. PREPARED is a
prepared cohort, RUNS a folder for the trainings, which go on where they were, and each JUDGE a folder of
weights. Scores go to a folder of the study in `results`; `make results` makes the table of them.
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

RESULTS = Path(__file__).parents[1] / "results"
NARROW = tuple(f"networks.{name}=8" for name in ("width", "segmentor_width", "discriminator_width"))


@dataclass(frozen=True)
class Study:
    """Trainings that differ in one setting from the first of them, `base`.

    Attributes:
        folder: of the scores, in `results`.
        base: settings of `base`.
        changes: the setting that each of the others changes, by its name; None: of `base`.
    """

    folder: str
    base: Sequence[str]
    changes: Mapping[str, str | None]


STUDIES: Mapping[str, Study] = {
    # The default recipe as it was when the first were trained, narrower and shorter: an hour or two for all
    "losses": Study(
        "ablations",
        (
            *("losses.healthy_identity=0", "networks.reconstructor_output_mode=null", *NARROW),
            *("training.images=1000", "training.preview_every=500"),
        ),
        {
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
        },
    ),
    # What the recipe of `configs/lgg.yaml` adds to `default`; 20 minutes of a core each
    "warm_up": Study(
        "ablations_warm_up",
        (
            *NARROW,
            *("training.minutes=20", "training.warm_up_fraction=0.4", "training.preview_every=4000"),
            *("networks.mirrored_input=true", "losses.gradient=5", "losses.lesion_crop_adversarial=0.3"),
        ),
        {
            "base": None,
            "no_warm_up": "training.warm_up_fraction=0",
            "no_mirrored_input": "networks.mirrored_input=false",
            "gated_reconstructor": "networks.reconstructor_output_mode=gated",
            "no_gradient_loss": "losses.gradient=0",
            "no_lesion_crops": "losses.lesion_crop_adversarial=0",
            "transplanted_lesions": "training.transplanted_fraction=0.5",
        },
    ),
}
RETIRED = ("varied_synthetic_lesions",)  # measured by version 0.1, which had a setting for it; not kept


@dataclass(frozen=True)
class Ablations:
    """What all trainings have in common.

    Attributes:
        study: what is changed, and from what.
        prepared: the prepared cohort.
        runs: folder of the trainings and their logs.
        judges: weights folders of the judges.
        results: folder of the scores.
        threads: of each training.
    """

    study: Study
    prepared: Path
    runs: Path
    judges: Sequence[Path]
    results: Path
    threads: int = 1

    def commands(self, name: str) -> list[list[str]]:
        """Arguments of `pseudohealthy` that train one and score it."""
        change = self.study.changes[name]
        run, changes = self.runs / name, [*self.study.base, *([] if change is None else [change])]
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
    parser.add_argument("study", choices=list(STUDIES))
    parser.add_argument("prepared", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("judges", type=Path, nargs="+")
    parser.add_argument("--only", nargs="+", help="names of trainings; default: all")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once, which share the cores")
    given = parser.parse_args()
    study = STUDIES[given.study]
    names = given.only or list(study.changes)
    if unknown := set(names) - set(study.changes):
        parser.error(f"--only: no {', '.join(sorted(unknown))}; there are {', '.join(study.changes)}")
    threads = max(1, torch.get_num_threads() // given.jobs)
    results = RESULTS / study.folder
    ablations = Ablations(study, given.prepared, given.runs, given.judges, results, threads)
    with ThreadPoolExecutor(given.jobs) as pool:
        done = {name: pool.submit(ablations.run, name) for name in names}
        for name, future in done.items():
            future.result()
            print(f"{name}: {results / name}")


if __name__ == "__main__":
    main()
