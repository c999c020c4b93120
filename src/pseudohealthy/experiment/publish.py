"""The results folder: files of figures first, then everything that can be drawn from them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudohealthy.catalogue.rows import Row
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import InputError, PseudohealthyError
from pseudohealthy.evaluation.slice_set import SliceSet
from pseudohealthy.experiment.config import Experiment
from pseudohealthy.experiment.results import by_volume, curves, judge_curves, table1
from pseudohealthy.experiment.steps import Step
from pseudohealthy.experiment.weights import FOLDER, publish_weights
from pseudohealthy.files import (
    MEGABYTE,
    folder_beside,
    make_folder,
    read_text,
    read_tsv,
    write_json,
    write_text,
    write_tsv,
)
from pseudohealthy.json_files import expect_parts, read_json
from pseudohealthy.renamed import expect_new_names, keys_of
from pseudohealthy.report.figures import contact_sheet
from pseudohealthy.report.table1.caption import validity
from pseudohealthy.report.table1.charts import distributions, identity_healthiness, validation_curves
from pseudohealthy.report.table1.html_report import report_html
from pseudohealthy.report.table1.row_labels import distinct_labels
from pseudohealthy.report.table1.tables import table1_latex, table1_markdown, table1_tsv

Stacks = dict[str, NDArray[np.floating]]

LARGEST_TABLE = 64 * MEGABYTE  # of pairs of slices, a line each
QUANTILES = (0.25, 0.5, 0.75)
SLICE_RULE = (
    "Of each volume the slice with its largest lesion; where not all volumes are shown, those at the "
    "25th, 50th and 75th percentile of lesion size."
)
MADE = (  # in a folder of results, after `table1.json`
    *("volumes.tsv", "curves.tsv", "judge_curves.tsv", "pairs.tsv", "pictures"),
    *("table1.md", "table1.tex", "table1.tsv", "charts", "report.html"),
)
TABLE1_PARTS = {"split": dict, "judge": dict, "rows": list}
TEXT = ("mask", "volume", "preset")
CAPTIONS = {
    "methods": f"Input and each method (the paper's Figure 4). {SLICE_RULE}",
    "cycles": "Input, pseudo-healthy image and reconstruction (the paper's Figure 2).",
    "moved_mask": "What the reconstructor makes of the pseudo-healthy image with the segmentor's mask, with "
    "none, and with the lesion moved to the other hemisphere (outlined).",
    "all_volumes": "All test volumes, each with the slice of its largest lesion (outlined), by lesion size.",
    "identity_healthiness": "Mean over volumes of every method, blend and control, with 95 % bootstrap "
    "intervals; a crossed-out point's healthiness is unreliable. What keeps the patient and removes the "
    "disease lies above on the right.",
    "distributions": "A dot is a volume (the mean over seeds), boxes are quartiles; raw outputs, no oracles.",
    "validation_curves": "Checkpoints of the training on validation volumes; a star is the selected one.",
}


def publish(
    experiment: Experiment, out: Path, steps: Sequence[Step], prepared: Prepared, folder: Path
) -> None:
    """Write an experiment's results: figures in files, pictures, and what `render` makes of them.

    Files: `table1.json`, `volumes.tsv` (every value), `curves.tsv`, `judge_curves.tsv`, `pairs.tsv`
    (synthetic lesions), `pictures/*.png`, `weights/` (see `publish_weights`); then tables, charts and
    `report.table1.html_report`.

    Raises:
        InputError: a file of a finished step is damaged or missing.
        PseudohealthyError: the folder cannot be written to.
    """
    make_folder(folder)
    write_json(folder / "table1.json", table1(experiment, out, steps, prepared))
    tables = {"volumes": by_volume, "curves": curves, "judge_curves": judge_curves}
    for name, make in tables.items():
        write_tsv(folder / f"{name}.tsv", make(out, steps))
    protocol = next(step for step in steps if step.kind == "protocol")
    with protocol.reading(out):
        pairs = read_text(protocol.folder(out) / "pairs.tsv", LARGEST_TABLE)
    write_text(folder / "pairs.tsv", pairs)
    draw_pictures(folder / "pictures", out, steps, SliceSet.of(prepared, "test"))
    publish_weights(out, steps, folder / FOLDER)
    render(folder)


def refuse_others(folder: Path, experiment: Experiment) -> None:
    """Refuse to replace in `folder` what is not of this experiment.

    Raises:
        InputError: it holds the results of another one, or files that no experiment has written, for that
            begins with `table1.json`.
    """
    if not (folder / "table1.json").exists():
        if there := next((folder / name for name in MADE if (folder / name).exists()), None):
            raise InputError(f"{there}: exists already, and is no result; choose another folder")
        return
    try:
        before = read_json(folder / "table1.json").get("experiment", "another program")
    except InputError:
        before = "another program"
    if before != experiment.name:
        raise InputError(
            f"{folder}: holds the results of {before}, not of {experiment.name}; choose another folder "
            "(--results)"
        )


def render(folder: Path) -> None:
    """Make tables, charts and the report of a results folder again, from its files.

    Raises:
        InputError: the folder holds no results, those of version 0.1, or damaged ones.
        PseudohealthyError: it cannot be written to.
    """
    try:
        _render(folder, *_read(folder))
    except (PseudohealthyError, OSError):
        raise
    except Exception as error:  # of values that are missing, or of another kind than an experiment writes
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise InputError(f"{folder}: damaged results ({reason}); run the experiment again") from error


def _render(
    folder: Path, results: Mapping[str, Any], volumes: pd.DataFrame, over_training: pd.DataFrame
) -> None:
    for name, make in {
        "table1.md": table1_markdown,
        "table1.tex": table1_latex,
        "table1.tsv": table1_tsv,
    }.items():
        write_text(folder / name, make(results))
    with _pictures(folder / "charts") as charts:
        distributions(charts / "distributions.png", volumes, invalid=bool(validity(results)))
        identity_healthiness(charts / "identity_healthiness.png", results)
        validation_curves(charts / "validation_curves.png", over_training)
    figures = {
        path.stem: (_caption(path.stem), path)
        for where in ("pictures", "charts")
        for path in sorted((folder / where).glob("*.png"))
    }
    report_html(folder / "report.html", results, figures)


def _read(folder: Path) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
    """`table1.json`, `volumes.tsv` and `curves.tsv` of a results folder."""
    path, remedy = folder / "table1.json", "run the experiment again"
    results = read_json(path, "not a folder of results", remedy)
    expect_new_names(path, keys_of(results))
    expect_parts(path, results, TABLE1_PARTS, remedy)
    for row in results["rows"]:
        expect_parts(path, {"a row": row}, {"a row": dict}, remedy)
    try:
        volumes, over_training = (
            read_tsv(folder / name, text=TEXT) for name in ("volumes.tsv", "curves.tsv")
        )
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: not a folder of results ({error})") from error
    return results, volumes, over_training


def draw_pictures(folder: Path, out: Path, steps: Sequence[Step], slices: SliceSet) -> None:
    """Draw the output of the first seed's rows; pictures of an earlier time go.

    Args:
        folder: of the PNGs.
        out: the experiment's folder, which holds each row's stacks.
        steps: those with a row are drawn.
        slices: the slices of which these stacks hold each volume's with its largest lesion.

    Raises:
        PseudohealthyError: the folder cannot be written to.
    """
    with _pictures(folder) as drawn:
        _draw_pictures(drawn, out, steps, slices)


def _draw_pictures(folder: Path, out: Path, steps: Sequence[Step], slices: SliceSet) -> None:
    raw = _raw_stacks(out, steps)
    shown = slices.largest()
    inputs, names = slices.images[shown], slices.volumes[shown].tolist()
    few = sorted({round(share * (len(shown) - 1)) for share in QUANTILES})
    titles = dict(zip(raw, distinct_labels([vars(row) for row in raw]), strict=True))
    trained = {row: stacks for row, stacks in raw.items() if row.preset is not None}
    healthy = {titles[row]: stacks["healthy"] for row, stacks in raw.items() if row.method != "copy"}
    everything: Stacks = {"input": inputs} | healthy
    methods = {name: everything[name] for name in ("input", *(titles[row] for row in trained))}
    _sheet(folder / "methods.png", methods, few, names)
    outlines = {"input": slices.masks[shown]}
    contact_sheet(folder / "all_volumes.png", everything, names=names, outlines=outlines, title="")
    cycles: Stacks = {"input": inputs}
    for row, stacks in trained.items():
        if "reconstructed" in stacks:
            cycles |= {
                f"{titles[row]}:\nhealthy": stacks["healthy"],
                "reconstruction" + " " * len(cycles): stacks["reconstructed"],
            }
    _sheet(folder / "cycles.png", cycles, few, names)
    for row, stacks in trained.items():
        if "moved mask" in stacks:
            _moved(folder / f"moved_mask_{row.name}.png", inputs, stacks, few, names)


def _raw_stacks(out: Path, steps: Sequence[Step]) -> dict[Row, Stacks]:
    """What the raw rows of the first seed and of no seed made, less those that were given the true mask."""
    rows = {step.row: step for step in steps if step.row is not None}
    first = min(row.seed for row in rows if row.seed is not None)
    return {
        row: _stacks(step, out)
        for row, step in rows.items()
        if row.seed in (None, first) and row.output == "raw" and row.mask != "true"
    }


def _caption(name: str) -> str:
    """Of the known name that a picture's begins with, the longest: pages and rows are added behind it."""
    known = [each for each in CAPTIONS if name.startswith(each)]
    return CAPTIONS[max(known, key=len)] if known else name


