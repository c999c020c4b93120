"""The command `reproduce`: a whole experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pseudohealthy.cli.options import (
    DeviceOption,
    Folder,
    SetOption,
    expect_jobs_or_dask,
    path_argument,
    path_option,
)
from pseudohealthy.cli.program import say


def reproduce(
    experiment: Annotated[Path, path_argument(help="YAML file, such as those in `configs/`.")],
    out: Folder,
    data: Annotated[
        list[Path] | None, path_option("--data", help="The cohort's folder; several are put together.")
    ] = None,
    results: Annotated[
        Path | None, path_option(help="Where tables, figures and the report go. Default: OUT/results.")
    ] = None,
    overrides: SetOption = None,
    device: DeviceOption = "auto",
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Steps at once, such as trainings, each with its share of the cores. Default: one."
        ),
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Send steps to the workers of a running Dask scheduler (extra `cluster`)."
        ),
    ] = None,
    from_weights: Annotated[
        Path | None,
        path_option(
            help="The folder weights of this experiment's results, in place of all training: minutes."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say which steps are done and which are not; do nothing.")
    ] = False,
) -> None:
    """Do a whole experiment: prepare, train judges and methods, choose checkpoints, measure, draw, report.

    Interrupted at any moment, the same command goes on where it was. A step whose inputs and settings have
    not changed is not done again; with other settings it is done in a folder of its own.

    Example: `pseudohealthy reproduce configs/lgg.yaml --data lgg -o runs/lgg
    --set settings.training.images=4000`
    """
    from pseudohealthy.experiment.config import read_experiment
    from pseudohealthy.experiment.runner import describe_steps
    from pseudohealthy.experiment.runner import reproduce as run

    expect_jobs_or_dask(jobs, dask)
    chosen = read_experiment(experiment, overrides or [])
    if dry_run:
        for line in describe_steps(chosen, out):
            say(line)
        return
    folder = run(
        chosen,
        out,
        folders=data or [],
        results=results,
        device=device,
        jobs=jobs or 1,
        dask=dask,
        from_weights=from_weights,
    )
    say(f"Table 1: {folder / 'table1.md'}; everything: {folder / 'report.html'}")
