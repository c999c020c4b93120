"""The program `pseudohealthy`: each command a few lines over one function of the rooms below."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from pseudohealthy import __version__
from pseudohealthy.catalogue.methods import METHODS, MethodName
from pseudohealthy.cli.options import (
    PRESETS,
    BackendOption,
    DeviceOption,
    Folder,
    KeepHeaderTextOption,
    MethodOption,
    OverwriteOption,
    Preset,
    PresetOption,
    SetOption,
    UncertaintyOption,
    path_argument,
    path_option,
    words_of,
)
from pseudohealthy.cli.program import main, progress_bar, say
from pseudohealthy.cli.transplant import transplant
from pseudohealthy.data.layouts import Layout
from pseudohealthy.errors import RESEARCH_USE, InputError
from pseudohealthy.files import MEGABYTE

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


@app.command()
def demo(out: Folder = Path("demo")) -> None:
    """Make phantom patients, train a small model on them, and process one it has not seen: a few minutes."""
    from pseudohealthy.experiment.demo import run_demo

    run_demo(out)


@app.command()
def phantom(
    out: Folder,
    patients: Annotated[int, typer.Option(min=0, help="Subjects with lesions.")] = 20,
    controls: Annotated[int, typer.Option(min=0, help="Subjects without.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Subject i of a seed is always the same.")] = 0,
    spacing: Annotated[float, typer.Option(help="Voxel size in mm.")] = 1.0,
) -> None:
    """Make a BIDS data set of synthetic brains: FLAIR, lesion masks, and each brain's true healthy image."""
    from pseudohealthy.phantom.dataset import make_phantoms

    with progress_bar("phantoms") as progress:
        make_phantoms(
            out, patients=patients, controls=controls, seed=seed, spacing=spacing, progress=progress
        )
    say(f"{patients + controls} subjects in {out}. Next: pseudohealthy prepare {out} -o PREPARED")


@app.command()
def prepare(
    folders: Annotated[list[Path], path_argument(help="Data sets; several are put together.")],
    out: Folder,
    layout: Annotated[Layout, typer.Option(help="How the folders are laid out.")] = "auto",
    preset: PresetOption = "default",
    overrides: SetOption = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the split, where the data set has none.")] = 0,
    fractions: Annotated[
        tuple[float, float, float], typer.Option(help="Fractions of train, validation and test subjects.")
    ] = (0.6, 0.15, 0.25),
    controls: Annotated[
        str | None,
        typer.Option(
            metavar="WORD,WORD",
            help="What `group` in `participants.tsv` calls healthy controls; all others are patients. "
            "Default: common words, such as control, HC, CN.",
        ),
    ] = None,
) -> None:
    """Check every file of a cohort, split it by volume, and write slices that training can map into memory.

    A BIDS folder (masks under `derivatives/`, `label-lesion`), BraTS or ISLES 2015. A patient may lack a
    mask; `group` in `participants.tsv` says who is a control; a folder of masks alone is a lesion-mask
    library. A subject without a FLAIR image is left out. What was left out, assumed or not understood is
    reported first. Preparing the same again does nothing.

    Example: `pseudohealthy prepare MICCAI_BraTS_2018_Data_Training -o prepared/brats --preset midl2019`
    """
    from pseudohealthy.config import preprocessing
    from pseudohealthy.data.cohort import read_cohort
    from pseudohealthy.data.prepare import prepare as prepare_cohort
    from pseudohealthy.data.split import subject_counts

    settings = preprocessing(preset, overrides=overrides or [])
    cohort = read_cohort(folders, layout, words_of(controls))
    for note in cohort.notes:
        say(f"note: {note}", err=True)
    with progress_bar("prepare") as progress:
        manifest = prepare_cohort(cohort, out, settings, seed=seed, fractions=fractions, progress=progress)
    for split, totals in manifest["totals"].items():
        words = {label: label for label in totals["slices"]} | {"edge": "near the brain's edges"}
        counts = ", ".join(f"{count} {words[label]}" for label, count in totals["slices"].items() if count)
        say(f"{split}: {totals['volumes']} volumes; slices: {counts or 'none'}")
    for volume in manifest["volumes"]:
        file = next(iter(volume["inputs"].values()))["path"]
        for warning in volume["facts"].get("warnings", []):
            say(f"warning: {file}: {warning}", err=True)
    say(subject_counts(manifest["volumes"]))
    say(f"Prepared in {out}. Next: pseudohealthy train {out} -o RUN")


