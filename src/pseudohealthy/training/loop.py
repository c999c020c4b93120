"""The one training loop, for every method; its clock is the number of pathological images seen.

A warm-up comes before it, if the settings ask for one and the method has one; its images are counted apart.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
import yaml
from lightning_fabric import Fabric
from torch import nn

from pseudohealthy import __version__
from pseudohealthy.config import Settings, Training, read_yaml, validated
from pseudohealthy.data.layouts import listed
from pseudohealthy.data.out_of_distribution import Reference
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import InputError
from pseudohealthy.files import flatten, folder_beside, make_folder, write_json, write_text
from pseudohealthy.methods.factory import build
from pseudohealthy.sampling.sampler import Batch, BatchSampler
from pseudohealthy.training.allocator import retain_freed_memory
from pseudohealthy.training.checkpoint import load_state, load_weights, save_state, save_weights
from pseudohealthy.training.progress import Bar, Metrics, sample_panel
from pseudohealthy.training.trainer import Run, discriminator_steps
from pseudohealthy.training.weights import digest

SETTINGS, STATE, METRICS, CLOCK = "settings.yaml", "state.pt", "metrics.jsonl", "clock.json"
WEIGHTS, AVERAGED, SNAPSHOTS = "weights", "weights_ema", "snapshots"
LOG_EVERY = 40  # images
PANEL_SLICES = 4
# What may change between a run and its resumption: none of these decides the weights.
FREE = ("version", "settings.training.preview_every", "settings.training.checkpoint_every")

T = TypeVar("T")
now = time.monotonic


def train(
    prepared: Prepared,
    out: Path,
    settings: Settings,
    *,
    init: Path | None = None,
    accelerator: str = "auto",
    devices: int = 1,
) -> Path:
    """Train a method on a prepared cohort, or go on where an interrupted run of the same settings stopped.

    Args:
        prepared: slices to train on; the sample panels show its validation slices.
        out: the run's folder: `settings.yaml`, `metrics.jsonl`, `panels/`, `state.pt`, and the weights to
            use in `weights/` (raw) and `weights_ema/` (averaged over steps); `clock.json`, images seen (those
            of the warm-up apart) and seconds of training; `snapshots/0000400/`, weights kept, where settings
            ask for it, of images behind the warm-up: raw, a judge's averaged.
        settings: what to train, and how.
        init: a weights folder to start from (fine-tuning).
        accelerator: "cpu", "cuda" or "auto".
        devices: processes on this machine; under torchrun, its own number counts.

    Returns:
        The folder of the raw weights.

    Raises:
        InputError: `out` holds another run, or the cohort lacks what the method needs.
        PseudohealthyError: a loss is no longer a number, or the disk is full.
    """
    fabric = _launch(settings, accelerator, devices)
    torch.manual_seed(settings.training.seed)
    method = build(settings)
    slices = BatchSampler(prepared, "train", method.needs, settings.training)
    if init is not None:
        load_weights(init, method.generators)
    run = Run(fabric, method, settings, images_to_see(settings.training, len(slices)))
    planned = plan(prepared, settings, init, accelerator)
    _refuse_other_run(out, planned)
    fabric.barrier()  # nobody looks into the folder any more
    if fabric.is_global_zero:
        _write_down(out, planned)
    if (out / STATE).is_file():
        run.restore(load_state(out / STATE))
    if fabric.is_global_zero:
        _drop_later(out / SNAPSHOTS, run.images)
    with retain_freed_memory():
        _loop(run, slices, prepared, out)
    if fabric.is_global_zero and "G" in method.generators:
        _describe(prepared, out)
    return out / WEIGHTS


def is_first_process() -> bool:
    """Whether this is the only process of a training, or the first of several."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) == 0


