"""The manifest of a prepared cohort: from which files and settings its slices came, and what was measured."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict  # as pydantic asks before Python 3.12; it comes with pydantic

from pseudohealthy.config import Split
from pseudohealthy.data.layouts import CohortVolume, Group
from pseudohealthy.errors import InputError
from pseudohealthy.files import sha256_of, sha256_of_json
from pseudohealthy.json_files import read_json

FORMAT = 3  # 2 was that of version 0.1, whose settings and labels have other names
FILE = "manifest.json"

Label = Literal["pathological", "healthy", "unlabelled", "edge"]
LABELS: tuple[Label, ...] = get_args(Label)


class FileRecord(TypedDict):
    """An input: its path as seen from the data set's folder, and the hash of its content."""

    path: str
    sha256: str


class InputRecord(TypedDict):
    """Whose volume it is, and the files it comes from by role (image, mask, truth)."""

    subject: str
    session: str | None
    source: str
    group: Group
    split: Split
    inputs: dict[str, FileRecord]


class Facts(TypedDict):
    """What was measured of a volume; intensities in the file's units, voxels as stored."""

    ceiling: float | None  # V99.5; None in a library
    lesion_voxels: int
    saturated_lesion_share: float | None  # of the lesion's voxels, those above the ceiling; None without any
    brain_voxels_outside_field: int
    slices: dict[Label, int]  # selected ones
    warnings: list[str]  # what a person should know about its files


class VolumeRecord(InputRecord):
    """A volume's inputs and what was measured of it."""

    facts: Facts


class SplitTotals(TypedDict):
    """Sums over the volumes of one split that have an image."""

    subjects: list[str]
    volumes: int
    slices: dict[Label, int]
    saturated_lesion_share: float | None  # of the voxels of all lesions


class Manifest(TypedDict):
    """All of it; `key` is a hash of everything that decides what the slices hold."""

    format: int
    version: str  # of the program
    research_use: str
    key: str
    cohort: str
    settings: dict[str, Any]  # the preprocessing; `Prepared.preprocessing` has it as one
    seed: int
    fractions: list[float]  # of train, val and test subjects
    arrays: dict[str, list[int]]  # shape by name
    totals: dict[Split, SplitTotals]
    volumes: list[VolumeRecord]
    notes: list[str]  # what was left out, taken for something or not understood


def read_manifest(folder: Path) -> Manifest:
    """The manifest in a prepared folder.

    Raises:
        InputError: there is none, or it is of another format.
    """
    path = folder / FILE
    manifest = read_json(
        path, f"not a prepared cohort, {FILE} cannot be read", "prepare the cohort again", where=folder
    )
    if manifest.get("format") != FORMAT:
        raise InputError(f"{path}: {_other_format(manifest)}, expected {FORMAT}; prepare the cohort again")
    if missing := Manifest.__required_keys__ - manifest.keys():
        raise InputError(f"{path}: no {', '.join(sorted(missing))}; prepare the cohort again")
    try:
        return TypeAdapter(Manifest).validate_python(manifest)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: {name}: {first['msg']}; prepare the cohort again") from error


def input_record(volume: CohortVolume) -> InputRecord:
    """The volume's files, hashed; an unreadable one has no hash, and reading it will tell why."""
    roles = {"image": volume.image, "mask": volume.mask, "truth": volume.truth}
    return {
        "subject": volume.subject,
        "session": volume.session,
        "source": volume.source,
        "group": volume.group,
        "split": cast(Split, volume.split),
        "inputs": {
            role: {"path": _inside(path, volume.folder), "sha256": _sha256(path)}
            for role, path in roles.items()
            if path is not None
        },
    }


def decisive(
    settings: Mapping[str, Any], seed: int, fractions: Sequence[float], volumes: Sequence[InputRecord]
) -> dict[str, str]:
    """Everything that decides what the slices hold, by a name that a person understands."""
    parts: dict[str, Any] = {
        **settings,
        "seed": seed,
        "split fractions": [float(share) for share in fractions],
    }
    for volume in volumes:
        name = " ".join(filter(None, (volume["source"], volume["subject"], volume["session"])))
        parts[f"files of {name}"] = [volume["group"], volume["split"], volume["inputs"]]
    return {name: json.dumps(value, sort_keys=True) for name, value in parts.items()}


def key_of(parts: Mapping[str, str]) -> str:
    """The hash of what `decisive` gives."""
    return sha256_of_json([FORMAT, parts])


def _other_format(manifest: Mapping[str, Any]) -> str:
    """`format 2 (pseudohealthy 0.1.0)`."""
    version = manifest.get("version")
    return f"format {manifest.get('format')}" + (f" (pseudohealthy {version})" if version else "")


def _inside(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).as_posix()


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except (OSError, ValueError):
        return ""
