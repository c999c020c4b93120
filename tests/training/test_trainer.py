"""One step of a trainer."""

from __future__ import annotations

import copy
from functools import partial
from typing import get_args

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor

from fixtures.models import tiny
from pseudohealthy.config import MethodName, PresetName, Settings
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import InputError, PseudohealthyError
from pseudohealthy.methods.factorization import CROPS
from pseudohealthy.methods.factory import build
from pseudohealthy.sampling.sampler import BatchSampler
from pseudohealthy.training.trainer import Trainer, discriminator_steps, learning_rate


def started(settings: Settings, total: int | None = 100) -> Trainer:
    torch.manual_seed(0)
    return Trainer(Fabric(accelerator="cpu", devices=1), build(settings), settings, total)


@pytest.fixture
def trainer() -> Trainer:
    return started(tiny("unpaired", "training.learning_rate=3e-3", "training.betas=[0.3, 0.9]"))


@pytest.mark.parametrize("method", get_args(MethodName))
def test_every_network_has_the_configured_adam(method: MethodName) -> None:
    trainer = started(tiny(method, "training.learning_rate=3e-3", "training.betas=[0.3, 0.9]"))
    assert set(trainer.optimisers) == {"generators", *trainer.method.discriminators}
    for optimiser in trainer.optimisers.values():
        assert optimiser.param_groups[0]["betas"] == (0.3, 0.9)
        assert optimiser.param_groups[0]["lr"] == 3e-3
    of_optimisers = sum(
        len(group["params"]) for optimiser in trainer.optimisers.values() for group in optimiser.param_groups
    )
    assert of_optimisers == len(list(trainer.method.parameters()))


@pytest.mark.parametrize("preset", ["midl2019", "media2020"])
@pytest.mark.parametrize("method", get_args(MethodName))
def test_one_step_moves_every_parameter_of_every_network(
    method: MethodName, preset: PresetName, prepared: Prepared
) -> None:
    options = ["training.labelled_fraction=0.5", "training.batch_size=6", "training.precision=32-true"]
    trainer = started(tiny(method, *options, preset=preset))
    before = copy.deepcopy(trainer.method.state_dict())
    slices = BatchSampler(prepared, "train", trainer.method.needs, trainer.training)
    trainer.step(slices.batch(0), 0)
    after = trainer.method.state_dict()
    linear = (
        trainer.settings.networks.discriminator_activation == "linear"
        and trainer.settings.losses.adversarial == "wasserstein"
    )
    still = [name for name in before if torch.equal(before[name], after[name])]
    # a constant added to all outputs of a Wasserstein discriminator changes no difference between them
    assert [name for name in still if not (linear and name.endswith("output.1.bias"))] == []
    assert trainer.images == 6


def test_each_further_step_of_the_discriminators_is_on_its_own_batch_with_new_fakes(
    trainer: Trainer, prepared: Prepared
) -> None:
    """Not all of them on one batch: the fakes are those of the generators as they are now."""
    slices = BatchSampler(prepared, "train", trainer.method.needs, trainer.training)
    batches = [slices.batch(number) for number in range(4)]
    inputs_seen: list[Tensor] = []
    trainer.method.discriminators["D_x"].register_forward_pre_hook(
        lambda _m, inputs: inputs_seen.append(inputs[0].detach())
    )
    trainer.step(batches[0], 0, [partial(slices.batch, number) for number in (1, 2, 3)])
    of_generators, of_discriminators = inputs_seen[:2], inputs_seen[2:]
    assert len(of_generators) == 2
    assert len(of_discriminators) == 4 * 3
    for nth, batch in enumerate(batches):
        assert batch.x_h is not None
        assert torch.equal(of_discriminators[3 * nth], batch.x_h)
    now = trainer.method.generators["G"](batches[3].x_p)
    past = torch.cat([of_discriminators[1], of_discriminators[4], of_discriminators[7]])
    for image, newest in zip(of_discriminators[10], now, strict=True):  # the newest, or one from the pool
        assert torch.equal(image, newest) or any(torch.equal(image, each) for each in past)
    assert (trainer.images, trainer.steps) == (2, 1)
    steps = [
        next(iter(trainer.optimisers[name].state.values()))["step"].item() for name in trainer.optimisers
    ]
    assert dict(zip(trainer.optimisers, steps, strict=True)) == {"generators": 1, "D_x": 4, "D_m": 4}


