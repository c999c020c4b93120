"""A cohort's files into a prepared cohort on disk (section 5 of docs/method.md).

Each volume is read once, one at a time is in memory, and the folder comes into being whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudohealthy import __version__
from pseudohealthy.config import SPLITS, Preprocessing
from pseudohealthy.data.cohort import Cohort
from pseudohealthy.data.layouts import CohortVolume, listed
from pseudohealthy.data.prepared import (
    ARRAYS,
    COLUMNS,
    FORMAT,
    MANIFEST,
    InputRecord,
    Manifest,
    Prepared,
    VolumeRecord,
    decisive,
    input_record,
    key_of,
)
from pseudohealthy.data.split import Fractions, expect_enough, totals_of, with_splits
from pseudohealthy.data.volume_slices import VolumeSlices
from pseudohealthy.errors import RESEARCH_USE, InputError
from pseudohealthy.files import whole_folder, write_json, write_tsv

Progress = Callable[[int, int, str], None]  # steps done, steps in all, what comes next


def prepare(
    cohort: Cohort,
    out: Path,
    settings: Preprocessing,
    *,
    seed: int = 0,
    fractions: Fractions = (0.6, 0.15, 0.25),
    progress: Progress | None = None,
) -> Manifest:
    """Write the slices of a cohort to `out`; where `out` holds exactly these already, do nothing.

    Args:
        cohort: what `read_cohort` found. Masks of a library whose own split is not train are left out.
        out: a new or empty folder, or one that was prepared from the same files and settings.
        settings: the preprocessing.
        seed: of the split, for subjects that have none of their own.
        fractions: shares of train, validation and test subjects, likewise.
        progress: called at each step.

    Raises:
        InputError: files that cannot be used (all of them are listed), a split that cannot be trained or
            measured on, or an `out` that holds something else. Nothing is left behind then.
        PseudohealthyError: `out` cannot be written.
    """
    out = out.resolve()
    volumes = [
        v for v in with_splits(cohort.volumes, fractions, seed) if v.group != "library" or v.split == "train"
    ]
    steps = _Steps(volumes, progress or (lambda *_: None))
    deciding = partial(decisive, settings.model_dump(mode="json"), seed, fractions)
    if there := _already(out, steps, deciding):
        return there
    with whole_folder(out) as folder:
        records, tables, shapes = _write_slices(folder, steps, settings)
        totals = {split: totals_of(split, records) for split in SPLITS}
        masks = any(volume.group == "patient" and volume.mask for volume in volumes)
        expect_enough(totals, fractions, masks=masks)
        for name, table in _tables(records, tables).items():
            write_tsv(folder / f"{name}.tsv", table, float_format="%.6f")
        manifest: Manifest = {
            "format": FORMAT,
            "version": __version__,
            "research_use": RESEARCH_USE,
            "key": key_of(deciding(records)),
            "cohort": cohort.name,
            "settings": settings.model_dump(mode="json"),
            "seed": seed,
            "fractions": list(fractions),
            "arrays": shapes,
            "totals": totals,
            "volumes": records,
            "notes": list(cohort.notes),
        }
        write_json(folder / MANIFEST, manifest)
    return manifest


@dataclass(frozen=True)
class _Steps:
    """The volumes one by one, each reported."""

    volumes: Sequence[CohortVolume]
    report: Progress

    def each(self, verb: str) -> Iterator[CohortVolume]:
        for done, volume in enumerate(self.volumes):
            self.report(done, len(self.volumes), f"{verb} {volume.subject}")
            yield volume
        self.report(len(self.volumes), len(self.volumes), "")


def _already(
    out: Path, steps: _Steps, deciding: Callable[[Sequence[InputRecord]], dict[str, str]]
) -> Manifest | None:
    """The manifest of `out` where it holds just these volumes' slices; None where there is nothing yet.

    Args:
        out: the folder.
        steps: the volumes, whose files are hashed.
        deciding: everything that decides what the slices of such records hold.

    Raises:
        InputError: it holds something else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    try:
        there = Prepared.open(out).manifest
    except InputError as error:
        raise InputError(f"{out}: exists already; choose another folder ({error})") from error
    parts = deciding([input_record(volume) for volume in steps.each("compare")])
    old = decisive(there["settings"], there["seed"], there["fractions"], there["volumes"])
    if differ := [name for name in {**old, **parts} if old.get(name) != parts.get(name)]:
        names = listed(
            name if name.startswith("files of") else f"{name} {old.get(name)} (now {parts.get(name)})"
            for name in differ
        )
        raise InputError(f"{out}: was prepared with other {names}; choose another folder")
    return there


