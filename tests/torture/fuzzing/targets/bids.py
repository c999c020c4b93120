"""Data sets: names of files, and participants.tsv."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from random import Random

from fixtures.cohorts import participants, study, touch
from fixtures.models import saved
from pseudohealthy.bids_app.selection import select
from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.data.layouts.participants import read_participants
from pseudohealthy.files import write_json
from torture.fuzzing import mutations as m
from torture.fuzzing.targets.target import Target, run_bids_app

PEOPLE = (
    "participant_id\tgroup\tsplit\tage\tdiagnosis",
    "sub-01\tpatient\ttrain\t40\tstroke",
    "sub-02\tpatient\tval\t50\tstroke",
    "sub-03\tcontrol\ttest\tn/a\tHC",
    "sub-004\tcontrol\ttrain\t61\tHC",
)


def _people(folder: Path) -> None:
    participants(folder, *PEOPLE)


def _read_people(folder: Path, out: Path) -> None:
    read_participants(folder, {"01", "02", "03", "004", "05"})
    read_participants(folder, {"01", "02", "03", "004", "05"}, ["HC"])


def _names(folder: Path) -> None:
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


def names_changed(random: Random, folder: Path) -> None:
    """One to four files or folders renamed, moved, doubled, removed, or made a link, a pipe or a folder."""
    for _ in range(random.choice((1, 1, 2, 4))):
        there = sorted(os.fsencode(path) for path in folder.rglob("*"))
        if not there:  # all was removed
            return
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


def _read_names(folder: Path, out: Path) -> None:
    read_cohort([folder])


def _select_names(folder: Path, out: Path) -> None:
    select(folder)
    select(folder, ["01"], ["1"])


def _study(folder: Path) -> None:
    study(folder / "raw", 2)
    saved(folder / "weights")
    write_json(folder / "raw/sub-01/anat/sub-01_FLAIR.json", {"EchoTime": 0.1})


def _participant_level(folder: Path, out: Path) -> None:
    options = ("--weights", folder / "weights", "--jobs", "1")
    run_bids_app(folder / "raw", out / "made", "participant", *options)


def _study_changed(random: Random, folder: Path) -> None:
    names_changed(random, folder / "raw")


ANY_FAILURE = frozenset({1, 2})  # of the BIDS-App, where 1 is that some image failed
TARGETS = (
    Target("participants", "BIDS", 9, _people, _read_people, {"participants.tsv": m.TABLE}),
    Target("cohort_names", "BIDS", 3, _names, _read_names, disturb=names_changed),
    Target("bids_names", "BIDS", 3, _names, _select_names, disturb=names_changed),
    Target(
        "bids_participant",
        "BIDS",
        0.2,
        _study,
        _participant_level,
        disturb=_study_changed,
        codes=ANY_FAILURE,
    ),
)
