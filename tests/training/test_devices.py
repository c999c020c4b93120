"""Training on another device than the CPU, without one: on "meta", whose tensors have no numbers.

There an operation that mixes devices is an error, and so is one that needs a number, for which a program
would wait for a graphics card in every step.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, get_args

import numpy as np
import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.accelerators.cpu import CPUAccelerator
from lightning_fabric.strategies.single_device import SingleDeviceStrategy
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from fixtures.models import tiny
from pseudohealthy.assessment import resegmentation
from pseudohealthy.config import MethodName, PresetName
from pseudohealthy.methods.factory import build
from pseudohealthy.sampling.batch import Batch
from pseudohealthy.training.trainer import Trainer

META = torch.device("meta")
SHAPE = (2, 1, 64, 48)
EVERYTHING = [
    "networks.mirrored_input=true",
    "losses.synthetic_supervision=10",
    "losses.gradient=1",
    "losses.lesion_crop_adversarial=1",
    "losses.residual_lesion=1",
    "losses.healthy_identity=1",
    "losses.identity_outside_lesion=1",
    "losses.mask_discriminator_input=noise",
    "losses.cycle_noise=0.1",
    "training.precision=32-true",
    "training.fake_pool_size=1",
    "training.replay_steps=1",
]


class OneDevice(TorchDispatchMode):
    """Operations on tensors of two devices are errors, but for copies and for single numbers of the CPU.

    Not all operations of "meta" look at it themselves.
    """

    COPIES = ("aten::_to_copy", "aten::copy_")

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        tensors = [each for each in tree_leaves((args, kwargs)) if isinstance(each, Tensor) and each.ndim]
        if len({each.device for each in tensors}) > 1 and operation.name().split(".")[0] not in self.COPIES:
            raise RuntimeError(f"{operation}: tensors of two devices")
        return operation(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def one_device() -> Iterator[None]:
    with OneDevice():  # type: ignore[no-untyped-call]
        yield


def trainer_on_meta(method: MethodName, preset: PresetName) -> Trainer:
    """Networks are drawn on the CPU and moved, as on a graphics card."""
    settings = tiny(method, *EVERYTHING, preset=preset)
    fabric = Fabric(strategy=SingleDeviceStrategy(META, accelerator=CPUAccelerator()))
    return Trainer(fabric, build(settings), settings, total=100)


def drawn(trainer: Trainer) -> Batch:
    """A batch as the sampler draws it, on the CPU, moved as the loop moves it."""
    x_p, m_p, x_h, m, truth, x_k = torch.rand(6, *SHAPE)
    labelled, synthetic = torch.ones(2, 2, dtype=torch.bool)
    known = synthetic if "synthetic" in trainer.method.needs else None
    return Batch(x_p, m_p, x_h, m, labelled, known, truth, x_k).to(trainer.fabric.to_device)


CASES: list[tuple[MethodName, PresetName]] = [
    *((method, "default") for method in get_args(MethodName)),
    ("unpaired", "media2020"),
]


@pytest.mark.parametrize(("method", "preset"), CASES)
def test_steps_stay_on_their_device_and_wait_for_no_number(
    method: MethodName, preset: PresetName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # "meta" has none
    trainer = trainer_on_meta(method, preset)
    batch = drawn(trainer)
    if trainer.method.warm_up_needs:
        trainer.warm_up_step([batch for _ in trainer.method.warm_up_needs], 0)
    trainer.step(batch, 0, [lambda: drawn(trainer)])
    stored = [fake for pool in trainer.pools.values() for fake in pool.stored]
    assert bool(stored) == bool(trainer.method.discriminators)
    every = [
        *trainer.method.parameters(),
        *trainer.averaged.module.parameters(),
        *trainer.sums.values(),
        *stored,
    ]
    assert {tensor.device for tensor in every} == {META}


def test_a_network_that_learns_to_find_lesions_again_stays_on_its_device() -> None:
    images, masks = np.zeros((4, 4, 64, 48), dtype=np.float32), np.ones((4, 64, 48), dtype=np.float32)
    examples = resegmentation._Examples(images, masks, masks)
    network = resegmentation._trained(examples, seed=0, steps=2, device=META.type)
    assert {parameter.device for parameter in network.parameters()} == {META}


MIXED: dict[str, Callable[[Tensor, Tensor], object]] = {
    "sum": lambda here, there: here + there,
    "product in place": lambda here, there: there.mul_(here),
    "concatenation": lambda here, there: torch.cat([here, there]),
    "choice": lambda here, there: torch.where(here > 0, there, there),
    "stack": lambda here, there: torch.stack([here, there]),
    "convolution": lambda here, there: torch.nn.functional.conv2d(there, here),
    "picked": lambda here, there: torch.gather(there, 3, here.long()),
    "number": lambda here, there: (here, there.sum().item()),
    "test": lambda here, there: (here, bool(there.sum() > 0)),
    "pixels": lambda here, there: (here, there[there > 0]),
}


@pytest.mark.parametrize("name", MIXED)
def test_what_mixes_devices_or_needs_a_number_is_an_error_there(name: str) -> None:
    """Else the tests above could not fail."""
    with pytest.raises((RuntimeError, NotImplementedError)):
        MIXED[name](torch.ones(1, 1, 4, 4), torch.ones(1, 1, 4, 4, device=META))
