"""The command `export`: networks for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from pseudohealthy.cli.options import Folder, path_option
from pseudohealthy.cli.program import say
from pseudohealthy.errors import RESEARCH_USE


def export(
    out: Folder,
    form: Annotated[
        Literal["onnx", "monai"],
        typer.Option(
            "--format", help="`onnx`: a file for each network (extra `onnxruntime`); `monai`: a MONAI bundle."
        ),
    ],
    weights: Annotated[
        Path | None, path_option(help="Weights folder; default: those in the package.")
    ] = None,
) -> None:
    """Write the networks of a weights folder for other programs, into a new or an empty folder.

    Example: `pseudohealthy export --weights runs/paired/weights --format onnx -o onnx/`
    """
    from pseudohealthy.synthesis.bundled_weights import bundled_weights
    from pseudohealthy.synthesis.export import export as run

    for path in run(weights or bundled_weights(), out, form):
        say(str(path))
    typer.echo(RESEARCH_USE)
