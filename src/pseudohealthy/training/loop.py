"""The one training loop, for every method; its clock is the number of pathological images seen.

A warm-up comes before it where the settings ask for one and the method has one; its images are counted apart.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import torch
from lightning_fabric import Fabric

from pseudohealthy import __version__
from pseudohealthy.catalogue.methods import METHODS
from pseudohealthy.config import Settings, Training
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.devices import device_type, expect_cards, full_memory_explained
from pseudohealthy.errors import InputError
from pseudohealthy.locks import folder_lock
from pseudohealthy.methods.factory import build
from pseudohealthy.sampling.batch import Batch
from pseudohealthy.sampling.sampler import BatchSampler
from pseudohealthy.training.allocator import retain_freed_memory
from pseudohealthy.training.checkpoint import load_discriminators, load_weights
from pseudohealthy.training.precision import precision
from pseudohealthy.training.progress import Bar, Metrics
from pseudohealthy.training.run_folder import METRICS, WEIGHTS, Position, RunFolder
from pseudohealthy.training.trainer import Trainer, discriminator_steps
from pseudohealthy.training.weights import digest

LOG_EVERY = 40  # images
TOO_LARGE = "train in another folder with a smaller training.batch_size or networks.width, or on the CPU"

T = TypeVar("T")
now = time.monotonic


@full_memory_explained(TOO_LARGE)
def train(
    prepared: Prepared,
    out: Path,
    settings: Settings,
    *,
    init: Path | None = None,
    accelerator: str = "auto",
    devices: int = 1,
) -> Path:
    """Train a method on a prepared cohort, or resume an interrupted run of the same settings.

    Args:
        prepared: slices to train on; preview panels show its validation slices.
        out: the run's folder: `settings.yaml`, `metrics.jsonl`, `panels/`, `state.pt`, and the weights to
            use in `weights/` (raw) and `weights_ema/` (averaged over steps); `clock.json`, images seen (those
            of the warm-up apart) and seconds of training; `snapshots/0000400/`, where the settings ask for
            snapshots, the weights (a judge's averaged, else raw) after so many images behind the warm-up.
        settings: the method and how it is trained.
        init: a weights folder to start from (fine-tuning). Of a run's raw weights the discriminators are
            taken over, too; the optimisers begin anew.
        accelerator: "cpu", "cuda" or "auto".
        devices: processes on this machine; under torchrun, its own number counts.

    Returns:
        The folder of the raw weights.

    Raises:
        InputError: `out` holds another run, the cohort lacks what the method needs, or there are fewer
            graphics cards than `devices`.
        PseudohealthyError: a loss is no longer a number, or the disk or the graphics card's memory is full.
    """
    fabric = _launch(settings, accelerator, devices, precision(settings.training, accelerator, out))
    torch.manual_seed(settings.training.seed)
    method = build(settings)
    slices = BatchSampler(prepared, "train", method.needs, settings.training)
    if init is not None:
        load_weights(init, method.generators)
        load_discriminators(init, method.discriminators)
    trainer = Trainer(fabric, method, settings, images_to_see(settings.training, len(slices)))
    folder, description = RunFolder(out, prepared), describe_run(prepared, settings, init, accelerator, out)
    folder.refuse_other_run(description)
    fabric.barrier()  # every process has looked into the folder before the first one writes
    with folder_lock(out) if fabric.is_global_zero else contextlib.nullcontext():
        fabric.barrier()  # the first process may have waited for another run, whose state all go on from
        folder.refuse_other_run(description)
        _go_on(trainer, slices, folder, description)
    return out / WEIGHTS


def _go_on(trainer: Trainer, slices: BatchSampler, folder: RunFolder, description: dict[str, Any]) -> None:
    """Do what is left of a run, from its saved state if it has one."""
    if trainer.fabric.is_global_zero:
        folder.write_description(description)
    if (state := folder.saved_state()) is not None:
        trainer.restore(state)
    if trainer.fabric.is_global_zero:
        folder.drop_snapshots_after(trainer.images)
    with retain_freed_memory():
        _Loop(trainer, slices, folder).run()
    if trainer.fabric.is_global_zero and METHODS[trainer.settings.method].can("synthesize"):
        folder.describe_training_data()


def is_first_process() -> bool:
    """Whether this is the only process of a training, or the first of several."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", "0"))) == 0


def images_to_see(training: Training, epoch: int) -> int | None:
    """Images of a whole run, in whole batches; `epoch` is the number of pathological slices.

    None where `training.minutes` decide.
    """
    if training.minutes is not None:
        return None
    images = training.images if training.images is not None else training.epochs * epoch
    return _in_whole_batches(images, training.batch_size)


def describe_run(
    prepared: Prepared,
    settings: Settings,
    init: Path | None = None,
    accelerator: str = "auto",
    out: Path | None = None,
) -> dict[str, Any]:
    """Everything that decides a run, and its size, for `settings.yaml`; arguments as those of `train`."""
    with torch.device("meta"):
        method = build(settings)
    slices = BatchSampler(prepared, "train", method.needs, settings.training)
    networks = {**method.generators, **method.discriminators}
    return {
        "version": __version__,
        "settings": settings.model_dump(mode="json"),
        "images": images_to_see(settings.training, len(slices)),
        "pathological_slices": len(slices),
        "precision": precision(settings.training, accelerator, out),
        "parameters": {
            name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()
        },
        "preprocessing": prepared.preprocessing.model_dump(mode="json"),
        "data": prepared.manifest["key"],
        "init": None if init is None else digest(init),
    }


