"""A training step of every method, and where the paired one's time goes."""

from __future__ import annotations

import contextlib
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast, get_args

import torch
from lightning_fabric import Fabric
from torch.profiler import ProfilerActivity, profile

from benchmarks.formulas import FIELD, step, widened
from benchmarks.yardstick import Machine, row, spread
from pseudohealthy.config import MethodName, Settings, preprocessing, settings
from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.data.prepare import prepare
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.methods.base import Method
from pseudohealthy.methods.factory import build
from pseudohealthy.phantom.dataset import make_phantoms
from pseudohealthy.sampling.batch import Batch, Need
from pseudohealthy.sampling.sampler import BatchSampler
from pseudohealthy.training.allocator import retain_freed_memory
from pseudohealthy.training.precision import precision
from pseudohealthy.training.trainer import Trainer

BATCH = 4  # the paper's
LARGER = (16, 64)  # tried on a graphics card too
SUBJECTS, COARSE = 6, 4.0  # phantoms to draw batches of, and their voxels in mm: prepared slices are as large
ENDLESS = 1_000_000  # images: the learning rate stays as it is
# Of a profile's operations: the first of these words in an operation's name is its part.
PARTS = {
    "convolution_backward": "convolution, backward",
    "convolution": "convolution, forward",
    "norm": "norms",
    "upsample": "up-sampling",
    "pool": "pooling",
    "slow_conv": "convolution, backward",
    "relu": "activations",
    "threshold": "activations",  # the ReLU's backward pass
    "sigmoid": "activations",
}
OPTIMISER = "Optimizer.step"  # what a profile calls all of it


def rows(machine: Machine, width: int) -> Iterator[dict[str, Any]]:
    """A row a method, as shipped against eager fp32; on a graphics card the best batch size's."""
    with retain_freed_memory():
        yield from _methods(machine, width)


def _methods(machine: Machine, width: int) -> Iterator[dict[str, Any]]:
    for method in get_args(MethodName):
        measured = [_row(machine, method, width, BATCH)]
        for size in () if machine.device.type == "cpu" else LARGER:
            with contextlib.suppress(torch.OutOfMemoryError):  # the best size is one that fits
                measured.append(_row(machine, method, width, size))
        yield max(measured, key=lambda each: float(each["fraction_of_peak"]["median"]))


def tried(machine: Machine, width: int) -> Iterator[dict[str, Any]]:
    """What might make a paired step faster, and is not shipped: each against the step in eager fp32."""
    with retain_freed_memory():
        yield from _tried(machine, width)


def _tried(machine: Machine, width: int) -> Iterator[dict[str, Any]]:
    eager = widened("paired", width, "training.precision=32-true")
    changes: dict[str, tuple[Settings, Callable[[Method], object]]] = {
        "bf16": (widened("paired", width, "training.precision=bf16-mixed"), lambda _: None),
        "contiguous": (eager, lambda method: cast(Any, method).to(memory_format=torch.contiguous_format)),
        "compiled": (eager, _compiled),
    }
    shipped = precision(widened("paired", width).training, machine.device.type)
    if shipped == "bf16-mixed" or not machine.has_bf16():  # without such instructions it would take hours
        del changes["bf16"]
    for name, (chosen, change) in changes.items():
        work = stepping(machine, chosen, change)
        first = machine.timed(work)
        measured = row(
            f"tried_{name}_w{width}_b{BATCH}",
            machine,
            work,
            flops=step("paired", width, BATCH),
            against=stepping(machine, eager),
        )
        yield {**measured, "first_step_seconds": round(first, 1)}


def around(machine: Machine, width: int) -> Iterator[dict[str, Any]]:
    """A paired step's gain from retained memory, its possible gain from larger batches, its wait for data."""
    yield _memory(machine, width)
    with retain_freed_memory():
        yield _twice_the_batch(machine, width)
        yield _waiting(machine, width)


