"""The command `evaluate`: scores of weights, or of images of another program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from pseudohealthy.cli.options import DeviceOption, Folder, OverwriteOption, path_argument, path_option
from pseudohealthy.cli.program import say
from pseudohealthy.errors import InputError


def evaluate(
    prepared: Annotated[Path, path_argument(help="Folder that `prepare` wrote.")],
    out: Folder,
    weights: Annotated[
        Path | None, path_option(help="Weights folder; default: those in the package.")
    ] = None,
    predictions: Annotated[
        Path | None,
        path_option(help="Folder of NIfTI images that any program made of the volumes, in place of weights."),
    ] = None,
    data: Annotated[
        list[Path] | None, path_option("--data", help="With --predictions: the cohort's own folders.")
    ] = None,
    judge: Annotated[
        list[Path] | None,
        path_option(
            help="Weights folder of a judge, for healthiness; several are a panel, the paper's first."
        ),
    ] = None,
    held_out: Annotated[
        Path | None, path_option(help="Weights folder of a judge that is reported apart from the panel.")
    ] = None,
    split: Annotated[Literal["val", "test"], typer.Option(help="Choose on val; read test once.")] = "val",
    compare: Annotated[
        Path | None, path_option(help="Folder of other scores, to test against (Wilcoxon, Holm).")
    ] = None,
    resegmentation_steps: Annotated[
        int, typer.Option(min=0, help="Training steps of the re-segmentation network; 0: leave it out.")
    ] = 120,
    device: DeviceOption = "auto",
    overwrite: OverwriteOption = False,
) -> None:
    """Score a model, or images of any other program, on a split: identity, healthiness and their checks.

    Images: one a volume, named after its subject, on its grid and in its intensity units.

    Writes `volumes.tsv` (one row a volume) and `summary.json` (mean, standard deviation and 95 % bootstrap
    interval of each measure over volumes).

    Example: `pseudohealthy evaluate prepared/lgg --weights runs/paired/weights --judge runs/judge/best
    -o scores`

    Example: `pseudohealthy evaluate prepared/lgg --predictions filled/ --data lgg --judge runs/judge/best
    --compare scores -o filled_scores`
    """
    from pseudohealthy.assessment.evaluate import evaluate as run
    from pseudohealthy.assessment.predictors import ImageFiles
    from pseudohealthy.assessment.protocol import HELD_OUT, ProtocolSettings
    from pseudohealthy.data.prepared import Prepared
    from pseudohealthy.report.table1.tables import summary_lines
    from pseudohealthy.synthesis.bundled_weights import bundled_weights
    from pseudohealthy.synthesis.model import Model

    if predictions is not None and weights is not None:
        raise InputError("--weights and --predictions: expected one of them, the one to be scored")
    if bool(data) != (predictions is not None):
        raise InputError(
            "--predictions and --data belong together: images, and the folders they were made from"
        )
    cohort = Prepared.open(prepared)
    if held_out is not None and not judge:
        raise InputError("--held-out without --judge: expected a panel of judges beside it")
    names = ["judge", *(f"judge_{number}" for number in range(2, 1 + len(judge or [])))]
    folders = dict(zip(names, judge or [], strict=False)) | ({HELD_OUT: held_out} if held_out else {})
    judges = {name: Model.load(folder, device) for name, folder in folders.items()}
    source = (
        Model.load(weights or bundled_weights(), device)
        if predictions is None
        else ImageFiles(predictions, data or [])
    )
    settings = ProtocolSettings(split=split, resegmentation_steps=resegmentation_steps, device=device)
    summary = run(cohort, source, out, settings, judges=judges, compare=compare, overwrite=overwrite)
    for line in summary_lines({name: value for name, value in summary.items() if name != "model"}):
        say(line)
    if summary.get("valid") is False:
        reason = summary["invalid_reason"]
        say(f"Healthiness is not valid: {reason}; see judge in summary.json.")
