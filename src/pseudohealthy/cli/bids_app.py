"""The program `pseudohealthy-bids`: a BIDS-App, which processes a whole data set and reports on it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pseudohealthy import __version__
from pseudohealthy.cli.options import (
    BackendOption,
    DeviceOption,
    KeepHeaderTextOption,
    UncertaintyOption,
    expect_jobs_or_dask,
    path_argument,
    path_option,
)
from pseudohealthy.cli.program import bids_main, progress_bar, say
from pseudohealthy.errors import RESEARCH_USE, InputError

if TYPE_CHECKING:
    from pseudohealthy.bids_app.job import Job
    from pseudohealthy.bids_app.records import Record
    from pseudohealthy.bids_app.selection import Subject

LEVELS = ("participant", "group")
SEVERAL = ("--participant-label", "--session-label")
EXITS = (
    "Exit codes: 0 every FLAIR image is done; 1 some image failed, the others are done; "
    "2 nothing could be begun."
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="markdown")

HELP = f"""The FLAIR images of a BIDS data set as if their brains were healthy, and maps of their lesions.

`participant` processes every selected image and writes BIDS derivatives to OUT_DIR; BIDS_DIR is only read.
An image that cannot be used, or a subject without one, is reported in one line and in
`OUT_DIR/logs/status.tsv`, and stops nothing else. The same command again goes on where it was: finished
images are skipped, failed ones tried again.

`group` then writes `group_lesions.tsv` and the page `group_report.html`: lesions in ml, anomaly scores, and
the outliers among the images.

    pseudohealthy-bids study study/derivatives/pseudohealthy participant
    pseudohealthy-bids study study/derivatives/pseudohealthy participant --participant-label 01 02
    pseudohealthy-bids study study/derivatives/pseudohealthy participant --shard $SLURM_ARRAY_TASK_ID/10
    pseudohealthy-bids study study/derivatives/pseudohealthy participant --dask tcp://10.0.0.1:8786
    pseudohealthy-bids study study/derivatives/pseudohealthy group

{EXITS}