def _memory(machine: Machine, width: int) -> dict[str, Any]:
    """Steps with retained memory and without, by turns; after each change one that is not counted."""
    work, ratios = stepping(machine, widened("paired", width)), []
    for _ in range(machine.repeats // 2 + 1):
        plain = (machine.timed(work), machine.timed(work))[-1]
        with retain_freed_memory():
            retained = (machine.timed(work), machine.timed(work))[-1]
        ratios.append(plain / retained)
    return {"name": f"memory_kept_w{width}_b{BATCH}", "times_as_fast": spread(ratios)}


def _twice_the_batch(machine: Machine, width: int) -> dict[str, Any]:
    """One step of twice the batch against two: the possible gain of both cycles in one batch."""
    eager, size = "training.precision=32-true", f"training.batch_size={2 * BATCH}"
    single = stepping(machine, widened("paired", width, eager))
    return row(
        f"twice_the_batch_w{width}_b{2 * BATCH}",
        machine,
        stepping(machine, widened("paired", width, eager, size)),
        flops=step("paired", width, 2 * BATCH),
        against=lambda: (single(), single()),
    )


def _waiting(machine: Machine, width: int) -> dict[str, Any]:
    """How long a paired step waits for its batch: slices, augmentation, synthetic lesions of `default`."""
    with tempfile.TemporaryDirectory() as name:
        phantoms, prepared = Path(name, "phantoms"), Path(name, "prepared")
        make_phantoms(phantoms, patients=SUBJECTS, spacing=COARSE)
        prepare(read_cohort([phantoms]), prepared, preprocessing("default", {"spacing": COARSE}))
        default = settings("paired", "default")
        slices = BatchSampler(Prepared.open(prepared), "train", build(default).needs, default.training)
        work = stepping(machine, widened("paired", width))
        work()
        ratios = []
        for number in range(machine.repeats):
            drawing = machine.timed(lambda: slices.batch(number))  # noqa: B023
            ratios.append(drawing / machine.timed(work))
    return {"name": f"waiting_paired_w{width}_b{BATCH}", "over_step": spread(ratios)}


def _compiled(method: Method) -> None:
    for network in (*method.generators.values(), *method.discriminators.values()):
        network.compile()


def _row(machine: Machine, method: MethodName, width: int, size: int) -> dict[str, Any]:
    shipped = widened(method, width, f"training.batch_size={size}")
    eager = widened(method, width, f"training.batch_size={size}", "training.precision=32-true")
    kind = precision(shipped.training, machine.device.type)
    measured = row(
        f"train_step_{method}_w{width}_b{size}",
        machine,
        stepping(machine, shipped),
        flops=step(method, width, size),
        against=None if kind == "32-true" else stepping(machine, eager),
    )
    return {**measured, "precision": kind}


def stepping(
    machine: Machine, chosen: Settings, change: Callable[[Method], object] = lambda _: None
) -> Callable[[], None]:
    """A function that does one training step on a batch of noise, which stays on the device.

    Args:
        machine: where.
        chosen: method and settings.
        change: applied to the method beforehand.
    """
    kind: Any = precision(chosen.training, machine.device.type)
    fabric = Fabric(accelerator=machine.device.type, devices=1, precision=kind)
    torch.manual_seed(0)
    trainer = Trainer(fabric, build(chosen), chosen, total=ENDLESS)
    change(trainer.method)
    shape = (chosen.training.batch_size, 1, *FIELD)
    batch = noise(trainer.method.needs, shape).to(fabric.to_device)
    return partial(trainer.step, batch, 0)


def noise(needs: frozenset[Need], shape: tuple[int, ...]) -> Batch:
    """A batch `(N, 1, H, W)` with the parts that a method needs and no others; half of it is labelled."""
    x, m = torch.rand(shape), (torch.rand(shape) > 0.9).float()
    return Batch(
        x_p=None if "inpainting_masks" in needs else x,
        m_p=m if needs & {"lesion", "labelled"} else None,
        x_h=1 - x if "healthy" in needs else None,
        m=m.flip(0) if needs & {"library", "inpainting_masks"} else None,
        labelled=torch.arange(len(x)) % 2 == 0 if "labelled" in needs else None,
        x_k=1 - x if needs & {"lesion_free", "lesion_free_balanced"} else None,
    )


def shares(machine: Machine, width: int) -> dict[str, float]:
    """Where the time of a paired step goes: the share of each kind of operation."""
    work = stepping(machine, widened("paired", width))
    work()
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if machine.device.type == "cuda" else [])]
    with profile(activities=kinds) as profiled:
        work()
    spent: Counter[str] = Counter()
    for event in profiled.events():
        if event.device_type.name == "CPU":  # work on a GPU counts for the operation that started it
            own = event.self_device_time_total if machine.device.type == "cuda" else event.self_cpu_time_total
            spent[_part(event)] += own
    total = sum(spent.values())
    return {part: float(f"{time / total:.3g}") for part, time in spent.most_common()}


def _part(event: Any) -> str:
    """The part that an operation's time counts for: the optimiser if it called it, else by its name."""
    above = event
    while above is not None:
        if above.name.startswith(OPTIMISER):
            return "optimiser"
        above = above.cpu_parent
    return next((part for word, part in PARTS.items() if word in event.name), "the rest")
