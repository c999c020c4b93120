"""Charts from plain tables: spread over volumes, identity against healthiness, validation over training."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pseudohealthy.catalogue.methods import ENTRIES, GREY
from pseudohealthy.errors import RESEARCH_USE
from pseudohealthy.files import replace
from pseudohealthy.report.table1.caption import title, validity
from pseudohealthy.report.table1.cells import get_path, is_measured
from pseudohealthy.report.table1.label_placement import Label, place
from pseudohealthy.report.table1.model import is_unreliable
from pseudohealthy.report.table1.row_labels import distinct_labels, is_oracle, ordered

OTHER = (GREY, "X")
INVALID = " – INVALID"
SHOWN = {"identity": "identity (MS-SSIM)", "healthiness": "healthiness"}  # axes


@contextlib.contextmanager
def _with_any_name() -> Iterator[None]:
    """A character of a name that the font lacks is an empty box, not a warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        yield


@_with_any_name()
def distributions(path: Path, volumes: pd.DataFrame, *, invalid: bool = False) -> None:
    """Identity and healthiness of every volume by method, averaged over seeds; raw outputs.

    Args:
        path: of the PNG.
        volumes: columns `method, preset, output, mask, seed, volume, measure, value`, perhaps
            `labelled_fraction`, a row a value; oracles and blends are left out.
        invalid: say that no healthiness here may be relied on.

    Raises:
        PseudohealthyError: it cannot be written.
    """
    raw = volumes[(volumes["output"] == "raw") & (volumes["mask"] != "true")]
    groups = _by_row(
        raw[raw["measure"].isin(list(SHOWN))].dropna(subset="value"),
        ("method", "preset", "mask", "labelled_fraction"),
    )
    heading = f"Every volume: box = quartiles, line = median (raw outputs){INVALID if invalid else ''}"
    figure = _figure(9, 1.6 + 0.42 * len(groups), heading)
    left, right = figure.subplots(1, 2, sharey=True)
    for axis, (measure, label) in zip((left, right), SHOWN.items(), strict=True):
        for height, (row, _, values) in enumerate(groups):
            of_measure = values[values["measure"] == measure].groupby("volume")["value"].mean().to_numpy()
            _strip(axis, height, of_measure, _style(row["method"])[0])
        axis.set_xlabel(label)
        axis.grid(axis="x", color="0.9")
    left.set_yticks(range(len(groups)), [name for _, name, _ in groups])
    left.set_ylim(max(len(groups), 1) - 0.5, -0.5)  # the first method above
    _save(figure, path)


@_with_any_name()
def identity_healthiness(path: Path, table1: Mapping[str, Any]) -> None:
    """Every method, blend and control as a numbered point: the best lies above on the right.

    Args:
        path: of the PNG.
        table1: as of `tables.table1_markdown`; oracles are left out. Bars are the bootstrap intervals; hollow
            is a blend, a cross an unreliable healthiness.

    Raises:
        PseudohealthyError: it cannot be written.
    """
    rows = [row for row in ordered(table1.get("rows") or []) if not is_oracle(row)]
    rows = [row for row in rows if all(is_measured(get_path(row, f"{key}.mean")) for key in SHOWN)]
    warning = INVALID if validity(table1) else ""
    figure = _figure(
        10, 6, f"{title(table1)}{warning}\nbars: 95 % intervals; hollow: blend; ×: unreliable healthiness"
    )
    axis = figure.subplots()
    axis.set(xlabel=SHOWN["identity"], ylabel=SHOWN["healthiness"])
    axis.grid(color="0.92")
    axis.margins(0.08)
    names = distinct_labels(rows)
    for number, (name, row) in enumerate(zip(names, rows, strict=True), 1):
        _point(axis, row, f"{number:2d}  {name}")
    _legend(figure, axis)
    places = [[get_path(row, f"{key}.mean") for key in SHOWN] for row in rows]
    place(axis, [Label(str(number), x, y) for number, (x, y) in enumerate(places, 1)])
    _save(figure, path)


