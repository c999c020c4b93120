"""The command `info`: what is installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pseudohealthy.cli.options import path_option
from pseudohealthy.cli.program import say


def info(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    weights: Annotated[
        Path | None, path_option(help="Weights folder; default: those in the package.")
    ] = None,
) -> None:
    """Show versions, and method, data and digest of the weights, without loading torch."""
    from pseudohealthy.synthesis.bundled_weights import describe_installation

    description = describe_installation(weights)
    if as_json:
        typer.echo(json.dumps(description, indent=1))
        return
    for name, value in description.items():
        say(f"{name}: {value}")