@contextlib.contextmanager
def _pictures(folder: Path) -> Iterator[Path]:
    """An empty folder; the PNGs drawn in it then take the place of all that are in `folder`.

    Raises:
        PseudohealthyError: `folder` cannot be written to.
    """
    with folder_beside(folder) as part:
        yield part
        try:
            names = {drawn.replace(folder / drawn.name).name for drawn in sorted(part.iterdir())}
            for old in folder.glob("*.png"):
                if old.name not in names:
                    old.unlink()
        except OSError as error:
            reason = f"cannot be cleared of old pictures ({error.strerror})"
            raise PseudohealthyError(f"{folder}: {reason}") from error


def _moved(path: Path, inputs: NDArray[Any], stacks: Stacks, few: list[int], names: list[str]) -> None:
    columns = {
        "input": inputs,
        "healthy": stacks["healthy"],
        "reconstructed,\nsegmentor's mask": stacks["reconstructed"],
        "reconstructed,\nno mask": stacks["without mask"],
        "reconstructed,\nmoved mask": stacks["with moved mask"],
    }
    _sheet(path, columns, few, names, {"reconstructed,\nmoved mask": stacks["moved mask"] > 0})


def _sheet(
    path: Path,
    stacks: Stacks,
    few: list[int],
    names: list[str],
    outlines: Mapping[str, NDArray[Any]] | None = None,
) -> None:
    """A contact sheet of a few slices."""
    contact_sheet(
        path,
        {name: stack[few] for name, stack in stacks.items()},
        names=[names[place] for place in few],
        outlines={name: stack[few] for name, stack in (outlines or {}).items()},
    )


def _stacks(step: Step, out: Path) -> Stacks:
    path = step.folder(out) / "pictures.npz"
    with step.reading(out), np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