def test_no_mask_of_a_labelled_image_is_ever_a_fake(prepared: Prepared) -> None:
    """D_m weighs each mask by whether its image has one of its own, so no earlier mask may take its place."""
    trainer = started(tiny("semi_supervised", "training.labelled_fraction=0.5", "training.batch_size=4"))
    slices = BatchSampler(prepared, "train", trainer.method.needs, trainer.training)
    inputs_seen: list[Tensor] = []
    trainer.method.discriminators["D_m"].register_forward_pre_hook(
        lambda _m, inputs: inputs_seen.append(inputs[0].detach())
    )
    trainer.method.generators["S"].register_forward_hook(lambda _m, _i, output: masks.append(output.detach()))
    kinds = set()
    for number in range(8):
        masks: list[Tensor] = []
        batch = slices.batch(number)
        assert batch.labelled is not None
        trainer.step(batch, number)
        kinds |= set(batch.labelled.tolist())
        assert torch.equal(inputs_seen[-1], masks[0])  # S(x_p), each in its own image's place
    assert kinds == {True, False}
    assert set(trainer.pools) == {"G(x_p)", "R(x_h,0)"}


def test_unpaired_training_has_a_pool_of_masks_for_d_m(prepared: Prepared) -> None:
    trainer = started(tiny("unpaired", preset="midl2019"))
    slices = BatchSampler(prepared, "train", trainer.method.needs, trainer.training)
    trainer.step(slices.batch(0), 0)
    assert len(trainer.pools["S(x_p)"].stored) == 2


def test_a_logged_loss_of_a_discriminator_is_the_mean_of_its_steps(prepared: Prepared) -> None:
    """With a learning rate that moves nothing, four steps on one batch have the loss of one."""
    losses = []
    for more in (0, 3):
        trainer = started(tiny("cyclegan", "training.learning_rate=1e-30"))
        slices = BatchSampler(prepared, "train", trainer.method.needs, trainer.training)
        trainer.step(slices.batch(0), 0, [partial(slices.batch, 0)] * more)
        losses.append(trainer.losses())
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_steps_of_the_discriminators_change_after_an_epoch() -> None:
    training = tiny("paired", preset="media2020").training
    assert [discriminator_steps(training, epoch) for epoch in (0, 24.99, 25, 300)] == [10, 10, 5, 5]
    always = training.model_copy(update={"discriminator_steps_later": None})
    assert discriminator_steps(always, 300) == 10


def test_the_learning_rate_falls_over_the_second_half_by_images_or_by_time() -> None:
    settings = tiny("paired", "training.learning_rate=1")
    assert [learning_rate(settings.training, fraction) for fraction in (0, 0.5, 0.75, 1)] == [1, 1, 0.5, 0]
    assert learning_rate(settings.training.model_copy(update={"schedule": "constant"}), 0.99) == 1
    by_images = started(settings)
    by_images.images, by_images.seconds = 75, 1e9
    assert (by_images.fraction_done, by_images.done) == (0.75, False)
    by_time = started(tiny("paired", "training.minutes=2"), total=None)
    by_time.images, by_time.seconds = 10**9, 90
    assert (by_time.fraction_done, by_time.done) == (0.75, False)
    by_time.seconds = 120
    assert by_time.done


