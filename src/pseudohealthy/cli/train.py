"""The command `train`: one method, resumable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pseudohealthy.catalogue.methods import METHODS, MethodName
from pseudohealthy.cli.options import (
    PRESETS,
    DeviceOption,
    Folder,
    MethodOption,
    Preset,
    SetOption,
    path_argument,
    path_option,
)
from pseudohealthy.cli.program import say


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
    init: Annotated[
        Path | None,
        path_option(
            help="Weights folder to start from (fine-tuning); RUN/weights has its discriminators, too."
        ),
    ] = None,
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
        typer.echo(yaml.safe_dump(describe_run(cohort, chosen, init, device, out), sort_keys=False).rstrip())
        return
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