@_with_any_name()
def validation_curves(path: Path, curves: pd.DataFrame) -> None:
    """Identity and healthiness on validation while training, and what a checkpoint is chosen by.

    Args:
        path: of the PNG.
        curves: columns `method, seed, images, identity, healthiness, choice, chosen`, perhaps `preset` and
            `labelled_fraction`; a star marks the chosen checkpoint.

    Raises:
        PseudohealthyError: it cannot be written.
    """
    shown = {**SHOWN, "choice": "what is chosen by"}
    shown = {key: label for key, label in shown.items() if curves[key].notna().any()} or dict(SHOWN)
    figure = _figure(3.6 * len(shown), 4.2, "Validation while training; a star is the chosen checkpoint")
    axes = figure.subplots(1, len(shown), squeeze=False)[0]
    for row, name, values in _by_row(curves, ("method", "preset", "seed", "labelled_fraction")):
        for axis, key in zip(axes, shown, strict=True):
            _curve(axis, values.sort_values("images"), key, name, row)
    for axis, label in zip(axes, shown.values(), strict=True):
        axis.set(xlabel="pathological images seen", ylabel=label)
        axis.grid(color="0.92")
    _legend(figure, axes[0])
    _save(figure, path)


def _by_row(table: pd.DataFrame, keys: Sequence[str]) -> list[tuple[dict[str, Any], str, pd.DataFrame]]:
    """Each row of Table 1 that a long table holds, in order: what it is, its name, its part of the table."""
    there = [key for key in keys if key in table]
    found: list[Any] = list(table.groupby(there, dropna=False, sort=False))
    groups = {tuple(value if is_measured(value) else None for value in group): part for group, part in found}
    rows = ordered([dict(zip(there, group, strict=True)) for group in groups])
    names = distinct_labels(rows)
    return [(dict(row), name, groups[tuple(row.values())]) for row, name in zip(rows, names, strict=True)]


def _strip(axis: Any, height: int, values: Any, colour: str) -> None:
    """A box, and each volume as a dot on it, in the order of their values so that none hides another."""
    if not len(values):
        return
    axis.boxplot(
        values,
        positions=[height],
        orientation="horizontal",
        widths=0.62,
        showfliers=False,
        boxprops={"color": colour},
        whiskerprops={"color": colour},
        capprops={"color": colour},
        medianprops={"color": "black", "linewidth": 1.5},
        manage_ticks=False,
    )
    lift = 0.18 * ((np.arange(len(values)) * 2 % 5) / 2 - 1)
    axis.plot(np.sort(values), height + lift, "o", markersize=3.5, color=colour, alpha=0.6, markeredgewidth=0)


def _point(axis: Any, row: Mapping[str, Any], name: str) -> None:
    colour, marker = _style(row["method"])
    x, y = (get_path(row, f"{key}.mean") for key in SHOWN)
    bars = {f"{way}err": _bar(get_path(row, key)) for way, key in zip("xy", SHOWN, strict=True)}
    hollow = row.get("output") == "blend"
    axis.errorbar(
        x,
        y,
        fmt=marker,
        color=colour,
        markersize=8,
        markerfacecolor="white" if hollow else colour,
        elinewidth=1,
        alpha=0.9,
        label=name,
        **bars,
    )
    if is_unreliable(row):
        axis.plot(x, y, "x", color="black", markersize=11, zorder=5)


def _bar(measure: Mapping[str, Any]) -> Any:
    """What an interval reaches below and above its mean; nothing where there is none."""
    mean, low, high = (measure.get(key) for key in ("mean", "low", "high"))
    if mean is None or low is None or high is None:
        return None
    return np.maximum([[mean - low], [high - mean]], 0)


def _curve(axis: Any, values: pd.DataFrame, key: str, name: str, row: Mapping[str, Any]) -> None:
    colour, marker = _style(row["method"])
    line = ("-", "--", ":", "-.")[int(row.get("seed") or 0) % 4]
    axis.plot(values["images"], values[key], line, marker=marker, markersize=4, color=colour, label=name)
    chosen = values[values["chosen"].eq(True)]
    axis.plot(
        chosen["images"], chosen[key], "*", markersize=15, color=colour, markeredgecolor="black", zorder=5
    )


def _legend(figure: Any, axis: Any) -> None:
    handles, names = axis.get_legend_handles_labels()
    if names:
        figure.legend(handles, names, loc="outside right center", frameon=False, fontsize=8)


def _style(method: object) -> tuple[str, str]:
    """Colour and marker of a method's points."""
    entry = ENTRIES.get(str(method))
    return (entry.colour, entry.marker) if entry else OTHER


def _figure(width: float, height: float, heading: str) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  (slow; not for every command)
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(heading, fontsize=11, parse_math=False)
    figure.supxlabel(RESEARCH_USE, fontsize=6, color="0.35")
    return figure


def _save(figure: Any, path: Path) -> None:
    metadata = {"Description": RESEARCH_USE}
    replace(path, lambda part: figure.savefig(part, dpi=130, format="png", metadata=metadata))