def images_to_see(training: Training, epoch: int) -> int | None:
    """Images of a whole run, in whole batches; `epoch` is the number of pathological slices.

    None where `training.minutes` decide.
    """
    if training.minutes is not None:
        return None
    wanted = training.images if training.images is not None else training.epochs * epoch
    return -(-wanted // training.batch_size) * training.batch_size


def plan(
    prepared: Prepared, settings: Settings, init: Path | None = None, accelerator: str = "auto"
) -> dict[str, Any]:
    """What a run would do, as it is written down before it starts; arguments as those of `train`."""
    with torch.device("meta"):
        method = build(settings)
    slices = BatchSampler(prepared, "train", method.needs, settings.training)
    networks = {**method.generators, **method.discriminators}
    return {
        "version": __version__,
        "settings": settings.model_dump(mode="json"),
        "images": images_to_see(settings.training, len(slices)),
        "pathological_slices": len(slices),
        "precision": precision(settings.training, accelerator),
        "parameters": {
            name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()
        },
        "preprocessing": prepared.manifest["settings"],
        "data": prepared.manifest["key"],
        "init": None if init is None else digest(init),
    }


def precision(training: Training, accelerator: str) -> str:
    """The precision in force: "auto" is bf16 where a matrix unit makes it faster than fp32.

    AVX-512 alone multiplies bf16 too, but no faster than fp32.
    """
    if training.precision != "auto":
        return training.precision
    cuda = accelerator != "cpu" and torch.cuda.is_available()
    fast = torch.cuda.is_bf16_supported() if cuda else torch.cpu.get_capabilities().get("amx_bf16", False)
    return "bf16-mixed" if fast else "32-true"


def _loop(run: Run, slices: BatchSampler, prepared: Prepared, out: Path) -> None:
    """The steps that are left: of the warm-up, then of the method's own training."""
    metrics = Metrics(out / METRICS, run.seen) if run.fabric.is_global_zero else None
    began = now() - run.seconds

    def after(progress: Progress, bar: Bar) -> None:
        _log(run, metrics, progress, bar)
        if run.fabric.is_global_zero:
            _save_what_is_due(run, prepared, out, progress)

    def steps(draw: Callable[[int], Sequence[Batch]], do: Callable[[Sequence[Batch], int], None]) -> None:
        _steps(run, draw, do, began, after)

    if run.warming_up:
        views = [slices.for_warm_up(needs) for needs in run.method.warm_up_needs]
        steps(lambda number: [view.batch(number, run.part) for view in views], run.warm_up_step)
    critics = slices.for_discriminators()

    def step(batches: Sequence[Batch], number: int) -> None:
        run.step(batches[0], number, _more(run, critics, number, run.images / len(slices)))

    steps(lambda number: [slices.batch(number, run.part)], step)


def _steps(
    run: Run,
    draw: Callable[[int], Sequence[Batch]],
    do: Callable[[Sequence[Batch], int], None],
    began: float,
    after: Callable[[Progress, Bar], None],
) -> None:
    """The steps of the present part of a run, the warm-up or what comes behind it, to its end.

    Args:
        run: its state.
        draw: the batches of a step by the step's number.
        do: a step, with its batches and number.
        began: when the run began, had it never been interrupted.
        after: what follows each step.
    """
    fabric, size, warm_up = run.fabric, run.training.batch_size, run.warming_up
    label = f"{run.settings.method} ({run.settings.preset}){', warm-up' if warm_up else ''}"
    seen = _seen(run, warm_up)
    batches = drawn(draw, seen // size, _ahead(fabric.device))
    with (
        Bar(_to_see(run, warm_up), seen, label, shown=fabric.is_global_zero) as bar,
        contextlib.closing(batches),
    ):
        while run.warming_up == warm_up and not run.done:
            number = _seen(run, warm_up) // size
            do([batch.to(fabric.to_device) for batch in next(batches)], number)
            run.seconds = now() - began
            if run.total is None:  # then they decide, and all processes must decide alike
                run.seconds = fabric.broadcast(run.seconds)
            last = run.warming_up != warm_up or run.done
            after(Progress(_seen(run, warm_up), size, warm_up, last), bar)


@dataclass(frozen=True)
class Progress:
    """Where a step has led to.

    Attributes:
        images: seen in the present part of the run.
        size: images of a step.
        warm_up: whether that part is the warm-up.
        last: whether the step was the last of its part.
    """

    images: int
    size: int
    warm_up: bool
    last: bool

    def due(self, every: int) -> bool:
        """Whether the step passed a multiple of `every` images, or was the last."""
        return self.last or self.images // every > (self.images - self.size) // every


def _seen(run: Run, warm_up: bool) -> int:
    return run.warm_up_images if warm_up else run.images


def _to_see(run: Run, warm_up: bool) -> int | None:
    """Images of a part of the run; None where time decides."""
    size = run.training.batch_size
    return -(-run.training.warm_up_images // size) * size if warm_up and run.total is not None else run.total


def _log(run: Run, metrics: Metrics | None, progress: Progress, bar: Bar) -> None:
    """Show where a run is, with the losses where they are due."""
    bar.advance(progress.images)
    if progress.due(LOG_EVERY):
        losses = run.losses()
        if metrics is not None:
            metrics.write(run.seen, losses)
        bar.advance(progress.images, losses)


def _save_what_is_due(run: Run, prepared: Prepared, out: Path, progress: Progress) -> None:
    """Panels, weights that are kept, and the state to go on from."""
    training = run.training
    if progress.due(training.preview_every):
        name = f"warm_up_{progress.images:07d}" if progress.warm_up else f"{progress.images:07d}"
        _sample(run, prepared, out / "panels" / f"{name}.png")
    if training.snapshot_every and not progress.warm_up and progress.due(training.snapshot_every):
        _keep(run, prepared, out / SNAPSHOTS / f"{run.images:07d}")
    if progress.due(training.checkpoint_every):
        _save(run, prepared, out)


def drawn(draw: Callable[[int], T], first: int, ahead: int) -> Generator[T, None, None]:
    """`draw(first)`, `draw(first + 1)` and so on without end, so many drawn meanwhile; 0: when asked for."""
    if not ahead:
        yield from map(draw, count(first))
    with ThreadPoolExecutor(ahead) as pool:
        coming = deque(pool.submit(draw, number) for number in range(first, first + ahead))
        for number in count(first + ahead):
            coming.append(pool.submit(draw, number))
            yield coming.popleft().result()


def _ahead(device: torch.device) -> int:
    """Batches drawn while a step is done: on a CPU none, whose cores have enough to do."""
    return min(8, os.cpu_count() or 1) if device.type == "cuda" else 0


def _more(run: Run, critics: BatchSampler, number: int, epoch: float) -> list[Callable[[], Batch]]:
    """Where the batches of the discriminators' further steps come from: each has one of its own."""
    training = run.training
    most = max(training.discriminator_steps, training.discriminator_steps_later or 0)
    steps = discriminator_steps(training, epoch) if run.method.discriminators else 1

    def draw(nth: int) -> Batch:
        return critics.batch(number * most + nth, run.part).to(run.fabric.to_device)

    return [partial(draw, nth) for nth in range(1, steps)]


def _save(run: Run, prepared: Prepared, out: Path) -> None:
    averaged = cast(nn.ModuleDict, run.averaged.module)
    save_weights(out / WEIGHTS, run.method.generators, _config(run, prepared, averaged=False))
    save_weights(out / AVERAGED, averaged, _config(run, prepared, averaged=True))
    save_state(out / STATE, run.state())
    write_json(out / CLOCK, {**run.seen, "seconds": round(run.seconds, 3)})


def _describe(prepared: Prepared, out: Path) -> None:
    """Put what the training data look like beside all weights, so that unlike inputs can be warned of."""
    with contextlib.suppress(InputError):  # too few volumes to say what they have in common
        reference = Reference.of(prepared)
        for folder in (out / WEIGHTS, out / AVERAGED, *(out / SNAPSHOTS).glob("*")):
            reference.write(folder)


def _keep(run: Run, prepared: Prepared, folder: Path) -> None:
    """The weights, raw or averaged as the method wants, as a model folder that is whole or absent."""
    averaged = run.method.averaged
    networks = cast(nn.ModuleDict, run.averaged.module) if averaged else run.method.generators
    make_folder(folder.parent)
    with folder_beside(folder.parent.parent) as part:
        save_weights(part / folder.name, networks, _config(run, prepared, averaged=averaged))
        (part / folder.name).replace(folder)


def _drop_later(folder: Path, images: int) -> None:
    """Take away kept weights that an interrupted run made after the state it goes on from."""
    for kept in folder.iterdir() if folder.is_dir() else ():
        if re.fullmatch(r"\d{7,}", kept.name) and int(kept.name) > images:
            shutil.rmtree(kept)


def _config(run: Run, prepared: Prepared, *, averaged: bool) -> dict[str, Any]:
    manifest = prepared.manifest
    return {
        "settings": run.settings.model_dump(mode="json"),
        "preprocessing": manifest["settings"],
        "data": {
            "key": manifest["key"],
            "cohort": manifest["cohort"],
            **{str(split): totals["volumes"] for split, totals in manifest["totals"].items()},
        },
        **run.seen,
        "averaged": averaged,
    }


@torch.no_grad()
def _sample(run: Run, prepared: Prepared, path: Path) -> None:
    table = prepared.slices
    split = "val" if ((table["split"] == "val") & (table["label"] == "pathological")).any() else "train"
    slices = BatchSampler(prepared, split, frozenset(), run.training)  # type: ignore[arg-type]
    rows = slices.evenly(PANEL_SLICES)
    x = torch.from_numpy(prepared.images[rows])[:, None].to(run.fabric.device)
    images = {"input": x}
    networks = run.method.generators
    with run.fabric.autocast():
        if "G" in networks:
            images["healthy"] = networks["G"](x)
            images["difference"] = images["healthy"] - x
        if "S" in networks:
            images["lesion probability"] = networks["S"](x)
        if "I" in networks:
            m = torch.from_numpy(prepared.masks[rows].astype(np.float32))[:, None].to(x)
            images["filled in"] = m * networks["I"](x, m) + (1 - m) * x
    arrays = {name: image[:, 0].float().cpu().numpy() for name, image in images.items()}
    arrays["lesion"] = prepared.masks[rows].astype(np.float32)
    names = [str(name) for name in table["subject"].iloc[rows]]
    sample_panel(path, arrays, names, f"{run.settings.method}, {_told(run)}, {split} slices")


def _told(run: Run) -> str:
    """Images seen, for people."""
    warm_up = f"{run.warm_up_images} images of warm-up"
    return warm_up if run.warm_up_images and not run.images else f"{run.images} images"


def _launch(settings: Settings, accelerator: str, devices: int) -> Fabric:
    """Fabric on this machine's processes, or on those that torchrun has started."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", devices))
    processes = int(os.environ.get("WORLD_SIZE", here))
    batch = settings.training.batch_size
    if batch % processes:
        raise InputError(f"training.batch_size {batch} cannot be shared by {processes} processes")
    fabric = Fabric(
        accelerator=accelerator,
        devices=here,
        num_nodes=processes // here,
        strategy="ddp" if processes > 1 else "auto",
        precision=precision(settings.training, accelerator),  # type: ignore[arg-type]
    )
    fabric.launch()
    return fabric


def _refuse_other_run(out: Path, planned: Mapping[str, Any]) -> None:
    if (out / SETTINGS).is_file():
        _compare(out / SETTINGS, planned)
    elif out.exists() and (not out.is_dir() or any(not _passing(path) for path in out.iterdir())):
        raise InputError(f"{out}: holds other files and no {SETTINGS}; give training a folder of its own")


def _passing(path: Path) -> bool:
    """Whether it is a file half written, which a process that was killed leaves behind, or a hidden one."""
    return path.name.startswith(".")


def _write_down(out: Path, planned: Mapping[str, Any]) -> None:
    if not (out / SETTINGS).is_file():
        make_folder(out)
        write_text(out / SETTINGS, yaml.safe_dump(dict(planned), sort_keys=False))


def _compare(path: Path, planned: Mapping[str, Any]) -> None:
    written = read_yaml(path)
    # Settings that came later, at what was done before them
    settings = validated(Settings, written.get("settings"), str(path)).model_dump(mode="json")
    earlier = flatten({**written, "settings": settings})
    now = flatten(planned)
    keys = [key for key in now if key not in FREE and earlier.get(key) != now[key]]
    if keys:
        differences = listed((f"{key} was {earlier.get(key)} and is {now[key]}" for key in keys), most=3)
        raise InputError(
            f"{path.parent}: holds a run of other settings ({differences}); choose another folder"
        )
