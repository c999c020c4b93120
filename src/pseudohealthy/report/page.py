"""HTML pages from the templates of this room: self-contained, escaped, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pseudohealthy.errors import RESEARCH_USE
from pseudohealthy.files import write_pieces
from pseudohealthy.report.table1.cells import text

FOLDERS = [Path(__file__).with_name("templates"), Path(__file__).parent / "viewer" / "static"]


def write_page(path: Path, template: str, **values: Any) -> None:
    """Fill a template with values and write it; a value that it names and does not get is an error.

    Args:
        path: of the HTML file.
        template: its name in `templates/`; it knows `research_use` and the filter `cell`.
        values: by the name that the template gives them.

    Raises:
        PseudohealthyError: the file cannot be written.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415  (not for every command)

    environment = Environment(
        loader=FileSystemLoader(FOLDERS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = text
    write_pieces(path, environment.get_template(template).generate(research_use=RESEARCH_USE, **values))
