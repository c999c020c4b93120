"""The command `transplant`: lesions put into healthy images."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pseudohealthy.cli.options import DeviceOption, Folder, path_argument, path_option
from pseudohealthy.cli.program import progress_bar, say
from pseudohealthy.errors import RESEARCH_USE, InputError

if TYPE_CHECKING:
    from pseudohealthy.synthesis.transplanted_files import Made, Output, Transplanter


def transplant(
    images: Annotated[
        list[Path],
        path_argument(metavar="IMAGE", help="FLAIR of brains without a lesion: NIfTI volumes or slices."),
    ],
    out: Folder,
    lesion: Annotated[
        Path | None,
        path_option(metavar="MASK", help="NIfTI mask on the image's grid: the lesion comes just there."),
    ] = None,
    masks: Annotated[
        Path | None,
        path_option(
            metavar="FOLDER",
            help="Lesion masks of other patients, on any grid: NIfTI files, or a data set as `prepare` takes "
            "it, of which the training patients' are taken. One is drawn for each lesion, keeps its size, "
            "and comes to a random place. Default, without --lesion too: a smooth random shape.",
        ),
    ] = None,
    count: Annotated[
        int, typer.Option(help="Lesions for each image, each in an output of its own; at most 1000.")
    ] = 1,
    volume: Annotated[
        float | None,
        typer.Option(
            metavar="ML", help="Of a random shape, in ml, at most 2000; default: drawn from 10 to 100."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of shape, place and brightness; 0 to 4294967295.")] = 0,
    bids: Annotated[
        bool,
        typer.Option(
            "--bids",
            help="Write a BIDS data set, as always for several images or lesions, into an own folder.",
        ),
    ] = False,
    weights: Annotated[
        Path | None, path_option(help="Weights folder; default: those in the package.")
    ] = None,
    brain_mask: Annotated[
        Path | None, path_option(help="NIfTI mask of the brain of one image. Default: detected.")
    ] = None,
    device: DeviceOption = "auto",
) -> None:
    """Put a lesion into a healthy image: the image with the lesion, and the lesion's exact mask.

    The mask is `--lesion`, or drawn from `--masks`, or, without both, a random shape. Drawn lesions lie in
    tissue, not in the ventricles or at the brain's surface. Further than 3 mm from the mask the image stays
    as it is, bit for bit. Lesions look like those that the weights learned: in the package, gliomas.

    Several images, or `--count` above 1, give a BIDS data set with masks, which `prepare` takes as a cohort.
    Files that are there are not replaced; the same command again makes what is missing.

    Example: `pseudohealthy transplant sub-01_FLAIR.nii.gz --lesion mask.nii.gz -o with_lesion`

    Example: `pseudohealthy transplant study/sub-*/anat/*_FLAIR.nii.gz --count 3 -o transplanted`
    """
    from pseudohealthy.bids_app.transplanted_dataset import check_place, planned
    from pseudohealthy.locks import folder_lock
    from pseudohealthy.synthesis.bundled_weights import bundled_weights
    from pseudohealthy.synthesis.model import Model
    from pseudohealthy.synthesis.output_files import output_stem
    from pseudohealthy.synthesis.transplanted_files import LesionChoice, Output, Transplanter

    choice = LesionChoice(lesion, masks, brain_mask, count, seed, volume)
    choice.check(len(images))
    for path in filter(None, (*images, lesion, brain_mask)):
        if not os.path.lexists(path):  # a slip; what is there and cannot be read stops no other image
            raise InputError(f"{path}: no such file; expected a NIfTI file")
    bids = bids or len(images) > 1 or count > 1
    check_place(out, bids=bids)
    outputs = (
        planned(images, out, count) if bids else [Output(images[0], 1, out, output_stem(images[0].name))]
    )
    work = Transplanter(Model.load(weights or bundled_weights(), device), choice)
    with folder_lock(out):
        failed = _many(work, outputs, out) if bids else _one(work, outputs[0])
    typer.echo(RESEARCH_USE)
    if failed:
        raise typer.Exit(1)


def _one(work: Transplanter, output: Output) -> int:
    for made in work.made(pending) if (pending := work.pending([output])) else ():
        _report(made)
    if not pending:
        say(f"there already, made of the same: {output.paths['image']}")
    for kind, path in output.paths.items():
        say(f"{kind}: {path}")
    return 0


def _many(work: Transplanter, outputs: Sequence[Output], out: Path) -> int:
    """Make all that is missing; returns how many images failed."""
    from pseudohealthy.bids_app.transplanted_dataset import (
        describe,
        drop_without_data,
        participants_with,
        write_participants,
    )

    images = list(dict.fromkeys(output.image for output in outputs))
    people, pending = participants_with(out, images), work.pending(outputs)
    describe(out)
    write_participants(out, people)  # first: an interrupted run leaves its split
    done = failed = 0
    try:
        with progress_bar("lesions") as progress:
            for nth, result in enumerate(_each(work, pending, alone=len(images) == 1), 1):
                progress(nth, len(pending), result.output.begin)
                _report(result)
                failed += result.error is not None
                done += result.error is None
    except InputError:
        drop_without_data(out, outputs)
        raise
    drop_without_data(out, outputs)
    counts = f"{done} made, {len(outputs) - len(pending)} there already"
    say(f"{counts}{f', {failed} failed' if failed else ''}. Next: pseudohealthy prepare {out} -o PREPARED")
    return failed


def _each(work: Transplanter, pending: Sequence[Output], *, alone: bool) -> Iterator[Made]:
    """The outputs, image by image; one that cannot be used stops no other, and is an error if alone."""
    from pseudohealthy.synthesis.transplanted_files import Made

    for _, group in groupby(pending, key=lambda output: output.image):
        of_image = list(group)
        try:
            yield from work.made(of_image)
        except InputError as error:
            if alone:
                raise
            yield Made(of_image[0], error=str(error))


def _report(made: Made) -> None:
    if made.report is None:
        say(f"failed: {made.error}", err=True)
        return
    for warning in made.report["warnings"]:
        say(f"warning: {made.output.begin}: {warning}", err=True)
    say(f"{made.output.begin}: lesion of {made.report['lesion_ml']} ml ({made.report['mask']})")