@app.command()
def train(
    prepared: Annotated[Path, path_argument(help="Folder that `prepare` wrote.")],
    out: Folder,
    method: MethodOption = None,
    preset: Annotated[
        Preset | None,
        typer.Option(help=f"{PRESETS} Default: the file's."),
    ] = None,
    config: Annotated[Path | None, path_option(help="YAML file of settings.")] = None,
    overrides: SetOption = None,
    init: Annotated[Path | None, path_option(help="Weights folder to start from (fine-tuning).")] = None,
    device: DeviceOption = "auto",
    processes: Annotated[int, typer.Option(min=1, help="Processes that share each batch.")] = 1,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")
    ] = False,
) -> None:
    """Train a method. Interrupted at any moment, the same command goes on where it was.

    The run's folder gets `settings.yaml` before anything runs, `metrics.jsonl`, `panels/`, and the weights to
    use in `weights/` (and `weights_ema/`, averaged over steps). A judge's weights to use are in `best/`: of
    the averaged snapshots, those that detect the lesions of the validation volumes best.

    Example: `pseudohealthy train prepared/lgg -o runs/paired --set training.images=16000`
    """
    import torch
    import yaml

    from pseudohealthy.assessment.judge_selection import VALIDATION, select_judge
    from pseudohealthy.config import settings
    from pseudohealthy.data.prepared import Prepared
    from pseudohealthy.settings_files import read_yaml
    from pseudohealthy.training.loop import describe_run, is_first_process
    from pseudohealthy.training.loop import train as run_training

    values = {} if config is None else read_yaml(config)
    chosen = settings(method, preset, values, overrides or [])
    cohort = Prepared.open(prepared)
    if dry_run:
        typer.echo(yaml.safe_dump(describe_run(cohort, chosen, init, device), sort_keys=False).rstrip())
        return
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device cuda cannot be used here; try --device cpu")
    weights = run_training(cohort, out, chosen, init=init, accelerator=device, devices=processes)
    if chosen.method == "judge":
        if is_first_process():
            weights = select_judge(out, cohort, device)
            say(f"The best snapshot on validation volumes: {weights} ({out / VALIDATION}).")
            say(f"Next: pseudohealthy evaluate {prepared} --weights RUN --judge {weights} -o SCORES")
        return
    say(f"Weights in {weights}. Next{_use_of(chosen.method, weights, prepared)}")


def _use_of(method: MethodName, weights: Path, prepared: Path) -> str:
    """What can be done with a method's weights: `: ` and a command, or a call where no command takes them."""
    entry = METHODS[method]
    if not entry.can("synthesize"):
        return f', in Python: Model.load(Path("{weights}")).inpaint(slices, masks)'
    if not entry.can("segment"):
        return f": pseudohealthy evaluate {prepared} --weights {weights} -o SCORES"
    return f": pseudohealthy synthesize IMAGE --weights {weights} -o OUT"