def test_a_discriminator_of_crops_takes_further_steps_on_earlier_crops(prepared: Prepared) -> None:
    options = ("losses.lesion_crop_adversarial=0.5", "training.fake_pool_size=3", "training.replay_steps=5")
    trainer = started(tiny("paired", *options))
    slices = BatchSampler(prepared, "train", trainer.method.needs, trainer.training)
    before = copy.deepcopy(trainer.method.discriminators["D_l"].state_dict())
    trainer.step(slices.batch(0), 0, [partial(slices.batch, 1)])
    after = trainer.method.discriminators["D_l"].state_dict()
    assert not any(torch.equal(before[name], after[name]) for name in before if name != "output.bias")
    assert set(trainer.pools) == {"G(x_p)", "R(x_h,0)", CROPS}
    assert [len(pool.stored) for pool in trainer.pools.values()] == [3, 3, 4]
    assert {"D_l", "L_Crop"} <= set(trainer.losses())
    steps = [each["step"].item() for each in trainer.optimisers["D_l"].state.values()]
    assert steps == [2 * (1 + 5)] * len(before)
    assert {each["step"].item() for each in trainer.optimisers["D_x"].state.values()} == {2}


def warmed_up(trainer: Trainer, prepared: Prepared, steps: int) -> None:
    slices = BatchSampler(prepared, "train", trainer.method.needs, trainer.training)
    views = [slices.for_warm_up(needs) for needs in trainer.method.warm_up_needs]
    for number in range(steps):
        trainer.warm_up_step([view.batch(number) for view in views], number)


@pytest.mark.parametrize("method", ["paired", "unpaired", "semi_supervised"])
def test_a_warm_up_moves_g_and_s_and_nothing_else_and_is_averaged(
    method: MethodName, prepared: Prepared
) -> None:
    trainer = started(tiny(method, "training.warm_up_images=4", "training.precision=32-true"))
    before = copy.deepcopy(trainer.method.state_dict())
    warmed_up(trainer, prepared, 2)
    after = trainer.method.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    expected = {name for name in before if name.startswith(("generators.G.", "generators.S."))}
    assert moved == expected
    assert (trainer.images, trainer.warm_up_images, trainer.pools) == (0, 4, {})
    averaged = trainer.averaged.module.state_dict()
    for name, mean in averaged.items():
        still = name.startswith("R.")
        assert torch.equal(mean, after[f"generators.{name}"]) == still, name
    assert not trainer.optimisers["D_x"].state
    assert {"L_Synthetic", "L_Seg", "L_HealthyIdentity"} == set(trainer.losses())


def test_a_discriminator_of_crops_learns_in_the_warm_up(prepared: Prepared) -> None:
    trainer = started(tiny("unpaired", "training.warm_up_images=4", "losses.lesion_crop_adversarial=0.5"))
    warmed_up(trainer, prepared, 2)
    assert {name for name, each in trainer.optimisers.items() if each.state} == {"generators", "D_l"}
    assert {"L_Crop", "D_l"} <= set(trainer.losses())


def test_a_warm_up_is_over_after_its_images_in_whole_batches() -> None:
    trainer = started(tiny("paired", "training.warm_up_images=3"))
    states = []
    for images in (0, 2, 4):
        trainer.warm_up_images = images
        states.append((trainer.warming_up, trainer.fraction_done, trainer.done))
    assert states == [(True, 0, False), (True, 0, False), (False, 0, False)]
    trainer.images = 75
    assert trainer.fraction_done == 0.75
    assert not started(tiny("cyclegan", "training.warm_up_images=3")).warming_up
    assert not started(tiny("judge", "training.warm_up_images=3")).warming_up


def test_by_time_a_warm_up_takes_its_fraction_of_the_minutes_and_the_schedule_the_rest() -> None:
    options = ["training.minutes=2", "training.warm_up_fraction=0.25", "training.warm_up_images=10000"]
    trainer, other = (started(tiny(method, *options), total=None) for method in ("paired", "cyclegan"))
    states = []
    for seconds in (0, 29, 30, 75, 120):
        trainer.seconds = other.seconds = seconds
        states.append((trainer.warming_up, trainer.fraction_done, trainer.done))
        assert (other.warming_up, other.fraction_done) == (False, seconds / 120)
    assert states == [
        *((True, 0, False), (True, 0, False), (False, 0, False)),
        *((False, 0.5, False), (False, 1, True)),
    ]