def prefetch(draw: Callable[[int], T], first: int, ahead: int) -> Generator[T, None, None]:
    """`draw(first)`, `draw(first + 1)` and so on without end.

    Args:
        draw: a function of a number.
        first: the first number.
        ahead: results that threads compute in advance; 0: each is computed when it is needed.
    """
    if not ahead:
        yield from map(draw, count(first))
    with ThreadPoolExecutor(ahead) as pool:
        coming = deque(pool.submit(draw, number) for number in range(first, first + ahead))
        for number in count(first + ahead):
            coming.append(pool.submit(draw, number))
            yield coming.popleft().result()


class _Loop:
    """The steps of a run that are left: of the warm-up, then of the method's own training."""

    def __init__(self, trainer: Trainer, slices: BatchSampler, folder: RunFolder) -> None:
        self.trainer, self.slices, self.folder = trainer, slices, folder
        self.began = now() - trainer.seconds  # as if it had never been interrupted
        self.metrics = Metrics(folder.path / METRICS, trainer.seen) if trainer.fabric.is_global_zero else None

    def run(self) -> None:
        """Do all of them."""
        trainer, slices = self.trainer, self.slices
        if trainer.warming_up:
            views = [slices.for_warm_up(needs) for needs in trainer.method.warm_up_needs]
            self._steps(
                lambda number: [view.batch(number, trainer.part) for view in views], trainer.warm_up_step
            )
        for_discriminators = slices.for_discriminators()

        def step(batches: Sequence[Batch], number: int) -> None:
            trainer.step(batches[0], number, self._further_batches(for_discriminators, number))

        self._steps(lambda number: [slices.batch(number, trainer.part)], step)

    def _steps(
        self, draw: Callable[[int], Sequence[Batch]], step: Callable[[Sequence[Batch], int], None]
    ) -> None:
        """The steps of the present part of the run, to its end.

        Args:
            draw: the batches of a step by the step's number.
            step: one step, on its batches and with its number.
        """
        trainer, fabric = self.trainer, self.trainer.fabric
        size, warm_up = trainer.training.batch_size, trainer.warming_up
        label = f"{trainer.settings.method} ({trainer.settings.preset}){', warm-up' if warm_up else ''}"
        seen = _seen(trainer, warm_up)
        batches = prefetch(draw, seen // size, _batches_ahead(fabric.device))
        bar = Bar(_to_see(trainer, warm_up), seen, label, visible=fabric.is_global_zero)
        with bar, contextlib.closing(batches):
            while trainer.warming_up == warm_up and not trainer.done:
                number = _seen(trainer, warm_up) // size
                step([batch.to(fabric.to_device) for batch in next(batches)], number)
                trainer.seconds = now() - self.began
                if trainer.total is None:  # then time decides, and all processes must decide alike
                    trainer.seconds = fabric.broadcast(trainer.seconds)
                last = trainer.warming_up != warm_up or trainer.done
                self._log_and_save(Position(_seen(trainer, warm_up), size, warm_up, last), bar)

    def _log_and_save(self, position: Position, bar: Bar) -> None:
        """After a step: the progress bar, and the losses and files that are due."""
        bar.advance(position.images)
        if position.due(LOG_EVERY):
            losses = self.trainer.losses()
            if self.metrics is not None:
                self.metrics.write(self.trainer.seen, losses)
            bar.advance(position.images, losses)
        if self.trainer.fabric.is_global_zero:
            self.folder.save_what_is_due(self.trainer, position)

    def _further_batches(self, slices: BatchSampler, number: int) -> list[Callable[[], Batch]]:
        """A function for each further step of the discriminators in step `number`, which draws its batch."""
        trainer, training = self.trainer, self.trainer.training
        most = max(training.discriminator_steps, training.discriminator_steps_later or 0)
        epoch = trainer.images / len(self.slices)
        steps = discriminator_steps(training, epoch) if trainer.method.discriminators else 1

        def draw(nth: int) -> Batch:
            return slices.batch(number * most + nth, trainer.part).to(trainer.fabric.to_device)

        return [partial(draw, nth) for nth in range(1, steps)]


def _batches_ahead(device: torch.device) -> int:
    """Batches drawn during a step: none on a CPU, whose cores are busy."""
    return 0 if device.type == "cpu" else min(8, os.cpu_count() or 1)


def _seen(trainer: Trainer, warm_up: bool) -> int:
    return trainer.warm_up_images if warm_up else trainer.images


def _to_see(trainer: Trainer, warm_up: bool) -> int | None:
    """Images of a part of the run; None where time decides."""
    if not warm_up or trainer.total is None:
        return trainer.total
    return _in_whole_batches(trainer.training.warm_up_images, trainer.training.batch_size)


def _in_whole_batches(images: int, size: int) -> int:
    return -(-images // size) * size


def _launch(settings: Settings, accelerator: str, devices: int, in_precision: str) -> Fabric:
    """Fabric on this machine's processes, or on those that torchrun has started."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", devices))
    processes = int(os.environ.get("WORLD_SIZE", here))
    batch = settings.training.batch_size
    if batch % processes:
        raise InputError(
            f"training.batch_size {batch} cannot be shared by {processes} processes; "
            "set a multiple of the number of processes"
        )
    kind = device_type(accelerator)  # Fabric's own "auto" takes devices of other kinds, too
    if kind == "cuda":
        expect_cards(here)
    with _without_fabric_s_remarks():
        fabric = Fabric(
            accelerator=kind,
            devices=here,
            num_nodes=processes // here,
            strategy="ddp" if processes > 1 else "auto",
            precision=in_precision,  # type: ignore[arg-type]
        )
        fabric.launch()
    return fabric


@contextlib.contextmanager
def _without_fabric_s_remarks() -> Iterator[None]:
    """Inside, Fabric logs warnings alone: what it is and does stands in `settings.yaml`."""
    log = logging.getLogger("lightning_fabric")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)
