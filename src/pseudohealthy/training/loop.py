"""The one training loop, for every method; its clock is the number of pathological images seen."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import yaml
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pseudohealthy import __version__
from pseudohealthy.config import Settings, Training, read_yaml
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.data.slices import Batch, Slices
from pseudohealthy.errors import InputError, PseudohealthyError
from pseudohealthy.files import replace
from pseudohealthy.methods.base import Method
from pseudohealthy.methods.catalogue import build
from pseudohealthy.training.checkpoint import load_state, load_weights, save_state, save_weights
from pseudohealthy.training.pool import FakePool
from pseudohealthy.training.progress import Bar, Metrics, sample_panel
from pseudohealthy.training.weights import digest

SETTINGS, STATE, METRICS = "settings.yaml", "state.pt", "metrics.jsonl"
WEIGHTS, AVERAGED = "weights", "weights_ema"
LOG_EVERY = 40  # images
PANEL_SLICES = 4
POOL_STREAM = 100


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
            use in `weights/` (raw) and `weights_ema/` (averaged over steps).
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
    slices = Slices(prepared, "train", method.needs, settings.training)
    if fabric.is_global_zero:
        _write_down(out, plan(prepared, settings, init))
    fabric.barrier()
    if init is not None:
        load_weights(init, method.generators)
    run = Run(fabric, method, settings, images_to_see(settings.training, len(slices)))
    if (out / STATE).is_file():
        run.restore(load_state(out / STATE, fabric.device))
    _loop(run, slices, prepared, out)
    return out / WEIGHTS


def images_to_see(training: Training, epoch: int) -> int:
    """Images of a whole run, in whole batches; `epoch` is the number of pathological slices."""
    wanted = training.images if training.images is not None else training.epochs * epoch
    return -(-wanted // training.batch_size) * training.batch_size


def plan(prepared: Prepared, settings: Settings, init: Path | None = None) -> dict[str, Any]:
    """What a run would do, as it is written down before it starts."""
    with torch.device("meta"):
        method = build(settings)
    slices = Slices(prepared, "train", method.needs, settings.training)
    networks = {**method.generators, **method.discriminators}
    return {
        "version": __version__,
        "settings": settings.model_dump(mode="json"),
        "images": images_to_see(settings.training, len(slices)),
        "pathological_slices": len(slices),
        "precision": precision(settings.training),
        "parameters": {
            name: sum(p.numel() for p in network.parameters()) for name, network in networks.items()
        },
        "data": prepared.manifest["key"],
        "init": None if init is None else digest(init),
    }


def precision(training: Training) -> str:
    """The precision in force: "auto" is bf16 where a matrix unit makes it faster than fp32.

    AVX-512 alone multiplies bf16 too, but no faster than fp32.
    """
    if training.precision != "auto":
        return training.precision
    native = torch.cuda.is_available() or torch.cpu.get_capabilities().get("amx_bf16", False)
    return "bf16-mixed" if native else "32-true"


class Run:
    """All that changes while a method trains, and one step of it.

    Args:
        fabric: device, precision and processes.
        method: with fresh or given weights.
        settings: how it is trained.
        total: images to see.
    """

    def __init__(self, fabric: Fabric, method: Method, settings: Settings, total: int) -> None:
        self.fabric, self.settings, self.training, self.total = fabric, settings, settings.training, total
        self.method: Method = method.to(fabric.device)
        average = get_ema_multi_avg_fn(self.training.ema)  # type: ignore[no-untyped-call]
        self.averaged = AveragedModel(method.generators, multi_avg_fn=average)
        players = {"generators": method.generators, **method.discriminators}
        self.optimisers = {
            name: torch.optim.Adam(player.parameters(), self.training.learning_rate, self.training.betas)
            for name, player in players.items()
        }
        self.pools: dict[str, FakePool] = {}
        self.sums: dict[str, Tensor] = {}
        self.images = 0
        share = self.training.batch_size // fabric.world_size
        self.part = slice(fabric.global_rank * share, (fabric.global_rank + 1) * share)

    def step(self, batch: Batch, number: int) -> None:
        """One step of the generators' side, then one of each discriminator."""
        torch.manual_seed(self.training.seed + number)
        rate = learning_rate(self.training, self.images, self.total)
        method = self.method
        method.discriminators.requires_grad_(False)
        with self.fabric.autocast():
            terms = method.generator_terms(batch)
        self._descend("generators", terms.total, rate)
        self.averaged.update_parameters(method.generators)
        method.discriminators.requires_grad_(True)
        fakes = self._past(terms.fakes, number)
        with self.fabric.autocast():
            opposing = method.discriminator_losses(batch, fakes)
        for name, loss in opposing.items():
            self._descend(name, loss, rate)
        for name, loss in {**terms.losses, **opposing}.items():
            self.sums[name] = self.sums.get(name, torch.zeros_like(loss.detach())) + loss.detach()
        self.images += self.training.batch_size

    def losses(self, steps: int) -> dict[str, float]:
        """Mean losses of the last `steps` steps over all processes; counting starts anew.

        Raises:
            PseudohealthyError: one of them is not a number.
        """
        means = {name: _mean(self.fabric, total / steps).item() for name, total in self.sums.items()}
        self.sums = {}
        broken = [name for name, value in means.items() if not np.isfinite(value)]
        if broken:
            raise PseudohealthyError(
                f"{broken[0]} is no longer a number at image {self.images}; "
                "lower training.learning_rate or use training.precision=32-true"
            )
        return means

    def state(self) -> dict[str, Any]:
        """What `restore` needs to go on as if never stopped."""
        return {
            "images": self.images,
            "method": self.method.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
            "pools": {name: pool.state() for name, pool in self.pools.items()},
            "sums": self.sums,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self.images = state["images"]
        self.method.load_state_dict(state["method"])
        self.averaged.load_state_dict(state["averaged"])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])
        for name, kept in state["pools"].items():
            self._pool(name).restore(kept)
        self.sums = state["sums"]

    def _descend(self, name: str, loss: Tensor, rate: float) -> None:
        optimiser = self.optimisers[name]
        optimiser.zero_grad()
        self.fabric.backward(loss)
        parameters = optimiser.param_groups[0]["params"]
        _average_gradients(self.fabric, parameters)
        optimiser.param_groups[0]["lr"] = rate
        optimiser.step()

    def _past(self, fakes: Mapping[str, Tensor], number: int) -> dict[str, Tensor]:
        """Each kind of fake through its pool; every process keeps the same pool of all processes' fakes."""
        shown = {}
        for place, (name, fake) in enumerate(fakes.items()):
            rng = np.random.default_rng([self.training.seed, POOL_STREAM + place, number])
            every = _gathered(self.fabric, fake)
            shown[name] = self._pool(name).exchange(every, rng)[self.part]
        return shown

    def _pool(self, name: str) -> FakePool:
        return self.pools.setdefault(name, FakePool(self.training.pool))


