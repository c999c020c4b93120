"""The program `pseudohealthy`: its commands, each in a file of its own."""

from __future__ import annotations

from typing import Annotated

import typer

from pseudohealthy import __version__
from pseudohealthy.cli.demo import demo
from pseudohealthy.cli.evaluate import evaluate
from pseudohealthy.cli.export import export
from pseudohealthy.cli.info import info
from pseudohealthy.cli.phantom import phantom
from pseudohealthy.cli.prepare import prepare
from pseudohealthy.cli.program import main
from pseudohealthy.cli.reproduce import reproduce
from pseudohealthy.cli.serve import serve
from pseudohealthy.cli.synthesize import synthesize
from pseudohealthy.cli.train import train
from pseudohealthy.cli.transplant import transplant
from pseudohealthy.errors import RESEARCH_USE

EXITS = "Exit codes: 0 done; 1 failed on the way (a full disk); 2 the input cannot be used."

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="A brain MRI with disease as the same person's image **as if healthy**, and a map of it.\n\n"
    "From a folder of patients: `prepare`, `train`, `evaluate`; all of it for every method: `reproduce`. "
    "With a trained model: `synthesize`, `transplant`; for other programs: `export`. "
    f"To see it work: `demo`.\n\n{EXITS}\n\n{RESEARCH_USE}",
)

for command in (
    demo,
    phantom,
    prepare,
    train,
    synthesize,
    transplant,
    evaluate,
    reproduce,
    export,
    serve,
    info,
):
    app.command()(command)


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    """Options before any command."""
    if show:
        typer.echo(__version__)
        raise typer.Exit


if __name__ == "__main__":
    main()
