"""What transplanted lesions are worth: segmentors trained on few real patients, with and without them.

    python -m scripts.measure_transplants NAME=DATA [NAME=DATA ...] --work FOLDER [--jobs 2]

Each DATA is a BIDS data set with masks and a split. Of its training patients with a lesion 20 and 60 are
drawn, one draw a seed, and as many without, where it has such. Into the latter's images, or else the former's
own, whose lesions stay and are marked, too, 200 lesions of shapes from the former's masks are put: by the
reconstructor (`pseudohealthy transplant`), or plainly painted, in the same places. A segmentor is trained on
the real patients alone, and on as many real volumes as made ones of either kind, for the same number of
images. The validation patients select its weights; it is measured on the test patients. All of it lies in
FOLDER, and goes on where it was. The results of a cohort and a number of patients go to
`results/transplants.json` as soon as they are there, beside those of others.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import nibabel
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudohealthy.assessment.judge_selection import BEST
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.data.volume import read_labels, read_volume, write_volume
from pseudohealthy.evaluation.segmentation import volume_dice
from pseudohealthy.evaluation.slice_set import SliceSet
from pseudohealthy.evaluation.statistics import averaged_over_seeds, interval
from pseudohealthy.files import whole_folder, write_json
from pseudohealthy.json_files import read_json
from pseudohealthy.provenance import provenance
from pseudohealthy.sampling.synthetic_lesions import add_synthetic_lesion
from pseudohealthy.settings_files import read_yaml
from pseudohealthy.synthesis.model import THRESHOLD, Model
from pseudohealthy.synthesis.transplantation import LEVEL
from pseudohealthy.training.run_folder import SETTINGS as RUN_SETTINGS
from scripts.calibrate_int8 import every_slice

OUT = Path(__file__).parents[1] / "results" / "transplants.json"
PATIENTS, LESIONS = (20, 60), 200
KINDS = ("real", "painted", "transplanted")
SETTINGS = (
    *("networks.segmentor_width=8", "training.learning_rate=0.001", "training.augment=deform"),
    *("training.ema=0.995", "training.checkpoint_every=1000", "training.preview_every=100000"),
)
PROGRAM = "pseudohealthy"

Array = NDArray[Any]


@dataclass(frozen=True)
class Cohort:
    """A real data set, and the folder of what is made of it."""

    name: str
    data: Path
    work: Path

    def training_patients(self) -> tuple[list[str], list[str]]:
        """With a lesion in their slices, and without, `sub-...`, in order."""
        table = Prepared.open(self.prepared()).slices
        labels = table[table["split"] == "train"].groupby("subject")["label"].agg(set)
        every = {f"sub-{subject}": found for subject, found in labels.items()}
        ill = [patient for patient, found in every.items() if "pathological" in found]
        return ill, [patient for patient, found in every.items() if found == {"healthy"}]

    def prepared(self) -> Path:
        """All of it, for the test patients."""
        return _prepared([self.data], self.work / "all")

    def validation(self) -> Path:
        """A data set of the validation patients, who select weights."""
        table = Prepared.open(self.prepared()).slices
        patients = [f"sub-{each}" for each in sorted(set(table[table["split"] == "val"]["subject"]))]
        return _subset(self.data, patients, self.work / "validation", split="val")

    def image(self, patient: str) -> Path:
        """Of one patient."""
        return next(self.data.glob(f"{patient}/**/*_FLAIR.nii.gz"))

    def mask(self, patient: str) -> Path:
        """Of one patient; black where there is no lesion."""
        return next(self.data.glob(f"derivatives/*/{patient}/**/*_mask.nii.gz"))


@dataclass(frozen=True)
class Draw:
    """Patients of a cohort, and what is trained on them."""

    cohort: Cohort
    count: int
    seed: int
    lesions: int = LESIONS

    @property
    def folder(self) -> Path:
        """Of what is made of them."""
        return self.cohort.work / f"{self.count}-patients-seed-{self.seed}"

    def patients(self) -> tuple[list[str], list[str]]:
        """With a lesion, and as many without, if there are any: each the first of a shuffled list.

        So the 20 are among the 60.
        """
        rng = np.random.default_rng(self.seed)
        ill, free = (
            [every[place] for place in rng.permutation(len(every))[: self.count]]
            for every in self.cohort.training_patients()
        )
        return ill, free

    def real(self, copy: int = 0) -> Path:
        """A data set of theirs alone, all for training; of its copies the subjects have other names."""
        ill, free = self.patients()
        name = f"real_{copy}" if copy else "real"
        return _subset(self.cohort.data, ill + free, self.folder / name, suffix=f"copy{copy}" if copy else "")

    def transplanted(self) -> Path:
        """A data set of images with lesions that were put into them, and all their lesions' masks."""
        source, out, each = (
            self.folder / "new_lesions",
            self.folder / "transplanted",
            -(-self.lesions // self.count),
        )
        ill, free = self.patients()
        hosts = [self.cohort.image(patient) for patient in (free or ill)[: self.lesions // each]]
        options = ("--masks", self.real(), "--count", each, "--seed", self.seed, "-o", source)
        _run(PROGRAM, "transplant", *hosts, *options)  # which makes what is missing
        if not out.exists():
            with whole_folder(out) as part:
                shutil.copytree(source, part, dirs_exist_ok=True)
                for mask in sorted(part.glob("sub-*/**/*_mask.nii.gz")):
                    self._add_own_lesion(mask)
        return out

    def painted(self) -> Path:
        """The same lesions, painted."""
        source, out = self.transplanted(), self.folder / "painted"
        new = self.folder / "new_lesions"
        if not out.exists():
            with whole_folder(out) as part:
                shutil.copytree(source, part, dirs_exist_ok=True)
                for image in sorted(part.glob("sub-*/**/*_desc-transplanted_FLAIR.nii.gz")):
                    beside = new / image.parent.relative_to(part)
                    self._paint(image, next(beside.glob(f"{image.name.split('_desc-')[0]}*_mask.nii.gz")))
        return out

    def _add_own_lesion(self, mask: Path) -> None:
        own, new = (read_labels(each) for each in (self.cohort.mask(_subject(mask)), mask))
        mask.unlink()
        write_volume(mask, (own.data > 0) | (new.data > 0), new, mask=True)

    def _paint(self, image: Path, mask: Path) -> None:
        host = read_volume(self.cohort.image(_subject(image)))
        lesion = np.asarray(nibabel.load(mask).dataobj) > 0
        image.unlink()
        write_volume(image, painted(host.data, lesion, (self.seed, *image.name.encode())), host)

    def trained(self, kind: str, images: int) -> Path:
        """Weights of a segmentor, those that do best on the validation patients."""
        folders = [self.cohort.validation(), self.real()]
        if kind != "real":  # half of the volumes with a lesion are real
            folders += [self.real(copy) for copy in range(1, round(self.lesions / self.count))]
            folders.append(getattr(self, kind)())
        prepared = _prepared(folders, self.folder / f"prepared_{kind}", "--fractions", 1, 0, 0)
        run = self.folder / f"run_{kind}"
        chosen = [*SETTINGS, f"training.images={images}", f"training.seed={self.seed}"]
        options = [word for setting in chosen for word in ("--set", setting)]
        _run(PROGRAM, "train", prepared, "-o", run, "--method", "judge", *options)
        return run / BEST


def painted(healthy: Array, lesion: Array, seed: Sequence[int]) -> Array:
    """A volume (I, J, K) with a drawn lesion in each of its slices (I, J); one brightness for all.

    The median tissue is as bright as in training data when the lesion is drawn; that of transplanted ones
    varies about this as training data do.
    """
    scale = float(np.median(healthy[healthy > 0])) / LEVEL.median
    made = np.array(healthy, dtype=np.float32)
    for k in np.flatnonzero(lesion.any(axis=(0, 1))):
        plain = np.clip(made[..., k] / scale, 0, 1)
        drawn, _ = add_synthetic_lesion(plain, lesion[..., k], np.random.default_rng(seed))
        made[..., k] += (drawn - plain) * scale
    return made


def _subject(path: Path) -> str:
    return next(folder.name for folder in path.parents if folder.name.startswith("sub-"))


def _subset(
    data: Path, patients: Sequence[str], out: Path, *, split: str = "train", suffix: str = ""
) -> Path:
    """A BIDS data set of some patients, all in one part of the split: links to their files.

    The subjects' names get the suffix.
    """
    if not out.exists():
        with whole_folder(out) as part:
            shutil.copyfile(data / "dataset_description.json", part / "dataset_description.json")
            for source in data.glob("derivatives/*/dataset_description.json"):
                (part / source.parent.relative_to(data)).mkdir(parents=True)
                shutil.copyfile(source, part / source.relative_to(data))
            for patient in patients:
                for folder in (data / patient, *data.glob(f"derivatives/*/{patient}")):
                    for path in filter(Path.is_file, folder.rglob("*")):
                        link = part / str(path.relative_to(data)).replace(patient, patient + suffix)
                        link.parent.mkdir(parents=True, exist_ok=True)
                        link.symlink_to(path.resolve())
            with (part / "participants.tsv").open("w", encoding="utf-8", newline="") as file:
                table = csv.writer(file, delimiter="\t", lineterminator="\n")
                table.writerow(("participant_id", "split"))
                table.writerows((patient + suffix, split) for patient in patients)
    return out


def _prepared(folders: Sequence[Path], out: Path, *options: object) -> Path:
    _run(PROGRAM, "prepare", *folders, "-o", out, *options)
    return out


def _run(module: str, *words: object) -> None:
    """A command of the program, in a process of its own; what it says is shown where it fails."""
    command = [sys.executable, "-m", module, *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")


def score(weights: Path, slices: SliceSet) -> tuple[pd.Series[float], float]:
    """How well a segmentor finds the lesions, and how little beside them.

    Returns:
        The Dice of each patient with a lesion, pooled over all of the patient's slices; the mean share of the
        brain that is marked in slices without a lesion.
    """
    model = Model.load(weights, "cpu", "auto")
    marked = (model.segment(np.asarray(slices.images, np.float32)) > THRESHOLD) & slices.brains
    with_lesion = slices.masks.any(axis=(1, 2))
    ill = np.isin(slices.volumes, slices.volumes[with_lesion])
    area, brain = (each[~with_lesion].sum(axis=(1, 2)) for each in (marked, slices.brains))
    dice = volume_dice(marked[ill], slices.masks[ill], slices.volumes[ill])
    return dice, float(np.mean(area / np.maximum(brain, 1)))


def compared(scores: Mapping[str, Sequence[tuple[pd.Series[float], float]]]) -> dict[str, Any]:
    """Mean Dice of each kind over the patients, averaged over seeds, and what is gained on the real alone."""
    dice = {kind: [each for each, _ in series] for kind, series in scores.items()}
    means = {kind: averaged_over_seeds(each) for kind, each in dice.items()}
    pairs = {kind: (kind, "real") for kind in means if kind != "real"}
    pairs["transplanted_over_painted"] = ("transplanted", "painted")
    return {
        "dice": {kind: {**interval(means[kind]), "by_seed": _by_seed(dice[kind])} for kind in means},
        "gain": {
            name: {
                **interval(means[one] - means[other]),
                "by_seed": _by_seed([a - b for a, b in zip(dice[one], dice[other], strict=True)]),
            }
            for name, (one, other) in pairs.items()
        },
        "marked_without_lesion": {kind: [share for _, share in series] for kind, series in scores.items()},
        "patients": len(means["real"]),
    }


def _by_seed(values: Sequence[pd.Series[float]]) -> list[float]:
    return [float(each.mean()) for each in values]


def measured(cohort: Cohort, count: int, seeds: int, lesions: int, images: int) -> dict[str, Any]:
    """What is found with so many patients of a cohort; trains what is not trained."""
    slices = every_slice(Prepared.open(cohort.prepared()), "test")
    runs: list[Path] = []
    scores: dict[str, list[tuple[pd.Series[float], float]]] = {kind: [] for kind in KINDS}
    for draw in (Draw(cohort, count, seed, lesions) for seed in range(seeds)):
        for kind in KINDS:
            weights = draw.trained(kind, images)
            runs.append(weights.parent)
            expect_one_precision(runs)
            scores[kind].append(score(weights, slices))
            print(f"{cohort.name}: {count} patients, seed {draw.seed}, {kind}", file=sys.stderr)
    return compared(scores)


def expect_one_precision(runs: Sequence[Path]) -> None:
    """Refuse to compare trainings that were not of one precision, which `auto` chooses by the machine."""
    found = {read_yaml(run / RUN_SETTINGS)["precision"]: run for run in runs}
    if len(found) > 1:
        words = " and ".join(f"{run} in {precision}" for precision, run in found.items())
        raise SystemExit(f"trained in different precisions: {words}; remove one, and it is trained again")


def with_found(out: Path, cohort: str, count: int, found: Mapping[str, Any]) -> dict[str, Any]:
    """The results in a file, if it is there, with those of a cohort and a number of patients."""
    cohorts = dict(read_json(out)["cohorts"]) if out.exists() else {}
    counts = {**cohorts.get(cohort, {}), str(count): dict(found)}
    cohorts[cohort] = {each: counts[each] for each in sorted(counts, key=int)}
    return {"cohorts": {name: cohorts[name] for name in sorted(cohorts)}}


def main() -> None:
    """Train what is not trained, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="+", metavar="NAME=DATA")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--patients", type=int, nargs="+", default=PATIENTS, help="real ones, with a lesion")
    parser.add_argument("--lesions", type=int, default=LESIONS, help="that are added")
    parser.add_argument("--images", type=int, default=4000, help="of each training")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1, help="cohorts at once")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    made_by = provenance()  # before anything is written
    config = {name: getattr(arguments, name) for name in ("images", "seeds", "lesions")}
    pairs = [word.partition("=") for word in arguments.data]
    cohorts = [Cohort(name, Path(data), arguments.work / name) for name, _, data in pairs]
    writing = Lock()

    def measure(cohort: Cohort) -> None:
        for count in arguments.patients:
            found = measured(cohort, count, **config)
            with writing:
                piece = {**found, "config": {**config, "settings": SETTINGS}, **made_by}
                write_json(arguments.out, with_found(arguments.out, cohort.name, count, piece))

    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(measure, cohorts))


if __name__ == "__main__":
    main()
