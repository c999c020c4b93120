"""One step of a run."""

from __future__ import annotations

import copy

import pytest
import torch
from lightning_fabric import Fabric

from pseudohealthy.data.prepared import Prepared
from pseudohealthy.data.slices import Slices
from pseudohealthy.methods.catalogue import build
from pseudohealthy.training.run import Run
from tiny import tiny


@pytest.fixture
def run() -> Run:
    settings = tiny("unpaired", "training.learning_rate=3e-3", "training.betas=[0.3, 0.9]")
    torch.manual_seed(0)
    return Run(Fabric(accelerator="cpu", devices=1), build(settings), settings, total=100)


def test_the_configured_adam_reaches_every_optimiser(run: Run) -> None:
    assert set(run.optimisers) == {"generators", "D_x", "D_m"}
    for optimiser in run.optimisers.values():
        assert optimiser.param_groups[0]["betas"] == (0.3, 0.9)
        assert optimiser.param_groups[0]["lr"] == 3e-3


def test_one_step_moves_every_parameter_of_every_network(run: Run, prepared: Prepared) -> None:
    before = copy.deepcopy(run.method.state_dict())
    slices = Slices(prepared, "train", run.method.needs, run.training)
    run.step(slices.batch(0), 0)
    after = run.method.state_dict()
    assert [name for name in before if torch.equal(before[name], after[name])] == []
    assert run.images == 2


def test_a_restored_state_steps_as_the_saved_one(run: Run, prepared: Prepared) -> None:
    slices = Slices(prepared, "train", run.method.needs, run.training)
    run.step(slices.batch(0), 0)
    other = Run(run.fabric, build(run.settings), run.settings, total=100)
    other.restore(copy.deepcopy(run.state()))
    for each in (run, other):
        each.step(slices.batch(1), 1)
    ours, theirs = run.method.state_dict(), other.method.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert run.losses() == other.losses()


def test_averaged_weights_follow_the_raw_ones(run: Run, prepared: Prepared) -> None:
    slices = Slices(prepared, "train", run.method.needs, run.training)
    run.step(slices.batch(0), 0)
    first = {name: tensor.clone() for name, tensor in run.method.generators.state_dict().items()}
    run.step(slices.batch(1), 1)
    second = run.method.generators.state_dict()
    decay = run.training.ema
    for name, mean in run.averaged.module.state_dict().items():
        assert torch.allclose(mean, decay * first[name] + (1 - decay) * second[name], atol=1e-6)
