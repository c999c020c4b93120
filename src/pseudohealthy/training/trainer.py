"""The state of a training run, and one step of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pseudohealthy.config import Settings, Training
from pseudohealthy.devices import reproducible_convolutions
from pseudohealthy.errors import InputError, PseudohealthyError
from pseudohealthy.methods.base import LossTerms, Method
from pseudohealthy.sampling.batch import Batch
from pseudohealthy.training.fake_pool import FakePool

FORMAT = 1  # of the state
POOL_STREAM = 100
WARM_UP_STREAM = 200
REPLAY_STREAM = 300
REPLAYED = 200  # images from which further steps draw


class Trainer:
    """The state of a training run (weights, optimisers, pools, counts), and one step of it.

    Args:
        fabric: device, precision and processes.
        method: with fresh or given weights.
        settings: of the training.
        total: images to train on; None: as many as `training.minutes` allow.
    """

    def __init__(self, fabric: Fabric, method: Method, settings: Settings, total: int | None) -> None:
        self.fabric, self.settings, self.training, self.total = fabric, settings, settings.training, total
        fused = fabric.device.type == "cuda" or None
        self.method: Method = method.to(fabric.device)
        # the layout of matrix units; torch's own types lack the argument
        self.method.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.averaged = AveragedModel(method.generators)  # by `_average`
        networks = {"generators": method.generators, **method.discriminators}
        self.optimisers = {
            name: torch.optim.Adam(
                network.parameters(), self.training.learning_rate, self.training.betas, fused=fused
            )
            for name, network in networks.items()
        }
        self.pools: dict[str, FakePool] = {}
        self.sums: dict[str, Tensor] = {}  # of the losses of `steps` steps, since the last `losses()`
        self.steps = 0
        self.images = 0
        self.warm_up_images = 0  # counted apart from `images`
        self.seconds = 0.0  # of training; the loop sets it
        size = self.training.batch_size // fabric.world_size
        self.part = slice(fabric.global_rank * size, (fabric.global_rank + 1) * size)

    @property
    def fraction_done(self) -> float:
        """The fraction of the run after its warm-up that is done, by images or by time; 1 or more: all."""
        if self.total is None:
            warm_up = self._warm_up_seconds
            left = 60 * cast(float, self.training.minutes) - warm_up
            return max(0.0, (self.seconds - warm_up) / left)
        return self.images / self.total

    @property
    def done(self) -> bool:
        """Whether the run is at its end."""
        return self.fraction_done >= 1

    @property
    def warming_up(self) -> bool:
        """Whether the next step is one of the warm-up."""
        if not self.method.warm_up_needs:
            return False
        if self.total is None:
            return self.seconds < self._warm_up_seconds
        return self.warm_up_images < self.training.warm_up_images

    @property
    def _warm_up_seconds(self) -> float:
        """Duration of the warm-up where `training.minutes` decide."""
        fraction = self.training.warm_up_fraction if self.method.warm_up_needs else 0.0
        return fraction * 60 * cast(float, self.training.minutes)

    @property
    def seen(self) -> dict[str, int]:
        """`images`, and `warm_up_images` where there were any."""
        warm_up = {"warm_up_images": self.warm_up_images} if self.warm_up_images else {}
        return {"images": self.images, **warm_up}

    @property
    def where(self) -> str:
        """The images seen, in words."""
        if self.warm_up_images and not self.images:
            return f"{self.warm_up_images} images of warm-up"
        return f"{self.images} images"

    @reproducible_convolutions()
    def warm_up_step(self, batches: Sequence[Batch], number: int) -> None:
        """One step of the warm-up, in which the only discriminator that learns is that of lesion crops.

        Args:
            batches: one for each of the method's `warm_up_needs`.
            number: of the step, in the warm-up.
        """
        self._seed(number, WARM_UP_STREAM)
        rate = learning_rate(self.training, self.fraction_done)
        terms = self._generator_step(lambda: self.method.warm_up_terms(*batches), rate)
        self._discriminator_step(batches[0], terms.fakes, (number,), rate, of=1)
        self.steps += 1
        self.warm_up_images += self.training.batch_size

    @reproducible_convolutions()
    def step(self, batch: Batch, number: int, more: Sequence[Callable[[], Batch]] = ()) -> None:
        """One step of the generators, then the steps of each discriminator.

        Args:
            batch: of the generators' step and of each discriminator's first one.
            number: of the step.
            more: a function for each further step of the discriminators, which draws its batch.
        """
        self._seed(number)
        rate = learning_rate(self.training, self.fraction_done)
        terms = self._generator_step(lambda: self.method.generator_terms(batch), rate)
        self._discriminator_step(batch, terms.fakes, (number,), rate, of=1 + len(more))
        for nth, draw in enumerate(more, 1):
            other = draw()
            with torch.no_grad(), self.fabric.autocast():
                fakes = self.method.fakes(other)
            self._discriminator_step(other, fakes, (number, nth), rate, of=1 + len(more))
        self.steps += 1
        self.images += self.training.batch_size

    def losses(self) -> dict[str, float]:
        """Mean losses of the steps since the last call, over all processes.

        Raises:
            PseudohealthyError: one of them is not a number.
        """
        means = {name: _mean(self.fabric, total / self.steps).item() for name, total in self.sums.items()}
        self.sums, self.steps = {}, 0
        self._refuse_broken(means)
        return means

    def state(self) -> dict[str, Any]:
        """Tensors and numbers from which `restore` continues as if never stopped.

        Raises:
            PseudohealthyError: a loss is no longer a number, and the state is useless.
        """
        self._refuse_broken({name: total.item() for name, total in self.sums.items()})
        return {
            **self.seen,
            "seconds": self.seconds,
            "method": self.method.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
            "pools": {name: pool.state() for name, pool in self.pools.items()},
            "sums": self.sums,
            "steps": self.steps,
            "format": FORMAT,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state, whose tensors are on the CPU.

        Raises:
            InputError: another version of the program saved it in another form, or parts of it are missing.
        """
        if state.get("format") != FORMAT:
            raise InputError(
                f"the saved training state has format {state.get('format')}, expected {FORMAT}; "
                "start anew in another folder"
            )
        try:
            if _holds_complex(state):
                raise TypeError("it holds complex numbers")
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # torch's own, before it raises an error
                self._take(state)
        except Exception as error:  # whatever torch meets in parts that are of another kind
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise InputError(
                f"the saved training state does not fit this run ({reason}); delete state.pt to start anew"
            ) from error

    def _take(self, state: Mapping[str, Any]) -> None:
        """The parts of a saved state; one that is missing or of another kind is an error of Python's."""
        self.images, self.seconds = int(state["images"]), float(state.get("seconds", 0.0))
        self.warm_up_images = int(state.get("warm_up_images", 0))
        self.method.load_state_dict(state["method"])
        self.averaged.load_state_dict(state["averaged"])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(_for_device_of(optimiser, state["optimisers"][name]))
        for name, fakes in state["pools"].items():
            self._pool(name).restore([self.fabric.to_device(fake.detach()) for fake in fakes])
        self.sums = {name: self.fabric.to_device(value.detach()) for name, value in state["sums"].items()}
        self.steps = int(state["steps"])

    def _refuse_broken(self, losses: Mapping[str, float]) -> None:
        broken = [name for name, value in losses.items() if not np.isfinite(value)]
        if broken:
            raise PseudohealthyError(
                f"{broken[0]} is no longer a number after {self.where}; "
                "lower training.learning_rate or use training.precision=32-true"
            )

    def _seed(self, *numbers: int) -> None:
        """Seed torch from the run's seed and the step's number, so that no earlier step matters."""
        sequence = np.random.SeedSequence([self.training.seed, *numbers])
        torch.manual_seed(int(sequence.generate_state(1)[0]))

    def _generator_step(self, terms_of: Callable[[], LossTerms], rate: float) -> LossTerms:
        """One optimiser step of the generators."""
        self.method.discriminators.requires_grad_(False)
        with self.fabric.autocast():
            terms = terms_of()
        self._optimizer_step("generators", terms.total, rate)
        self._average()
        self.method.discriminators.requires_grad_(True)
        self._add_losses(terms.losses)
        return terms

    def _average(self) -> None:
        """Move the averaged weights towards the raw ones; the first ones are the raw ones.

        `AveragedModel.update_parameters` would copy its count to a graphics card each time, and wait for it.
        """
        decay = self.training.ema if self.averaged.n_averaged else 0.0
        averaged, raw = (list(each.parameters()) for each in (self.averaged, self.method.generators))
        get_ema_multi_avg_fn(decay)(averaged, raw, self.averaged.n_averaged)
        self.averaged.n_averaged += 1

    def _discriminator_step(
        self, batch: Batch, fakes: Mapping[str, Tensor], number: tuple[int, ...], rate: float, *, of: int
    ) -> None:
        """One of `of` steps of each discriminator."""
        inputs = self._through_pool(fakes, number)
        with self.fabric.autocast():
            losses = self.method.discriminator_losses(batch, inputs)
        for name, loss in losses.items():
            self._optimizer_step(name, loss, rate)
        self._add_losses({name: loss / of for name, loss in losses.items()})
        replayed = {name: fake for name, fake in inputs.items() if name in self.method.replayed}
        self._replay_steps(batch, replayed, number, rate)

    def _replay_steps(
        self, batch: Batch, fakes: Mapping[str, Tensor], number: tuple[int, ...], rate: float
    ) -> None:
        """Further steps of the discriminators of these fakes, on earlier ones; every process has them all."""
        rng = np.random.default_rng([self.training.seed, REPLAY_STREAM, *number])
        for name, fake in fakes.items():
            self._pool(name).store(_gathered(self.fabric, fake), rng)
        for _ in range(self.training.replay_steps if fakes else 0):
            size = self.training.batch_size
            earlier = {name: self._pool(name).draw(size, rng)[self.part] for name in fakes}
            with self.fabric.autocast():
                losses = self.method.discriminator_losses(batch, earlier)
            for name, loss in losses.items():
                self._optimizer_step(name, loss, rate)

    def _add_losses(self, losses: Mapping[str, Tensor]) -> None:
        """Add the losses of a step to the sums for the log."""
        for name, loss in losses.items():
            self.sums[name] = self.sums.get(name, torch.zeros_like(loss.detach())) + loss.detach()

    def _optimizer_step(self, name: str, loss: Tensor, rate: float) -> None:
        optimiser = self.optimisers[name]
        optimiser.zero_grad()
        self.fabric.backward(loss)
        parameters = optimiser.param_groups[0]["params"]
        _average_gradients(self.fabric, parameters)
        optimiser.param_groups[0]["lr"] = rate
        optimiser.step()

    def _through_pool(self, fakes: Mapping[str, Tensor], number: tuple[int, ...]) -> dict[str, Tensor]:
        """Each kind of fake through its pool; every process has the same pool of all processes' fakes.

        The method's `unpooled` ones stay as they are, in the order of the batch.
        """
        inputs = {}
        for place, (name, fake) in enumerate(fakes.items()):
            if name in self.method.unpooled:
                inputs[name] = fake.detach()
                continue
            rng = np.random.default_rng([self.training.seed, POOL_STREAM + place, *number])
            gathered = _gathered(self.fabric, fake.detach())
            inputs[name] = self._pool(name).exchange(gathered, rng)[self.part]
        return inputs

    def _pool(self, name: str) -> FakePool:
        size = REPLAYED if name in self.method.replayed else self.training.fake_pool_size
        return self.pools.setdefault(name, FakePool(size))


