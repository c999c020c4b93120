"""The report as one HTML file that needs no network: tables, charts and figures in it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pseudohealthy.errors import InputError
from pseudohealthy.report.page import write_page
from pseudohealthy.report.table1.caption import caption, title, validity
from pseudohealthy.report.table1.model import parts, provenance

RESULTS, VALIDATION = ("identity_healthiness", "distributions"), ("validation_curves",)  # have their places


@dataclass(frozen=True)
class Picture:
    """A picture within the page: its name, what is said under it, a PNG as base64."""

    name: str
    caption: str
    png: str


def report_html(
    path: Path,
    table1: Mapping[str, Any],
    figures: Mapping[str, tuple[str, Path]],
) -> None:
    """Write everything that is to be said of an experiment into one page, readable offline and in print.

    Args:
        path: of the HTML file.
        table1: what `results/<experiment>/table1.json` holds; what is missing or None becomes a dash.
        figures: caption and PNG by name, in the order in which they are shown. Those named as a function of
            `charts` stand with the tables, not among the figures.

    Raises:
        InputError: a figure cannot be read.
        PseudohealthyError: the file cannot be written.
    """
    pictures = {
        name: Picture(name.replace("_", " "), words, _encoded(file))
        for name, (words, file) in figures.items()
    }
    first, *further = parts(table1)
    write_page(
        path,
        "report.html.jinja",
        title=title(table1),
        warning=validity(table1),
        first=first,
        caption=caption(table1)[:-1],  # its last sentence stands above already
        charts=[pictures.pop(name) for name in RESULTS if name in pictures],
        further=further,
        choice_rule=str(table1.get("choice_rule") or "").rstrip("."),
        validation=[pictures.pop(name) for name in VALIDATION if name in pictures],
        figures=list(pictures.values()),
        provenance=provenance(table1),
    )


def _encoded(file: Path) -> str:
    try:
        return base64.b64encode(file.read_bytes()).decode("ascii")
    except OSError as error:
        raise InputError(f"{file}: the figure cannot be read ({error.strerror}); draw it again") from error