def _write_slices(
    folder: Path, steps: _Steps, settings: Preprocessing
) -> tuple[list[VolumeRecord], list[pd.DataFrame], dict[str, list[int]]]:
    """Write the arrays, each volume's slices behind those of the one before.

    Returns:
        A record and a table for each volume, and the arrays' shapes by name.

    Raises:
        InputError: some volumes cannot be used: a headline, and a line for each.
    """
    truth = ["truth"] if all(volume.truth for volume in steps.volumes if volume.image) else []
    names = ["images", "masks", *truth, "library"]
    records: list[VolumeRecord] = []
    tables, failures = [], []
    with ExitStack() as opened:
        files = {
            name: opened.enter_context(_ArrayFile(folder / f"{name}.npy", ARRAYS[name], settings.slice_shape))
            for name in names
        }
        for volume in steps.each("read"):
            record = input_record(volume)
            try:
                slices = VolumeSlices.of(volume, settings)
            except InputError as error:
                failures.append(f"\n  {error}")
            if failures:  # the others are still checked
                continue
            records.append({**record, "facts": slices.facts})
            tables.append(slices.table)
            for name in files.keys() & slices.stored.keys():
                files[name].append(slices.array(name))
    if failures:
        headline = f"{len(failures)} of {len(steps.volumes)} volumes cannot be used; nothing was written:"
        raise InputError(headline + "".join(failures))
    return records, tables, {name: file.shape for name, file in files.items() if file.shape[0]}


class _ArrayFile:
    """A `.npy` file that grows: what is written through a memory map would count as memory held.

    Attributes:
        shape: of the array so far, (N, H, W).
    """

    def __init__(self, path: Path, dtype: type, plane: tuple[int, int]) -> None:
        self.path, self.dtype, self.shape = path, np.dtype(dtype), [0, *plane]

    def __enter__(self) -> Self:
        self._file = self.path.open("wb")
        self._write_header()
        return self

    def append(self, slices: NDArray[Any]) -> None:
        """Write slices (K, H, W) behind those that are there."""
        self._file.write(slices.astype(self.dtype).tobytes())
        self.shape[0] += len(slices)

    def __exit__(self, *_: object) -> None:
        with self._file:
            self._file.seek(0)
            self._write_header()  # whose length numpy keeps, whatever the number of slices
        if not self.shape[0]:
            self.path.unlink()

    def _write_header(self) -> None:
        descr = np.lib.format.dtype_to_descr(self.dtype)
        header = {"descr": descr, "fortran_order": False, "shape": tuple(self.shape)}
        np.lib.format.write_array_header_1_0(self._file, header)


def _tables(records: Sequence[VolumeRecord], of_volumes: Sequence[pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The rows of `slices`, and of `library` where there is one, in the order of the arrays."""
    parts: dict[str, list[pd.DataFrame]] = {"slices": [], "library": []}
    for record, table in zip(records, of_volumes, strict=True):
        whose = {name: record[name] or "n/a" for name in ("subject", "session", "source", "group", "split")}
        parts["library" if record["group"] == "library" else "slices"].append(table.assign(**whose))
    joined = {name: pd.concat(part, ignore_index=True) for name, part in parts.items() if part}
    return {
        name: table.assign(row=table.index)[list(COLUMNS)] for name, table in joined.items() if len(table)
    }
