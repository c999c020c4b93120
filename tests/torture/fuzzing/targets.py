"""What the program reads, each with sound files to begin with, ways to change them, and its own reader."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import nibabel as nib
import numpy as np
import yaml

from fixtures.brains import LPS, brain, diseased, fractional
from fixtures.cohorts import FITTING, library, one_slice, participants, study, touch
from fixtures.experiments import experiment
from fixtures.models import TINY, saved, tiny
from fixtures.results import curves as drawn_curves
from fixtures.results import table1, volumes
from pseudohealthy.assessment.judge_selection import VALIDATION
from pseudohealthy.bids_app.records import InputFingerprint, Record, outputs_of
from pseudohealthy.bids_app.selection import select
from pseudohealthy.cli.bids_app import app as bids_app
from pseudohealthy.cli.main import app
from pseudohealthy.config import preprocessing, settings
from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.data.layouts.participants import read_participants
from pseudohealthy.data.out_of_distribution import SIGNS, Reference
from pseudohealthy.data.prepare import prepare
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.data.volume import read_labels, read_volume, write_volume
from pseudohealthy.evaluation.compare import compare_scores, read_scores
from pseudohealthy.experiment.config import read_experiment
from pseudohealthy.experiment.publish import render
from pseudohealthy.experiment.steps import DONE, SELECTION, Step, list_steps
from pseudohealthy.files import flatten, write_json, write_text, write_tsv
from pseudohealthy.json_files import read_json
from pseudohealthy.settings_files import read_yaml
from pseudohealthy.synthesis.bundled_weights import describe_installation
from pseudohealthy.synthesis.model import Model
from pseudohealthy.training.checkpoint import load_state
from pseudohealthy.training.loop import describe_run, train
from pseudohealthy.training.progress import Metrics
from pseudohealthy.training.run_folder import CLOCK, METRICS, SETTINGS, STATE, RunFolder
from torture.fuzzing import mutations as m

ROOT = Path(__file__).resolve().parents[3]
Folder = Path
CHANGED = "changed"  # a file beside the folder, with the path of the file that was changed in it
Undo = Callable[[], object]


@dataclass(frozen=True)
class Target:
    """One kind of input, and who reads it.

    Attributes:
        name: of the target.
        group: of the figures: NIfTI, YAML, BIDS, JSON, weights, training state.
        share: of a campaign's inputs, beside those of the others.
        build: makes sound files in an empty folder.
        read: what is done with the folder; the second folder, empty, may be written to.
        changes: how files are changed, by their path in the folder; one file an input.
        disturb: changes the folder itself; the folder is made anew for each input.
        codes: exit codes that a refusal may have.
    """

    name: str
    group: str
    share: float
    build: Callable[[Folder], object]
    read: Callable[[Folder, Folder], object]
    changes: Mapping[str, m.Change] = field(default_factory=dict)
    disturb: Callable[[Random, Folder], object] | None = None
    codes: frozenset[int] = frozenset({2})

    def change(self, random: Random, folder: Folder) -> Undo:
        """Change a sound folder; returns what makes it sound again."""
        if self.disturb is not None:
            self.disturb(random, folder)
            return lambda: self._anew(folder)
        name = random.choice(list(self.changes))
        path = folder / name
        content = path.read_bytes()
        path.write_bytes(self.changes[name](random, content))
        (folder.parent / CHANGED).write_text(name)
        return lambda: path.write_bytes(content)

    def _anew(self, folder: Folder) -> None:
        _removed(folder)
        folder.mkdir()
        self.build(folder)


def _changed(folder: Folder) -> Path:
    return folder / (folder.parent / CHANGED).read_text()


def _removed(folder: Path) -> None:
    for place, names, _ in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                (Path(place) / name).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


# NIfTI

SMALL = (24, 32, 6)


def _small_brain() -> Any:
    return fractional(brain())[12:36, 16:48, 7:13].astype(np.float32)


def _nifti(kind: type[Any], name: str) -> Callable[[Folder], object]:
    def build(folder: Folder) -> None:
        image = kind(_small_brain(), LPS)
        image.set_sform(LPS, 1)
        image.set_qform(LPS, 1)
        if name == "extended.nii":
            image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"a scanner's words"))
        nib.save(image, folder / name)

    return build


def _niftis(folder: Folder) -> None:
    _nifti(nib.Nifti1Image, "plain.nii")(folder)
    _nifti(nib.Nifti1Image, "packed.nii.gz")(folder)
    _nifti(nib.Nifti2Image, "second.nii")(folder)
    _nifti(nib.Nifti1Image, "extended.nii")(folder)
    _nifti(nib.Nifti1Pair, "pair.hdr")(folder)


def _read_changed(folder: Folder, out: Folder) -> None:
    """The one that was changed, and some of those that can be read written again."""
    volume = read_volume(_changed(folder))
    if volume.data.flat[0] == 0:  # some of them: it takes longer than reading
        write_volume(out / "copy.nii", volume.data, volume, keep_header_text=True)


def _read_mask(folder: Folder, out: Folder) -> None:
    read_labels(folder / "plain.nii")


def _synthesis(folder: Folder) -> None:
    saved(folder / "weights", finds=None)
    nib.save(nib.Nifti1Image(fractional(diseased())[:, :, 8:11].astype(np.float32), LPS), folder / "x.nii.gz")


def _synthesize(folder: Folder, out: Folder) -> None:
    _command(
        "synthesize", folder / "x.nii.gz", "-o", out / "made", "--weights", folder / "weights", "--blend"
    )


def _synthesize_with_mask(folder: Folder, out: Folder) -> None:
    options = ("--weights", folder / "weights", "--brain-mask", folder / "mask.nii")
    _command("synthesize", folder / "x.nii.gz", "-o", out / "made", *options)


def _with_mask(folder: Folder) -> None:
    _synthesis(folder)
    mask = (diseased()[:, :, 8:11] > 0).astype(np.float32)
    nib.save(nib.Nifti1Image(mask, LPS), folder / "mask.nii")


def _command(*words: object) -> None:
    app(args=[str(word) for word in words], prog_name="pseudohealthy")


def _bids_command(*words: object) -> None:
    bids_app(args=[str(word) for word in words], prog_name="pseudohealthy-bids")


# YAML


def _settings(folder: Folder) -> None:
    values = settings("paired").model_dump(mode="json")
    write_text(folder / "settings.yaml", yaml.safe_dump(values, sort_keys=False))


def _read_settings(folder: Folder, out: Folder) -> None:
    values = read_yaml(folder / "settings.yaml")
    settings(None, None, values, [])


def _experiments(folder: Folder) -> None:
    for path in (ROOT / "configs").glob("*.yaml"):
        shutil.copy(path, folder)


def _read_experiments(folder: Folder, out: Folder) -> None:
    read_experiment(_changed(folder))


def _read_overrides(folder: Folder, out: Folder) -> None:
    lines = (folder / "overrides").read_bytes().decode("utf-8", "surrogateescape").split("\n")
    settings("paired", "default", {}, lines)
    preprocessing("default", overrides=lines)


# BIDS names and tables

PEOPLE = (
    "participant_id\tgroup\tsplit\tage\tdiagnosis",
    "sub-01\tpatient\ttrain\t40\tstroke",
    "sub-02\tpatient\tval\t50\tstroke",
    "sub-03\tcontrol\ttest\tn/a\tHC",
    "sub-004\tcontrol\ttrain\t61\tHC",
)


def _people(folder: Folder) -> None:
    participants(folder, *PEOPLE)


def _read_people(folder: Folder, out: Folder) -> None:
    read_participants(folder, {"01", "02", "03", "004", "05"})
    read_participants(folder, {"01", "02", "03", "004", "05"}, ["HC"])


def _names(folder: Folder) -> None:
    for subject in ("01", "02"):
        touch(
            folder,
            f"sub-{subject}/ses-1/anat/sub-{subject}_ses-1_FLAIR.nii.gz",
            f"sub-{subject}/ses-1/anat/sub-{subject}_ses-1_FLAIR.json",
            f"sub-{subject}/ses-1/anat/sub-{subject}_ses-1_T1w.nii.gz",
            f"derivatives/masks/sub-{subject}/ses-1/anat/sub-{subject}_ses-1_label-lesion_mask.nii.gz",
        )
    touch(folder, "sub-03/anat/sub-03_acq-a_FLAIR.nii", "sub-03/sub-03_sessions.tsv")
    participants(folder, "participant_id\tgroup", "sub-01\tpatient", "sub-02\tpatient", "sub-03\tcontrol")
    write_json(folder / "dataset_description.json", {"Name": "Study", "BIDSVersion": "1.11.1"})


NAME_PIECES = (
    *(b"", b"_", b"-", b".", b" ", b"\n", b"\xff\xfe", b"\x1b[31m", "é".encode(), "日本".encode(), b"'\"&<>"),
    *(
        b"sub-",
        b"ses-",
        b"_FLAIR",
        b"_run-1",
        b"_label-lesion",
        b".nii",
        b".gz",
        b"%00",
        b"$(true)",
        b"a" * 180,
    ),
    *(b"*", b"?", b"[", b"\\", b"~", b"-", b"--help", b"\t", "\u202e".encode(), b"01", b"\xc3"),
)


def _names_changed(random: Random, folder: Folder) -> None:
    """One to four files or folders renamed, moved, doubled, removed, or made a link, a pipe or a folder."""
    for _ in range(random.choice((1, 1, 2, 4))):
        there = sorted(os.fsencode(path) for path in folder.rglob("*"))
        path = random.choice(there)
        place, name = os.path.split(path)
        at, end = sorted(random.randrange(len(name) + 1) for _ in range(2))
        end = random.choice((at, end))
        new = os.path.join(place, name[:at] + random.choice(NAME_PIECES) + name[end:])
        with contextlib.suppress(OSError, ValueError, shutil.Error):
            _rearrange(random, path, new, random.choice(there))


def _rearrange(random: Random, path: bytes, new: bytes, other: bytes) -> None:
    kind = random.randrange(9)
    if kind == 0:
        shutil.rmtree(path) if os.path.isdir(path) else os.remove(path)
    elif kind == 1 and not os.path.isdir(path):
        os.remove(path)
        random.choice((os.mkdir, os.mkfifo))(path)
    elif kind == 2:
        os.symlink(random.choice((path, other, b"/nowhere", b"..", b".", b"/dev/zero")), new)
    elif kind == 3:
        (
            shutil.copytree(os.fsdecode(path), os.fsdecode(new), symlinks=True)
            if os.path.isdir(path) and not os.path.islink(path)
            else shutil.copy(path, new, follow_symlinks=False)
        )
    elif kind == 4:
        os.chmod(path, 0)
    elif kind == 5:
        os.rename(path, os.path.join(os.path.dirname(other), os.path.basename(new)))
    else:
        os.rename(path, new)


def _read_names(folder: Folder, out: Folder) -> None:
    read_cohort([folder])


def _select_names(folder: Folder, out: Folder) -> None:
    select(folder)
    select(folder, ["01"], ["1"])


def _study(folder: Folder) -> None:
    study(folder / "raw", 2)
    saved(folder / "weights")
    write_json(folder / "raw/sub-01/anat/sub-01_FLAIR.json", {"EchoTime": 0.1})


def _participant_level(folder: Folder, out: Folder) -> None:
    options = ("--weights", folder / "weights", "--jobs", "1")
    _bids_command(folder / "raw", out / "made", "participant", *options)


def _study_changed(random: Random, folder: Folder) -> None:
    _names_changed(random, folder / "raw")


# JSON of the program's own


def _prepared(folder: Folder) -> None:
    one_slice(folder / "patients", 8, 4)
    prepare(read_cohort([folder / "patients", library(folder / "masks", 2)]), folder / "prepared", FITTING)


def _open_prepared(folder: Folder, out: Folder) -> None:
    opened = Prepared.open(folder / "prepared")
    _ = opened.preprocessing


def _derivatives(folder: Folder) -> None:
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


def _group_level(folder: Folder, out: Folder) -> None:
    shutil.copytree(folder / "out", out / "made")
    _bids_command(folder / "raw", out / "made", "group")


DERIVED = "out/sub-01/anat/sub-01_desc-pseudohealthy_report.json"
LOGGED = "out/logs/sub-01/anat/sub-01_FLAIR.nii.gz.json"


def _again(folder: Folder) -> None:
    """A report of an earlier run, and what one that was killed left."""
    _synthesis(folder)
    (folder / "before").mkdir()
    write_json(folder / "before/x_desc-pseudohealthy_report.json", {"input": "x.nii.gz"})
    write_json(folder / "before/.x.unfinished", {"x_desc-pseudohealthy_FLAIR.nii.gz": "0" * 64})


def _made_again(folder: Folder, out: Folder) -> None:
    from pseudohealthy.synthesis.output_files import not_made_again, refuse_another_s, refuse_existing

    shutil.copytree(folder / "before", out / "made")
    refuse_existing(out / "made", "x.nii.gz", overwrite=True)
    refuse_another_s(out / "made", "x.nii.gz")
    not_made_again(out / "made", "x.nii.gz", blend=False)


def _any_json(folder: Folder) -> None:
    write_json(folder / "x.json", {"a": [1, 2.5, None, True, "b"], "c": {"d": {"e": "f"}}})


def _read_any_json(folder: Folder, out: Folder) -> None:
    read_json(folder / "x.json", "no report", "make it again")


EXPERIMENT = experiment()
STEPS = list_steps(EXPERIMENT, "key")


def _steps(folder: Folder) -> None:
    """The files of an experiment whose steps are finished, under names that tests know."""
    point = {"images": 400, "identity": 0.9, "healthiness": 0.8, "choice": 1.7}
    for step in STEPS:
        place = step.folder(folder)
        about = {"key": step.key, "commit": "0" * 40, "seconds": 1.5, "device": "cpu"}
        write_json(place_made(place) / DONE, about)
        if step.kind == "select":
            write_json(place / SELECTION, {"weights": "snapshots/0000400", "images": 400, "curve": [point]})
        if step.kind in ("judge", "train"):
            write_json(place_made(place / "run") / CLOCK, {"images": 400, "seconds": 3.5})
        if step.kind == "judge":
            curve = [{"images": 400, "dice_pooled": 0.8}]
            validation = {"weights": "snapshots/0000400", "images": 400, "curve": curve}
            write_json(place / "run" / VALIDATION, validation)


def place_made(place: Path) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    return place


def _first(kind: str) -> Step:
    return next(step for step in STEPS if step.kind == kind)


def _read_steps(folder: Folder, out: Folder) -> None:
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


def _results(folder: Folder) -> None:
    write_json(folder / "table1.json", table1())
    write_tsv(folder / "volumes.tsv", volumes())
    write_tsv(folder / "curves.tsv", drawn_curves())


def _render(folder: Folder, out: Folder) -> None:
    shutil.copytree(folder, out / "results")
    render(out / "results")


def _scores(folder: Folder) -> None:
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
        write_tsv(place_made(folder / name) / "volumes.tsv", table)


def _compare(folder: Folder, out: Folder) -> None:
    ours = read_scores(folder / "ours")
    write_json(out / "x.json", compare_scores(ours, read_scores(folder / "theirs")))


# Weights


def _weights(folder: Folder) -> None:
    saved(folder / "weights")
    spread = {name: {"median": 0.5, "deviation": 0.1} for name in SIGNS}
    values = {"figures": spread, "farthest": 2.4, "limit": 3.0, "volumes": 12, "data": "none"}
    Reference.model_validate({"format": 1, **values}).write(folder / "weights")


def _info(folder: Folder, out: Folder) -> None:
    describe_installation(folder / "weights")


def _info_command(folder: Folder, out: Folder) -> None:
    _command("info", "--weights", folder / "weights")
    _command("info", "--weights", folder / "weights", "--json")


def _load_model(folder: Folder, out: Folder) -> None:
    Model.load(folder / "weights", "cpu", "torch")


# Training state

RUN = tiny("paired", "training.images=8", "training.checkpoint_every=4", "training.preview_every=100000")


def _run_folder(folder: Folder) -> None:
    _prepared(folder)
    train(Prepared.open(folder / "prepared"), folder / "run", RUN, accelerator="cpu")


def _load_state(folder: Folder, out: Folder) -> None:
    load_state(folder / "run" / STATE)


def _resume(folder: Folder, out: Folder) -> None:
    shutil.copytree(folder / "run", out / "run")
    train(Prepared.open(folder / "prepared"), out / "run", RUN, accelerator="cpu")


def _read_metrics(folder: Folder, out: Folder) -> None:
    shutil.copy(folder / METRICS, out)
    Metrics(out / METRICS, {"images": 800, "warm_up_images": 100})


def _metrics(folder: Folder) -> None:
    lines = [
        {"images": n, "warm_up_images": 100, "generator": 0.5, "segmentor": 0.25} for n in (400, 800, 1200)
    ]
    write_text(folder / METRICS, "".join(json.dumps(line) + "\n" for line in lines))


def _same_run(folder: Folder, out: Folder) -> None:
    cohort = Prepared.open(folder / "prepared")
    RunFolder(folder / "run", cohort).refuse_other_run(describe_run(cohort, RUN, None, "cpu"))


JSON = m.any_of(m.json_changed, m.json_changed, m.json_changed, m.bytes_changed)
YAML = m.any_of(m.yaml_changed, m.yaml_changed, m.yaml_changed, m.bytes_changed)
TABLE = m.any_of(m.table_changed, m.table_changed, m.table_changed, m.bytes_changed)
IMAGE = m.any_of(m.nifti_changed, m.nifti_changed, m.bytes_changed, m.voxels_changed)
PACKED = m.any_of(m.nifti_changed, m.bytes_changed, m.gzip_rebuilt, m.voxels_changed)
ANY_FAILURE = frozenset({1, 2})  # of the BIDS-App, where 1 is that some image failed

TARGETS = (
    Target(
        "nifti_image",
        "NIfTI",
        22,
        _niftis,
        _read_changed,
        {
            "plain.nii": IMAGE,
            "packed.nii.gz": PACKED,
            "second.nii": m.any_of(m.nifti_changed, m.bytes_changed),
            "extended.nii": m.any_of(m.nifti_changed, m.bytes_changed),
            "pair.hdr": m.any_of(m.nifti_changed, m.bytes_changed),
            "pair.img": m.bytes_changed,
        },
    ),
    Target("nifti_mask", "NIfTI", 4, _nifti(nib.Nifti1Image, "plain.nii"), _read_mask, {"plain.nii": IMAGE}),
    Target("synthesize", "NIfTI", 0.5, _synthesis, _synthesize, {"x.nii.gz": PACKED}),
    Target("synthesize_mask", "NIfTI", 0.5, _with_mask, _synthesize_with_mask, {"mask.nii": IMAGE}),
    Target("settings", "YAML", 8, _settings, _read_settings, {"settings.yaml": YAML}),
    Target(
        "experiment",
        "YAML",
        2,
        _experiments,
        _read_experiments,
        {path.name: YAML for path in sorted((ROOT / "configs").glob("*.yaml"))},
    ),
    Target(
        "overrides",
        "YAML",
        4,
        lambda folder: write_text(
            folder / "overrides", "\n".join(f"{key}={value}" for key, value in flatten(TINY).items())
        ),
        _read_overrides,
        {"overrides": m.any_of(m.bytes_changed, m.yaml_changed)},
    ),
    Target("participants", "BIDS", 9, _people, _read_people, {"participants.tsv": TABLE}),
    Target("cohort_names", "BIDS", 3, _names, _read_names, disturb=_names_changed),
    Target("bids_names", "BIDS", 3, _names, _select_names, disturb=_names_changed),
    Target(
        "bids_participant",
        "BIDS",
        0.2,
        _study,
        _participant_level,
        disturb=_study_changed,
        codes=ANY_FAILURE,
    ),
    Target("json", "JSON", 6, _any_json, _read_any_json, {"x.json": JSON}),
    Target(
        "prepared",
        "JSON",
        6,
        _prepared,
        _open_prepared,
        {
            "prepared/manifest.json": JSON,
            "prepared/slices.tsv": TABLE,
            "prepared/library.tsv": TABLE,
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
            DERIVED: JSON,
            LOGGED: JSON,
            "out/dataset_description.json": JSON,
            "raw/dataset_description.json": JSON,
        },
    ),
    Target(
        "earlier_run",
        "JSON",
        3,
        _again,
        _made_again,
        {"before/x_desc-pseudohealthy_report.json": JSON, "before/.x.unfinished": JSON},
    ),
    Target(
        "steps",
        "JSON",
        3,
        _steps,
        _read_steps,
        {
            _file_of("judge", DONE): JSON,
            _file_of("judge", f"run/{VALIDATION}"): JSON,
            _file_of("train", f"run/{CLOCK}"): JSON,
            _file_of("train", DONE): JSON,
            _file_of("select", SELECTION): JSON,
        },
    ),
    Target(
        "results",
        "JSON",
        0.1,
        _results,
        _render,
        {"table1.json": JSON, "volumes.tsv": TABLE, "curves.tsv": TABLE},
    ),
    Target("scores", "JSON", 2, _scores, _compare, {"theirs/volumes.tsv": TABLE}),
    Target(
        "weights_config",
        "weights",
        6,
        _weights,
        _info,
        {"weights/config.json": JSON, "weights/training_distribution.json": JSON},
    ),
    Target(
        "weights",
        "weights",
        3,
        _weights,
        _load_model,
        {"weights/config.json": JSON, "weights/model.safetensors": m.safetensors_changed},
    ),
    Target("info", "weights", 1, _weights, _info_command, {"weights/config.json": JSON}),
    Target("state", "training state", 3, _run_folder, _load_state, {f"run/{STATE}": m.state_changed}),
    Target("metrics", "training state", 5, _metrics, _read_metrics, {METRICS: m.lines_changed}),
    Target("run_settings", "training state", 3, _run_folder, _same_run, {f"run/{SETTINGS}": YAML}),
    Target(
        "resume",
        "training state",
        0.4,
        _run_folder,
        _resume,
        {
            f"run/{STATE}": m.state_changed,
            f"run/{METRICS}": m.lines_changed,
            f"run/{CLOCK}": JSON,
            f"run/{SETTINGS}": YAML,
        },
    ),
)
BY_NAME = {target.name: target for target in TARGETS}