def test_a_broken_loss_in_the_warm_up_is_reported_as_such(prepared: Prepared) -> None:
    settings = tiny("unpaired", "training.warm_up_images=40")
    steep = settings.training.model_copy(update={"learning_rate": 1e30})  # beyond what settings allow
    trainer = started(settings.model_copy(update={"training": steep}))
    warmed_up(trainer, prepared, 3)
    with pytest.raises(PseudohealthyError, match="no longer a number after 6 images of warm-up; lower"):
        trainer.state()


def test_the_time_used_survives_and_a_state_without_it_is_read(trainer: Trainer) -> None:
    trainer.seconds = 12.5
    state = trainer.state()
    other = started(trainer.settings)
    other.restore(state)
    assert other.seconds == 12.5
    del state["seconds"]
    other.restore(state)
    assert other.seconds == 0


@pytest.mark.parametrize("part", ["images", "method", "averaged", "optimisers", "pools", "sums", "steps"])
def test_a_state_without_one_of_its_parts_says_what_to_delete(trainer: Trainer, part: str) -> None:
    state = trainer.state()
    for broken in ({key: value for key, value in state.items() if key != part}, {**state, part: None}):
        with pytest.raises(InputError, match=r"does not fit this run \(.+\); delete state\.pt to start anew"):
            started(trainer.settings).restore(broken)


def test_a_state_with_a_part_of_another_kind_says_what_to_delete(trainer: Trainer) -> None:
    state = trainer.state()
    complex_sums = {"sums": {"L_CC": torch.zeros((), dtype=torch.complex64)}}
    for broken in (
        {**state, "images": float("inf")},
        {**state, "pools": {"G": [3]}},
        {**state, **complex_sums},
    ):
        with pytest.raises(InputError, match=r"does not fit this run \(.+\); delete state\.pt to start anew"):
            trainer.restore(broken)


def test_a_restored_state_steps_as_the_saved_one(trainer: Trainer, prepared: Prepared) -> None:
    slices = BatchSampler(prepared, "train", trainer.method.needs, trainer.training)
    trainer.step(slices.batch(0), 0)
    other = Trainer(trainer.fabric, build(trainer.settings), trainer.settings, total=100)
    other.restore(copy.deepcopy(trainer.state()))
    for each in (trainer, other):
        each.step(slices.batch(1), 1)
    ours, theirs = trainer.method.state_dict(), other.method.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert trainer.losses() == other.losses()


def test_a_state_of_another_devices_kernels_goes_on_with_those_of_this_one(
    trainer: Trainer, prepared: Prepared
) -> None:
    """A graphics card's Adam is a fused one, and says so in its state."""
    slices = BatchSampler(prepared, "train", trainer.method.needs, trainer.training)
    trainer.step(slices.batch(0), 0)
    state = copy.deepcopy(trainer.state())
    for saved in state["optimisers"].values():
        saved["param_groups"][0]["fused"] = True
    other = started(trainer.settings)
    other.restore(state)
    assert {name: each.param_groups[0]["fused"] for name, each in other.optimisers.items()} == dict.fromkeys(
        trainer.optimisers
    )
    for each in (trainer, other):
        each.step(slices.batch(1), 1)
    ours, theirs = trainer.method.state_dict(), other.method.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_averaged_weights_follow_the_raw_ones(trainer: Trainer, prepared: Prepared) -> None:
    slices = BatchSampler(prepared, "train", trainer.method.needs, trainer.training)
    trainer.step(slices.batch(0), 0)
    first = {name: tensor.clone() for name, tensor in trainer.method.generators.state_dict().items()}
    trainer.step(slices.batch(1), 1)
    second = trainer.method.generators.state_dict()
    decay = trainer.training.ema
    for name, mean in trainer.averaged.module.state_dict().items():
        assert torch.allclose(mean, decay * first[name] + (1 - decay) * second[name], atol=1e-6)
