"""The commands that are killed, and what they read."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import yaml

from fixtures.brains import box, brain, lesion, write
from fixtures.cohorts import FITTING, HALF, bids, library, participants, study
from fixtures.models import saved
from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.data.prepare import prepare

SPLITS = ((1, "train"), (2, "train"), (3, "val"), (4, "test"))


@dataclass(frozen=True)
class Command:
    """A command to be killed.

    Attributes:
        name: for reading.
        arguments: the program and its arguments; `{out}` and `{inputs}` stand for the folders.
        earlier: the arguments of commands that have run before, into the same folder.
        finished: its exit code where it has done all already: 0, or 2 where it refuses to do it again.
        share: of the random moments that it gets: few where a run takes seconds.
        stride: it is killed at each so many-th change; 0: at none, as those of workers are not counted.
        sides: just before a change and just after it, or only before, which is after the last but for what
            is in temporary files: where a run takes long.
        removes: pattern of the names that the command says it removes, of those that were there.
    """

    name: str
    arguments: str
    earlier: tuple[str, ...] = ()
    finished: Literal[0, 2] = 0
    share: float = 1.0
    stride: int = 1
    sides: tuple[Literal["before", "after"], ...] = ("before", "after")
    removes: str = r"$^"


TRAINING = (
    "--set networks.width=4 --set networks.segmentor_width=4 --set networks.discriminator_width=4 "
    "--set training.images=4 --set training.batch_size=2 --set training.checkpoint_every=2 "
    "--set training.snapshot_every=4 --set training.preview_every=4 --device cpu"
)
SYNTHESIZE = "pseudohealthy synthesize {inputs}/sub-01_FLAIR.nii.gz -o {out} --device cpu --backend torch"
TRANSPLANT = "pseudohealthy transplant {inputs}/patients/sub-01/anat/sub-01_FLAIR.nii.gz"
TRANSPLANTED = "-o {out} --weights {inputs}/weights --device cpu"
EVALUATE = (
    "pseudohealthy evaluate {inputs}/prepared -o {out} --split test --resegmentation-steps 0 --device cpu"
)
PARTICIPANT = "pseudohealthy-bids {inputs}/study {out} participant --device cpu --backend torch"
GROUP = "pseudohealthy-bids {inputs}/study {out} group"
REPRODUCE = "pseudohealthy reproduce {inputs}/experiment.yaml -o {out} --data {inputs}/cohort --device cpu"
COMMANDS = (
    Command(
        "prepare",
        "pseudohealthy prepare {inputs}/patients {inputs}/masks -o {out} "
        "--set slice_shape=[64,48] --set clip_region=brain --set crop_centre=brain "
        "--set slice_selection=half_area",
    ),
    Command("train", f"pseudohealthy train {{inputs}}/prepared -o {{out}} --method paired {TRAINING}"),
    Command("train a judge", f"pseudohealthy train {{inputs}}/prepared -o {{out}} --method judge {TRAINING}"),
    Command("synthesize", f"{SYNTHESIZE} --weights {{inputs}}/weights --blend", finished=2),
    Command(
        "synthesize --overwrite",
        f"{SYNTHESIZE} --weights {{inputs}}/weights --overwrite",
        (f"{SYNTHESIZE} --weights {{inputs}}/other_weights --blend",),
        removes=r".*desc-blend.*",
    ),
    Command("transplant", f"{TRANSPLANT} --lesion {{inputs}}/lesion.nii.gz {TRANSPLANTED}"),
    Command(
        "transplant many",
        f"{TRANSPLANT} {{inputs}}/patients/sub-02/anat/sub-02_FLAIR.nii.gz --masks {{inputs}}/masks "
        f"--count 2 {TRANSPLANTED}",
    ),
    Command("evaluate", f"{EVALUATE} --weights {{inputs}}/weights --judge {{inputs}}/judge", finished=2),
    Command(
        "evaluate --overwrite",
        f"{EVALUATE} --weights {{inputs}}/weights --judge {{inputs}}/judge --overwrite",
        (f"{EVALUATE} --weights {{inputs}}/other_weights",),
    ),
    Command(
        "export monai",
        "pseudohealthy export -o {out} --format monai --weights {inputs}/weights",
        finished=2,
    ),
    Command(
        "export onnx",
        "pseudohealthy export -o {out} --format onnx --weights {inputs}/weights",
        finished=2,
        share=0.03,
    ),
    Command("bids participant", f"{PARTICIPANT} --weights {{inputs}}/weights --jobs 1"),
    Command(
        "bids participant --overwrite",
        f"{PARTICIPANT} --weights {{inputs}}/weights --jobs 1 --overwrite",
        (f"{PARTICIPANT} --weights {{inputs}}/other_weights --jobs 1 --blend",),
        removes=r".*desc-blend.*|logs/sub-.*\.json",
    ),
    Command("bids group", GROUP, (f"{PARTICIPANT} --weights {{inputs}}/weights --jobs 1",)),
    Command(
        "bids group again",
        GROUP,
        (
            f"{PARTICIPANT} --weights {{inputs}}/other_weights --jobs 1",
            GROUP,
            f"{PARTICIPANT} --weights {{inputs}}/weights --jobs 1 --overwrite",
        ),
    ),
    Command("reproduce", REPRODUCE, sides=("before",)),
    Command("reproduce again", REPRODUCE, (REPRODUCE,)),
    Command(
        "bids participant --jobs 2",
        f"{PARTICIPANT} --weights {{inputs}}/weights --jobs 2",
        share=0.03,
        stride=0,
    ),
    Command("reproduce --jobs 2", f"{REPRODUCE} --jobs 2", share=0.03, stride=0),
)
EXPERIMENT = {
    "name": "killed",
    "preset": "default",
    "data": {"fractions": [0.5, 0.25, 0.25]},
    "preprocessing": FITTING.model_dump(mode="json"),
    "settings": {
        "networks": {"width": 4, "segmentor_width": 4, "discriminator_width": 4},
        "training": {
            "images": 4,
            "batch_size": 2,
            "checkpoint_every": 2,
            "snapshot_every": 2,
            "preview_every": 4,
        },
    },
    "methods": [{"method": "paired"}],
    "judges": {name: {"training": {"seed": seed}} for seed, name in enumerate(("a", "b", "c", "spare"))},
    "held_out": "spare",
    "resegmentation_steps": 1,
}


def make_inputs(folder: Path) -> Path:
    """What the commands read: patients, masks, a prepared cohort, weights, a study, an experiment."""
    patients = bids(folder / "patients", 4)
    participants(patients, "participant_id\tsplit", *(f"sub-{n:02d}\t{split}" for n, split in SPLITS))
    _cohort(folder / "cohort")
    prepare(read_cohort([patients, library(folder / "masks", 2)]), folder / "prepared", FITTING)
    saved(folder / "weights")
    saved(folder / "other_weights", copying=True)
    saved(folder / "judge", "judge", finds=True)
    study(folder / "study", 2)
    shutil.copy(folder / "study/sub-01/anat/sub-01_FLAIR.nii.gz", folder)
    write(folder / "lesion.nii.gz", lesion().astype(np.uint8))
    text = yaml.safe_dump(EXPERIMENT, sort_keys=False)
    (folder / "experiment.yaml").write_text(text, encoding="utf-8")
    return folder


def _cohort(root: Path) -> None:
    """Patients whose lesions lie in slices that are healthy in others, as an experiment needs them."""
    splits = ("train", "train", "val", "test", "test", "test")
    for number in range(1, 1 + len(splits)):
        name, first = f"sub-{number:02d}/anat/sub-{number:02d}", 4 * (number % 3)
        slices = brain(number)[..., HALF.start : HALF.stop]
        place = box(slices.shape, (14, 26), (20, 32), (first, first + 4))
        write(root / f"{name}_FLAIR.nii.gz", np.where(place, 300, slices).astype(np.int16))
        write(root / f"derivatives/lesions/{name}_label-lesion_mask.nii.gz", place.astype(np.uint8))
    rows = (f"sub-{number:02d}\t{split}" for number, split in enumerate(splits, 1))
    participants(root, "participant_id\tsplit", *rows)


def command_called(name: str) -> Command:
    """Of `COMMANDS`, the one of this name."""
    return next(command for command in COMMANDS if command.name == name)
