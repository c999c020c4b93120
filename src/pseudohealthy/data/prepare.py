"""A cohort's files into a prepared cohort on disk (section 5 of docs/method.md).

Everything is checked before anything is written, one volume at a time is in memory, and the folder comes into
being whole or not at all.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import pandas as pd

from pseudohealthy import __version__
from pseudohealthy.config import SPLITS, Preprocessing
from pseudohealthy.data import manifest as manifests
from pseudohealthy.data.cohort import Cohort
from pseudohealthy.data.layouts import CohortVolume, listed
from pseudohealthy.data.manifest import Facts, Manifest, VolumeRecord
from pseudohealthy.data.prepared import ARRAYS, COLUMNS, Prepared
from pseudohealthy.data.split import Fractions, with_splits
from pseudohealthy.data.split_totals import expect_enough, totals_of
from pseudohealthy.data.volume_slices import VolumeSlices
from pseudohealthy.errors import RESEARCH_USE, InputError, PseudohealthyError
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
        progress: told of each step.

    Raises:
        InputError: files that cannot be used (all of them are listed), a split that cannot be trained or
            measured on, or an `out` that holds something else. Nothing has been written then.
        PseudohealthyError: `out` cannot be written.
    """
    out = out.resolve()
    volumes = [
        v for v in with_splits(cohort.volumes, fractions, seed) if v.group != "library" or v.split == "train"
    ]
    steps = _Steps(volumes, progress or (lambda *_: None))
    inputs = [manifests.input_record(volume) for volume in steps.each("hash")]
    chosen = settings.model_dump(mode="json")
    parts = manifests.decisive(chosen, seed, fractions, inputs)
    if there := _already(out, parts):
        return there
    found = _checked(steps, settings)
    records: list[VolumeRecord] = [
        {**record, "facts": facts} for record, (_, facts) in zip(inputs, found, strict=True)
    ]
    totals = {split: totals_of(split, records) for split in SPLITS}
    masks = any(volume.group == "patient" and volume.mask for volume in volumes)
    expect_enough(totals, fractions, masks=masks)
    tables = _tables(records, [table for table, _ in found])
    manifest: Manifest = {
        "format": manifests.FORMAT,
        "version": __version__,
        "research_use": RESEARCH_USE,
        "key": manifests.key_of(parts),
        "cohort": cohort.name,
        "settings": chosen,
        "seed": seed,
        "fractions": list(fractions),
        "arrays": _shapes(tables, settings, truth=all(v.truth for v in volumes if v.image)),
        "totals": totals,
        "volumes": records,
        "notes": list(cohort.notes),
    }
    with whole_folder(out) as folder:
        _write_arrays(folder, manifest["arrays"], steps, settings)
        for name, table in tables.items():
            write_tsv(folder / f"{name}.tsv", table, float_format="%.6f")
        write_json(folder / manifests.FILE, manifest)
    return manifest


@dataclass
class _Steps:
    """Each volume thrice: hashed, checked, written; and whoever waits is told."""

    volumes: Sequence[CohortVolume]
    report: Progress
    done: int = 0

    def each(self, verb: str) -> Iterator[CohortVolume]:
        for volume in self.volumes:
            self.report(self.done, 3 * len(self.volumes), f"{verb} {volume.subject}")
            yield volume
            self.done += 1
        self.report(self.done, 3 * len(self.volumes), "")


def _already(out: Path, parts: Mapping[str, str]) -> Manifest | None:
    """The manifest of `out` where it holds just what these parts decide; None where there is nothing yet.

    Raises:
        InputError: it holds something else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    try:
        there = Prepared.open(out).manifest
    except InputError as error:
        raise InputError(f"{out}: exists already; choose another folder ({error})") from error
    old = manifests.decisive(there["settings"], there["seed"], there["fractions"], there["volumes"])
    if differ := [name for name in {**old, **parts} if old.get(name) != parts.get(name)]:
        names = listed(
            name if name.startswith("files of") else f"{name} {old.get(name)} (now {parts.get(name)})"
            for name in differ
        )
        raise InputError(f"{out}: was prepared with other {names}; choose another folder")
    return there


def _checked(steps: _Steps, settings: Preprocessing) -> list[tuple[pd.DataFrame, Facts]]:
    """Table and facts of every volume, which shows that each can be used.

    Raises:
        InputError: some cannot: a headline, and a line for each.
    """
    found, failures = [], []
    for volume in steps.each("check"):
        try:
            stack = VolumeSlices.of(volume, settings)
            found.append((stack.table, stack.facts))
        except InputError as error:
            failures.append(f"\n  {error}")
    if failures:
        headline = f"{len(failures)} of {len(steps.volumes)} volumes cannot be used; nothing was written:"
        raise InputError(headline + "".join(failures))
    return found


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


def _shapes(
    tables: Mapping[str, pd.DataFrame], settings: Preprocessing, *, truth: bool
) -> dict[str, list[int]]:
    """Shape by name of the arrays that there will be."""
    rows = (
        {"images": "slices", "masks": "slices"}
        | ({"truth": "slices"} if truth else {})
        | {"library": "library"}
    )
    return {name: [len(tables[rows[name]]), *settings.slice_shape] for name in rows if rows[name] in tables}


def _write_arrays(
    folder: Path, shapes: Mapping[str, list[int]], steps: _Steps, settings: Preprocessing
) -> None:
    """Each volume's slices behind those of the one before."""
    size = sum(prod(shape) * np.dtype(ARRAYS[name]).itemsize for name, shape in shapes.items())
    free = shutil.disk_usage(folder).free
    if size > free:  # told now, not after an hour
        raise PseudohealthyError(f"{folder.parent}: needs {size / 1e9:.1f} GB, {free / 1e9:.1f} GB are free")
    with ExitStack() as opened:  # plain files: what is written through a memory map counts as held
        files = {name: opened.enter_context((folder / f"{name}.npy").open("wb")) for name in shapes}
        for name, file in files.items():
            descr = np.lib.format.dtype_to_descr(np.dtype(ARRAYS[name]))
            header = {"descr": descr, "fortran_order": False, "shape": tuple(shapes[name])}
            np.lib.format.write_array_header_1_0(file, header)
        for volume in steps.each("write"):
            for name, values in VolumeSlices.of(volume, settings).arrays().items():
                if name in files:
                    files[name].write(values.astype(ARRAYS[name]).tobytes())
