"""A prepared cohort on disk: memory-mapped slices, their table, and the manifest of how they came about.

A folder holds `images.npy` and `masks.npy`, (N, H, W), and `truth.npy` where every image has a truth;
`slices.tsv`, a row for each slice; `library.npy` and `library.tsv`, masks without image, where there are any;
and `manifest.json`, from which files and settings the slices came, and what was measured of the volumes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, cast, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict  # as pydantic asks before Python 3.12; it comes with pydantic

from pseudohealthy.config import Preprocessing, Split
from pseudohealthy.data.layouts import CohortVolume, Group
from pseudohealthy.errors import InputError
from pseudohealthy.files import open_file, sha256_of, sha256_of_json
from pseudohealthy.json_files import read_json
from pseudohealthy.settings_files import validated

if TYPE_CHECKING:  # not for those who only process images
    import pandas as pd

FORMAT = 3  # 2 was that of version 0.1, whose settings and labels have other names
MANIFEST = "manifest.json"
ARRAYS = {"images": np.float32, "masks": np.uint8, "truth": np.float32, "library": np.uint8}
COLUMNS = {
    "row": int,  # of the slice in the arrays
    "subject": str,
    "session": str,  # n/a where there is only one
    "source": str,
    "group": str,
    "split": str,
    "z": int,  # canonical slice index, from inferior
    "height": float,  # 0 at the brain's lowest slice, 1 at its highest; a library's: of the volume's slices
    "label": str,  # unlabelled: of a patient without a mask; edge: too small to be measured, without lesion
    "lesion_voxels": int,  # inside the field
    "brain_voxels": int,  # inside the field; 0 in a library
    "has_mask": bool,  # whether a mask was given; a control without one has black masks all the same
}

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
    """How a prepared cohort came about; `key` is a hash of everything that decides what the slices hold."""

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


@dataclass(frozen=True, eq=False)
class Prepared:
    """A prepared cohort, open for reading.

    Attributes:
        images: `(N, H, W)` float32 in [0, 1]; row 0 anterior, column 0 the patient's right; a memory map.
        masks: `(N, H, W)` uint8, 1 is lesion; black for healthy and for unlabelled slices.
        truth: `(N, H, W)` float32, the images without their lesions; None unless every image has one.
        mask_library: `(M, H, W)` uint8, lesion masks without image; None where there are none.
        slices: N rows, the columns `COLUMNS`.
        mask_library_slices: M rows of the same columns, or None.
        manifest: how all this came about.
    """

    images: NDArray[np.float32]
    masks: NDArray[np.uint8]
    truth: NDArray[np.float32] | None
    mask_library: NDArray[np.uint8] | None
    slices: pd.DataFrame
    mask_library_slices: pd.DataFrame | None
    manifest: Manifest

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the prepared cohort in `folder`.

        Raises:
            InputError: not a prepared cohort, another version of it, or files that are missing or do not fit.
        """
        manifest = read_manifest(folder)
        shapes = manifest["arrays"]
        if not {"images", "masks"} <= shapes.keys() <= ARRAYS.keys():
            raise InputError(
                f"{folder}: {MANIFEST} names the arrays {', '.join(shapes)}; prepare the cohort again"
            )
        arrays = {name: _array(folder, name, shape) for name, shape in shapes.items()}
        return cls(
            images=arrays["images"],
            masks=arrays["masks"],
            truth=arrays.get("truth"),
            mask_library=arrays.get("library"),
            slices=_table(folder / "slices.tsv", shapes["images"][0]),
            mask_library_slices=_table(folder / "library.tsv", shapes["library"][0])
            if "library" in shapes
            else None,
            manifest=manifest,
        )

    @property
    def preprocessing(self) -> Preprocessing:
        """How the volumes became slices."""
        return validated(Preprocessing, self.manifest["settings"], MANIFEST)


def read_manifest(folder: Path) -> Manifest:
    """The manifest in a prepared folder.

    Raises:
        InputError: there is none, or it is of another format.
    """
    path = folder / MANIFEST
    manifest = read_json(
        path, f"not a prepared cohort, {MANIFEST} cannot be read", "prepare the cohort again", where=folder
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


def _array(folder: Path, name: str, shape: list[int]) -> NDArray[Any]:
    path = folder / f"{name}.npy"
    try:
        open_file(path).close()
        with np.errstate(all="raise"):  # a shape beyond all measure
            array = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # numpy reads the header as Python
        raise InputError(f"{path}: cannot be opened ({error}); prepare the cohort again") from error
    if list(array.shape) != shape or array.dtype != ARRAYS[name]:
        found, expected = f"{array.dtype} {list(array.shape)}", f"{np.dtype(ARRAYS[name])} {shape}"
        raise InputError(f"{path}: {found}, expected {expected}; prepare the cohort again")
    return array


def _table(path: Path, rows: int) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415

    try:
        with open_file(path) as file, np.errstate(all="raise"):  # numbers that no row can have
            table = pd.read_csv(file, sep="\t", dtype=COLUMNS, keep_default_na=False)
    except (OSError, ValueError, ArithmeticError) as error:
        raise InputError(f"{path}: cannot be read ({error}); prepare the cohort again") from error
    if list(table.columns) != list(COLUMNS) or len(table) != rows:
        raise InputError(f"{path}: expected {rows} rows of {', '.join(COLUMNS)}; prepare the cohort again")
    return table