def learning_rate(training: Training, images: int, total: int) -> float:
    """Constant, or falling linearly to 0 over the second half of the run."""
    if training.schedule == "constant":
        return training.learning_rate
    return training.learning_rate * min(1.0, 2 * (1 - images / total))


def _loop(run: Run, slices: Slices, prepared: Prepared, out: Path) -> None:
    fabric, training = run.fabric, run.training
    metrics = Metrics(out / METRICS, run.images) if fabric.is_global_zero else None
    label = f"{run.settings.method} ({run.settings.preset})"
    with Bar(run.total, run.images, label, shown=fabric.is_global_zero) as bar:
        while run.images < run.total:
            number = run.images // training.batch_size
            run.step(slices.batch(number, run.part).to(fabric.to_device), number)
            bar.advance(run.images)
            if _due(run, LOG_EVERY):
                before = max(0, run.images - training.batch_size) // LOG_EVERY * LOG_EVERY
                losses = run.losses(max(1, (run.images - before) // training.batch_size))
                if metrics is not None:
                    metrics.write(run.images, losses)
                bar.advance(run.images, losses)
            if _due(run, training.panel_every) and fabric.is_global_zero:
                _sample(run, prepared, out / "panels" / f"{run.images:07d}.png")
            if _due(run, training.checkpoint_every) and fabric.is_global_zero:
                _save(run, prepared, out)


def _due(run: Run, every: int) -> bool:
    """Whether the step just done passed a multiple of `every` images, or was the last."""
    before = run.images - run.training.batch_size
    return run.images // every > before // every or run.images >= run.total


def _save(run: Run, prepared: Prepared, out: Path) -> None:
    manifest = prepared.manifest
    config = {
        "settings": run.settings.model_dump(mode="json"),
        "preprocessing": manifest["settings"],
        "data": {
            "key": manifest["key"],
            "cohort": manifest["cohort"],
            **{str(split): totals["volumes"] for split, totals in manifest["totals"].items()},
        },
        "images": run.images,
    }
    save_weights(out / WEIGHTS, run.method.generators, {**config, "averaged": False})
    save_weights(out / AVERAGED, cast(nn.ModuleDict, run.averaged.module), {**config, "averaged": True})
    save_state(out / STATE, run.state())


@torch.no_grad()
def _sample(run: Run, prepared: Prepared, path: Path) -> None:
    table = prepared.slices
    split = "val" if ((table["split"] == "val") & (table["label"] == "pathological")).any() else "train"
    slices = Slices(prepared, split, frozenset(), run.training)  # type: ignore[arg-type]
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
    arrays = {name: image[:, 0].float().cpu().numpy() for name, image in images.items()}
    arrays["lesion"] = prepared.masks[rows].astype(np.float32)
    names = [str(name) for name in table["subject"].iloc[rows]]
    sample_panel(path, arrays, names, f"{run.settings.method}, {run.images} images, {split} slices")


def _launch(settings: Settings, accelerator: str, devices: int) -> Fabric:
    devices = int(os.environ.get("LOCAL_WORLD_SIZE", devices))
    if settings.training.batch_size % devices:
        raise InputError(
            f"training.batch_size {settings.training.batch_size} cannot be shared by {devices} processes"
        )
    fabric = Fabric(
        accelerator=accelerator,
        devices=devices,
        strategy="ddp" if devices > 1 else "auto",
        precision=precision(settings.training),  # type: ignore[arg-type]
    )
    fabric.launch()
    return fabric


def _write_down(out: Path, planned: dict[str, Any]) -> None:
    path = out / SETTINGS
    if path.is_file():
        _compare(path, planned)
        return
    if out.exists() and any(out.iterdir()):
        raise InputError(f"{out}: holds other files and no {SETTINGS}; give training a folder of its own")
    out.mkdir(parents=True, exist_ok=True)
    replace(path, lambda part: part.write_text(yaml.safe_dump(planned, sort_keys=False)))


def _compare(path: Path, planned: Mapping[str, Any]) -> None:
    earlier = _flat(read_yaml(path))
    now = _flat(planned)
    keys = [key for key in now if key != "version" and earlier.get(key) != now[key]]
    if keys:
        differences = ", ".join(f"{key} was {earlier.get(key)} and is {now[key]}" for key in keys[:3])
        raise InputError(
            f"{path.parent}: holds a run of other settings ({differences}); choose another folder"
        )


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat.update(_flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value})
    return flat


def _average_gradients(fabric: Fabric, parameters: Iterable[Tensor]) -> None:
    """The mean gradient of all processes, in one message: losses are means, so it is the whole batch's."""
    if fabric.world_size == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    mean = _mean(fabric, torch.cat([gradient.flatten() for gradient in gradients]))
    first = 0
    for gradient in gradients:
        gradient.copy_(mean[first : first + gradient.numel()].view_as(gradient))
        first += gradient.numel()


def _mean(fabric: Fabric, value: Tensor) -> Tensor:
    return cast(Tensor, fabric.all_reduce(value, reduce_op="mean"))


def _gathered(fabric: Fabric, value: Tensor) -> Tensor:
    """`(N, ...)` of every process, one after the other; Fabric leaves one process's own as it is."""
    return cast(Tensor, fabric.all_gather(value)).reshape(-1, *value.shape[1:])