{RESEARCH_USE}"""


def _version(show: bool) -> None:
    if show:
        typer.echo(__version__)
        raise typer.Exit


@app.command(help=HELP, no_args_is_help=True)
def run(
    bids_dir: Annotated[
        Path, path_argument(metavar="BIDS_DIR", help="The data set; nothing is written into it.")
    ],
    out_dir: Annotated[
        Path,
        path_argument(
            metavar="OUT_DIR", help="Where derivatives go: outside BIDS_DIR, or BIDS_DIR/derivatives/NAME."
        ),
    ],
    level: Annotated[
        Literal["participant", "group"], typer.Argument(metavar="{participant|group}", help="What to do.")
    ],
    participant_label: Annotated[
        list[str] | None, typer.Option(help="Only these subjects, with or without `sub-`: `01 02`.")
    ] = None,
    session_label: Annotated[
        list[str] | None, typer.Option(help="Only these sessions, with or without `ses-`.")
    ] = None,
    weights: Annotated[
        Path | None, path_option(help="Weights folder; default: those in the package.")
    ] = None,
    device: DeviceOption = "auto",
    backend: BackendOption = "auto",
    blend: Annotated[
        bool, typer.Option("--blend", help="Make the image in which only the lesion changes, too.")
    ] = False,
    uncertainty: UncertaintyOption = False,
    brain_masks: Annotated[
        Path | None,
        path_option(
            metavar="DIR",
            help="BIDS derivatives with the brain masks: DIR/sub-01/anat/sub-01_desc-brain_mask.nii.gz. "
            "Default: the brain is detected; a skull is stripped where the extra `skullstrip` is installed.",
        ),
    ] = None,
    lesion_masks: Annotated[
        Path | None,
        path_option(
            metavar="DIR",
            help="With --blend: BIDS derivatives with the lesion masks, "
            "DIR/sub-01/anat/sub-01_label-lesion_mask.nii.gz. Default: what the model marks.",
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Subjects processed at once, which share the cores; default: one a core and 2.5 GiB each.",
        ),
    ] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="The I-th of N parts of the subjects, for job arrays.")
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Send subjects to a running Dask scheduler (extra `cluster`)."),
    ] = None,
    keep_header_text: KeepHeaderTextOption = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Do finished images again.")] = False,
    version: Annotated[  # noqa: ARG001  (its callback ends the program)
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """See `HELP`."""
    from pseudohealthy.bids_app.output_dataset import check_place
    from pseudohealthy.bids_app.selection import Shard, select

    if shard and dask:
        raise InputError("--shard and --dask: expected one of them; Dask shares the subjects out itself")
    expect_jobs_or_dask(jobs, dask)
    part = Shard.of(shard) if shard else None
    subjects = select(bids_dir, participant_label or [], session_label or [], part)
    check_place(bids_dir, out_dir)
    if level == "group":
        if shard or dask:
            raise InputError("--shard and --dask are for the level participant; group is done at once")
        _group(bids_dir, out_dir, subjects)
        return
    from pseudohealthy.bids_app.job import Job
    from pseudohealthy.synthesis.bundled_weights import bundled_weights

    job = Job(
        bids_dir,
        out_dir,
        weights or bundled_weights(),
        device=device,
        backend=backend,
        blend=blend,
        uncertainty=uncertainty,
        overwrite=overwrite,
        keep_header_text=keep_header_text,
        brain_masks=brain_masks,
        lesion_masks=lesion_masks,
    ).checked()
    failed = _participants(bids_dir, out_dir, subjects, job, dask, jobs)
    raise typer.Exit(1 if failed else 0)


def _participants(
    bids: Path,
    out: Path,
    subjects: Sequence[Subject],
    job: Job,
    dask: str | None,
    jobs: int | None,
) -> int:
    """Process the subjects, here or on a cluster; returns how many images failed."""
    from pseudohealthy.bids_app.executors import default_jobs, run_dask, run_pool, run_serial
    from pseudohealthy.bids_app.output_dataset import describe
    from pseudohealthy.bids_app.records import write_status_table
    from pseudohealthy.bids_app.selection import select

    describe(bids, out)
    if dask:
        results = run_dask(subjects, job, dask, say)
    elif (at_once := min(jobs or default_jobs(len(subjects), job.device), len(subjects))) > 1:
        results = run_pool(subjects, job, at_once)
    else:
        results = run_serial(subjects, job)
    with contextlib.closing(results):  # at once, should this be interrupted
        counts = _report(results, len(subjects))
    table = write_status_table(out, select(bids))
    said = [f"{count} {_words(status)}" for status, count in counts.items() if count or status != "no_image"]
    say(", ".join(said) + f"; see {table}")
    typer.echo(RESEARCH_USE)
    return counts["failed"]


def _words(status: str) -> str:
    return status.replace("_", " ")


def _report(results: Iterator[list[Record]], total: int) -> dict[str, int]:
    """Report each image as it is finished: on a terminal a bar and what was not done, else a line each.

    Returns:
        How many images there are of each status.
    """
    from rich.console import Console

    counts = {"done": 0, "skipped": 0, "failed": 0, "no_image": 0}
    quiet = Console(stderr=True).is_terminal
    with progress_bar("subjects") as progress:
        progress(0, total, "")
        for number, records in enumerate(results, 1):
            for record in records:
                counts[record.status] += 1
                if record.status in ("failed", "no_image"):
                    say(f"{_words(record.status)}: {record.subject}: {record.reason}", err=True)
                elif not quiet:
                    say(f"{record.status}: {record.name} ({record.seconds:.1f} s)")
                for warning in record.warnings if record.status == "done" else ():
                    say(f"warning: {record.name}: {warning}", err=True)
            progress(number, total, records[0].subject)
    return counts


def _group(bids: Path, out: Path, subjects: Sequence[Subject]) -> None:
    from pseudohealthy.bids_app.group import write_group
    from pseudohealthy.bids_app.records import records
    from pseudohealthy.data.layouts import listed

    files = write_group(bids, out, subjects)
    recorded = records(out, subjects)
    left_out = [name for name, record in recorded.items() if not (record and record.is_complete(out))]
    if left_out:
        text = f"not in the table, for the reasons on the page and in the status: {listed(left_out)}"
        say(f"note: {text}", err=True)
    for kind, path in files.items():
        say(f"{kind}: {path}")
    typer.echo(RESEARCH_USE)


def spread(arguments: Sequence[str]) -> list[str]:
    """`participant --participant-label 01 02`, as BIDS-Apps take it, with the option before each label.

    Only behind the level: before it, a second label could not be told from BIDS_DIR. `_` in these options
    is taken for `-`.
    """
    spread_out: list[str] = []
    option, labels, level = "", 0, False
    for argument in arguments:
        if argument.startswith("-"):
            name, equals, label = argument.partition("=")
            dashed = "--" + name[2:].replace("_", "-")
            option, labels = (dashed if dashed in SEVERAL else "", len(equals))
            spread_out.append(option + equals + label if option else argument)
            continue
        if option and labels and level:
            spread_out.append(option)
        level = level or (argument in LEVELS and not (option and not labels))
        labels += 1
        spread_out.append(argument)
    return spread_out


if __name__ == "__main__":
    bids_main()
