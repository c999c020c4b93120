"""The results folder: files of figures first, then everything that can be drawn from them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import InputError, PseudohealthyError
from pseudohealthy.evaluation.slice_set import SliceSet
from pseudohealthy.experiment.results import by_volume, curves, judge_curves, table1
from pseudohealthy.experiment.steps import Experiment, Step
from pseudohealthy.files import make_folder, read_tsv, write_json, write_text, write_tsv
from pseudohealthy.renamed import expect_new_names, keys_of
from pseudohealthy.report.figures import contact_sheet
from pseudohealthy.report.table1.caption import validity
from pseudohealthy.report.table1.charts import distributions, identity_healthiness, validation_curves
from pseudohealthy.report.table1.html_report import report_html
from pseudohealthy.report.table1.row_labels import distinct_labels
from pseudohealthy.report.table1.tables import table1_latex, table1_markdown, table1_tsv

Stacks = dict[str, NDArray[np.floating]]

QUANTILES = (0.25, 0.5, 0.75)
SLICE_RULE = (
    "Of each volume the slice with its largest lesion; where not all volumes are shown, those at the "
    "25th, 50th and 75th percentile of lesion size."
)
TEXT = ("mask", "volume", "preset")
CAPTIONS = {
    "methods": f"Input and each method (the paper's Figure 4). {SLICE_RULE}",
    "cycles": "Input, pseudo-healthy image and reconstruction (the paper's Figure 2).",
    "moved_mask": "R given S's mask, no mask, and the lesion moved to the other hemisphere (outlined).",
    "all_volumes": "All test volumes, each with the slice of its largest lesion (outlined), by lesion size.",
    "identity_healthiness": "Mean over volumes of every method, blend and control, with 95 % bootstrap "
    "intervals; a crossed-out point's healthiness is unreliable. What keeps the patient and removes the "
    "disease lies above on the right.",
    "distributions": "A dot is a volume (the mean over seeds), boxes are quartiles; raw outputs, no oracles.",
    "validation_curves": "Kept checkpoints on validation volumes; a star is the chosen one.",
}


def publish(
    experiment: Experiment, out: Path, steps: Sequence[Step], prepared: Prepared, folder: Path
) -> None:
    """Write an experiment's results: figures in files, pictures, and what `render` makes of them.

    Files: `table1.json`, `volumes.tsv` (every value), `curves.tsv`, `judge_curves.tsv`, `pairs.tsv`
    (inserted lesions), `pictures/*.png`; then tables, charts and `report.table1.html_report`.

    Raises:
        PseudohealthyError: the folder cannot be written to.
    """
    make_folder(folder)
    write_json(folder / "table1.json", table1(experiment, out, steps, prepared))
    write_tsv(folder / "volumes.tsv", by_volume(out, steps))
    write_tsv(folder / "curves.tsv", curves(out, steps))
    write_tsv(folder / "judge_curves.tsv", judge_curves(out, steps))
    references = next(step for step in steps if step.kind == "references")
    pairs = (references.folder(out) / "pairs.tsv").read_text(encoding="utf-8")
    write_text(folder / "pairs.tsv", pairs)
    draw_pictures(folder / "pictures", out, steps, SliceSet.of(prepared, "test"))
    render(folder)


def render(folder: Path) -> None:
    """Make tables, charts and the report of a results folder again, from its files.

    Raises:
        InputError: the folder holds no results.
        PseudohealthyError: it cannot be written to.
    """
    try:
        found = json.loads((folder / "table1.json").read_text(encoding="utf-8"))
        volumes, over_training = (
            read_tsv(folder / name, text=TEXT) for name in ("volumes.tsv", "curves.tsv")
        )
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: not a folder of results ({error})") from error
    expect_new_names(folder / "table1.json", keys_of(found))
    for name, text in {
        "table1.md": table1_markdown(found),
        "table1.tex": table1_latex(found),
        "table1.tsv": table1_tsv(found),
    }.items():
        write_text(folder / name, text)
    charts = folder / "charts"
    _make_empty(charts)
    distributions(charts / "distributions.png", volumes, invalid=bool(validity(found)))
    identity_healthiness(charts / "identity_healthiness.png", found)
    validation_curves(charts / "validation_curves.png", over_training)
    figures = {
        path.stem: (_caption(path.stem), path)
        for where in ("pictures", "charts")
        for path in sorted((folder / where).glob("*.png"))
    }
    report_html(folder / "report.html", found, figures)


def draw_pictures(folder: Path, out: Path, steps: Sequence[Step], case: SliceSet) -> None:
    """Draw what the first seed's rows make of a case; pictures of an earlier time go.

    Args:
        folder: of the PNGs.
        out: the experiment's folder, which holds each row's stacks.
        steps: those with a row are drawn.
        case: the slices whose volumes' largest lesions were kept in these stacks.

    Raises:
        PseudohealthyError: the folder cannot be written to.
    """
    _make_empty(folder)
    first = min(step.row.seed for step in steps if step.row is not None and step.row.seed is not None)
    rows = [step for step in steps if step.row is not None and step.row.seed in (None, first)]
    taken = {step.row: _pictures(step, out) for step in rows if step.row is not None}
    shown = case.largest()
    inputs, lesions, names = case.images[shown], case.masks[shown], case.volumes[shown].tolist()
    few = sorted({round(share * (len(shown) - 1)) for share in QUANTILES})
    raw = [row for row in taken if row.output == "raw" and row.mask != "true"]
    titles = dict(zip(raw, distinct_labels([vars(row) for row in raw]), strict=True))
    trained = [row for row in raw if row.preset is not None]
    healthy: Stacks = {"input": inputs} | {titles[row]: taken[row]["healthy"] for row in trained}
    everything = {"input": inputs} | {
        titles[row]: taken[row]["healthy"] for row in raw if row.method != "copy"
    }
    _sheet(folder / "methods.png", healthy, few, names)
    contact_sheet(folder / "all_volumes.png", everything, names=names, outlines={"input": lesions}, title="")
    cycles: Stacks = {"input": inputs}
    for row in trained:
        if "reconstructed" in taken[row]:
            cycles |= {
                f"{titles[row]}:\nhealthy": taken[row]["healthy"],
                "reconstruction" + " " * len(cycles): taken[row]["reconstructed"],
            }
    _sheet(folder / "cycles.png", cycles, few, names)
    for row in trained:
        if "moved mask" in taken[row]:
            _moved(folder / f"moved_mask_{row.name}.png", inputs, taken[row], few, names)


def _caption(name: str) -> str:
    """Of the known name that a picture's begins with, the longest: pages and rows are added behind it."""
    known = [each for each in CAPTIONS if name.startswith(each)]
    return CAPTIONS[max(known, key=len)] if known else name


def _make_empty(folder: Path) -> None:
    """Make sure that a folder is there and holds no picture that an earlier, other experiment left."""
    make_folder(folder)
    try:
        for old in folder.glob("*.png"):
            old.unlink()
    except OSError as error:
        raise PseudohealthyError(f"{folder}: cannot be cleared of old pictures ({error.strerror})") from error


def _moved(path: Path, inputs: NDArray[Any], taken: Stacks, few: list[int], names: list[str]) -> None:
    stacks = {
        "input": inputs,
        "healthy": taken["healthy"],
        "R, S's mask": taken["reconstructed"],
        "R, no mask": taken["without mask"],
        "R, moved mask": taken["with moved mask"],
    }
    _sheet(path, stacks, few, names, {"R, moved mask": taken["moved mask"] > 0})


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


def _pictures(step: Step, out: Path) -> Stacks:
    with np.load(step.folder(out) / "pictures.npz", allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