def _for_device_of(optimiser: torch.optim.Optimizer, state: Mapping[str, Any]) -> dict[str, Any]:
    """A saved state of Adam for this device's kernels; it names those of the device where it was saved."""
    fused = optimiser.param_groups[0]["fused"]
    return {**state, "param_groups": [{**group, "fused": fused} for group in state["param_groups"]]}


def _holds_complex(value: object) -> bool:
    """Whether a tensor anywhere in it is complex; torch would take its real part."""
    if isinstance(value, Tensor):
        return value.is_complex()
    parts = value.values() if isinstance(value, Mapping) else value
    return (
        isinstance(parts, Iterable) and not isinstance(parts, str | bytes) and any(map(_holds_complex, parts))
    )


def learning_rate(training: Training, fraction_done: float) -> float:
    """Constant, or falling linearly to 0 over the second half of the run."""
    if training.schedule == "constant":
        return training.learning_rate
    return training.learning_rate * min(1.0, 2 * (1 - fraction_done))


def discriminator_steps(training: Training, epoch: float) -> int:
    """Steps of each discriminator per step of the generators, after `epoch` passes over the slices."""
    if training.discriminator_steps_later is not None and epoch >= training.discriminator_epoch:
        return training.discriminator_steps_later
    return training.discriminator_steps


def _average_gradients(fabric: Fabric, parameters: Iterable[Tensor]) -> None:
    """Replace gradients by their mean over processes, which is that of the whole batch, in one message."""
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
    """`(N, ...)` of every process, concatenated along the first axis."""
    return cast(Tensor, fabric.all_gather(value)).reshape(-1, *value.shape[1:])
