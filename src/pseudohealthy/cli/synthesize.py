"""The command `synthesize`: a healthy image of one scan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pseudohealthy.cli.options import (
    BackendOption,
    DeviceOption,
    Folder,
    KeepHeaderTextOption,
    UncertaintyOption,
    path_argument,
    path_option,
)
from pseudohealthy.cli.program import say
from pseudohealthy.errors import RESEARCH_USE


def synthesize(
    image: Annotated[
        Path,
        path_argument(
            help="FLAIR, with or without its skull: NIfTI volume or slice; or a folder or zip of DICOM files."
        ),
    ],
    out: Folder,
    weights: Annotated[
        Path | None, path_option(help="Weights folder; default: those in the package.")
    ] = None,
    device: DeviceOption = "auto",
    backend: BackendOption = "auto",
    brain_mask: Annotated[
        Path | None,
        path_option(help="NIfTI mask of the brain; all else stays as it is. Default: detected."),
    ] = None,
    blend: Annotated[
        bool, typer.Option("--blend", help="Also an image in which only the lesion is replaced.")
    ] = False,
    lesion_mask: Annotated[
        Path | None, path_option(help="NIfTI mask of the lesion, for --blend. Default: the model's.")
    ] = None,
    uncertainty: UncertaintyOption = False,
    series: Annotated[
        str | None,
        typer.Option(
            help="Of DICOM: number, UID or a part of the description of the series. Default: the one FLAIR."
        ),
    ] = None,
    dicom: Annotated[
        bool,
        typer.Option("--dicom", help="Also the image as a DICOM series of the patient, and the lesion map."),
    ] = False,
    no_report: Annotated[
        bool,
        typer.Option("--no-report", help="No page and no panel: the images, and the JSON of what made them."),
    ] = False,
    keep_header_text: KeepHeaderTextOption = False,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite", help="Replace what an earlier run made; what this one does not make is removed."
        ),
    ] = False,
) -> None:
    """Make the pseudo-healthy image, the lesion's probability and mask, and the difference, on its own grid.

    Beside them come a page to look at (HTML, works offline), a panel (PNG) and a report of what made them
    (JSON). A head with its skull is stripped first, which needs `pip install '.[skullstrip]'` in a clone, or
    `--brain-mask`. DICOM, as a scanner exports it, needs the extra `dicom`.

    Example: `pseudohealthy synthesize sub-01_FLAIR.nii.gz -o healthy/ --blend`

    Example: `pseudohealthy synthesize export.zip -o healthy/ --dicom`
    """
    import dataclasses
    from functools import partial

    from pseudohealthy.cli.dicom import expect_outside, read_if_dicom, report_series
    from pseudohealthy.data.volume import read_volume
    from pseudohealthy.synthesis.bundled_weights import bundled_weights
    from pseudohealthy.synthesis.model import Model
    from pseudohealthy.synthesis.output_files import (
        dicom_folder,
        not_made_again,
        refuse_another_s,
        refuse_existing,
    )
    from pseudohealthy.synthesis.synthesize import synthesize as run

    if dicom:
        expect_outside(image, out)
    scan = read_if_dicom(image, series, writes=dicom)
    name = scan.name if scan else image.name
    inputs = (image, brain_mask, lesion_mask)
    refuse_existing(out, name, overwrite=overwrite, inputs=inputs)
    refuse_another_s(out, name)
    volume = scan.volume if scan else read_volume(image)
    model = Model.load(weights or bundled_weights(), device, backend)
    result = run(
        volume, model, brain_mask=brain_mask, blend=blend, lesion_mask=lesion_mask, uncertainty=uncertainty
    )
    page = not no_report
    old = not_made_again(out, name, blend=blend, uncertainty=uncertainty, page=page, dicom=dicom)
    write = None
    if scan:
        result = dataclasses.replace(result, report={**result.report, "dicom": scan.report})
        report_series(scan)
    if scan and dicom:
        from pseudohealthy.dicom.output import write_dicom  # which needs the extra

        write = partial(write_dicom, scan, result.healthy, result.mask, weights=result.report["weights"])
    files = result.save(
        out, name, overwrite=overwrite, keep_header_text=keep_header_text, page=page, dicom=write
    )
    for kind, path in {**files, **({"dicom": dicom_folder(out, name)} if dicom else {})}.items():
        say(f"{kind}: {path}")
    for path in old:
        say(f"removed: {path}, which an earlier run had made")
    for warning in result.warnings:
        say(f"warning: {warning}", err=True)
    report = result.report
    say(f"skull: {report['skull']}")
    where = f"{report['device']} ({report['backend']['name']})"
    say(f"lesion: {report['lesion_ml']} ml; {report['seconds']['all']} s on {where}")
    if "uncertainty" in report:
        narrow, wide = report["uncertainty"]["lesion_ml_68"], report["uncertainty"]["lesion_ml_95"]
        say(f"lesion: 68 % {narrow[0]} to {narrow[1]} ml; 95 % {wide[0]} to {wide[1]} ml")
    say(f"caveat: {report['lesion_caveat']}")
    typer.echo(RESEARCH_USE)