@app.command()
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
    keep_header_text: KeepHeaderTextOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Make the pseudo-healthy image, the lesion's probability and mask, and the difference, on its own grid.

    Beside them come a page to look at (HTML, works offline), a panel (PNG) and a report of what made them
    (JSON). A head with its skull is stripped first, which needs `pip install '.[skullstrip]'` in a clone, or
    `--brain-mask`. DICOM, as a scanner exports it, needs the extra `dicom`.

    Example: `pseudohealthy synthesize sub-01_FLAIR.nii.gz -o healthy/ --blend`

    Example: `pseudohealthy synthesize export.zip -o healthy/ --dicom`
    """
    import dataclasses
    import shutil

    from pseudohealthy.cli.dicom import read_if_dicom, report_series
    from pseudohealthy.data.volume import read_volume
    from pseudohealthy.synthesis.bundled_weights import bundled_weights
    from pseudohealthy.synthesis.model import Model
    from pseudohealthy.synthesis.output_files import (
        dicom_folder,
        not_made_again,
        refuse_another_s,
        refuse_existing,
        refuse_existing_dicom,
    )
    from pseudohealthy.synthesis.synthesize import synthesize as run

    scan = read_if_dicom(image, series, writes=dicom)
    name = scan.name if scan else image.name
    inputs = (image, brain_mask, lesion_mask)
    refuse_existing(out, name, overwrite=overwrite, inputs=inputs)
    refuse_existing_dicom(out, name, overwrite=overwrite)
    refuse_another_s(out, name)
    volume = scan.volume if scan else read_volume(image)
    model = Model.load(weights or bundled_weights(), device, backend)
    result = run(
        volume, model, brain_mask=brain_mask, blend=blend, lesion_mask=lesion_mask, uncertainty=uncertainty
    )
    old = not_made_again(out, name, blend=blend, uncertainty=uncertainty)
    folder = dicom_folder(out, name)
    if scan:
        result = dataclasses.replace(result, report={**result.report, "dicom": scan.report})
        report_series(scan)
    if scan and dicom:
        from pseudohealthy.dicom.output import write_dicom  # which needs the extra

        write_dicom(scan, result.healthy, result.mask, folder, weights=result.report["weights"])
    elif folder.exists():
        old.append(folder)
        shutil.rmtree(folder)
    files = result.save(out, name, overwrite=overwrite, keep_header_text=keep_header_text)
    for kind, path in {**files, **({"dicom": folder} if dicom else {})}.items():
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


app.command()(transplant)


@app.command()
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


@app.command()
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
        int, typer.Option(min=1, help="Steps at once, such as trainings, each with its share of the cores.")
    ] = 1,
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

    chosen = read_experiment(experiment, overrides or [])
    if dry_run:
        for line in describe_steps(chosen, out):
            say(line)
        return
    folder = run(
        chosen, out, folders=data or [], results=results, device=device, jobs=jobs, from_weights=from_weights
    )
    say(f"Table 1: {folder / 'table1.md'}; everything: {folder / 'report.html'}")


@app.command()
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


@app.command()
def serve(
    host: Annotated[
        str, typer.Option(help="Where to listen; the default is this computer alone.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 0,
    weights: Annotated[
        Path | None, path_option(help="Weights folder; default: those in the package.")
    ] = None,
    largest: Annotated[int, typer.Option(min=1, help="MB that an image may have.")] = 1024,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Only print the address; do not open it.")
    ] = False,
    allow_network: Annotated[
        bool, typer.Option("--allow-network", help="Let --host be one that other computers reach.")
    ] = False,
) -> None:
    """Show a page in the browser that takes images and gives what `synthesize` makes of them.

    Drop images there, look at the results and download them. The address holds a random token, without
    which nothing is given. Images stay on this computer, and Ctrl-C, which ends the program, removes them.
    Needs the extra `serve`.

    Example: `pseudohealthy serve`
    """
    from pseudohealthy.serve.extra import require_extra
    from pseudohealthy.synthesis.bundled_weights import bundled_weights, describe_weights

    require_extra()
    from pseudohealthy.serve.limits import Limits
    from pseudohealthy.serve.security import expect_allowed, is_loopback
    from pseudohealthy.serve.server import open_browser
    from pseudohealthy.serve.server import serve as run

    expect_allowed(host, network=allow_network)
    folder = weights or bundled_weights()
    describe_weights(folder)  # refused before anything is begun
    if not is_loopback(host):
        say(f"warning: {host} is open to other computers, and what is sent is not encrypted", err=True)

    def started(address: str) -> None:
        say(f"Open {address}")
        say("Ctrl-C ends the program and removes all images.", err=True)
        typer.echo(RESEARCH_USE, err=True)
        if not no_browser:
            open_browser(address)

    run(host, port, folder, Limits(upload_bytes=largest * MEGABYTE), started)


@app.command()
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
