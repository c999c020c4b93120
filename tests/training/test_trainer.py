"""One step of a run."""

from __future__ import annotations

import copy
from functools import partial
from typing import get_args

import pytest
import torch
from lightning_fabric import Fabric
from torch import Tensor

from fixtures.tiny_settings import tiny
from pseudohealthy.config import MethodName, PresetName, Settings
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import PseudohealthyError
from pseudohealthy.methods.factory import build
from pseudohealthy.sampling.sampler import BatchSampler
from pseudohealthy.training.trainer import Run, discriminator_steps, learning_rate


def started(settings: Settings, total: int | None = 100) -> Run:
    torch.manual_seed(0)
    return Run(Fabric(accelerator="cpu", devices=1), build(settings), settings, total)


@pytest.fixture
def run() -> Run:
    return started(tiny("unpaired", "training.learning_rate=3e-3", "training.betas=[0.3, 0.9]"))


@pytest.mark.parametrize("method", get_args(MethodName))
def test_the_configured_adam_reaches_every_player(method: MethodName) -> None:
    run = started(tiny(method, "training.learning_rate=3e-3", "training.betas=[0.3, 0.9]"))
    assert set(run.optimisers) == {"generators", *run.method.discriminators}
    for optimiser in run.optimisers.values():
        assert optimiser.param_groups[0]["betas"] == (0.3, 0.9)
        assert optimiser.param_groups[0]["lr"] == 3e-3
    of_optimisers = sum(
        len(group["params"]) for optimiser in run.optimisers.values() for group in optimiser.param_groups
    )
    assert of_optimisers == len(list(run.method.parameters()))


@pytest.mark.parametrize("preset", ["midl2019", "media2020"])
@pytest.mark.parametrize("method", get_args(MethodName))
def test_one_step_moves_every_parameter_of_every_network(
    method: MethodName, preset: PresetName, prepared: Prepared
) -> None:
    options = ["training.labelled_fraction=0.5", "training.batch_size=6", "training.precision=32-true"]
    run = started(tiny(method, *options, preset=preset))
    before = copy.deepcopy(run.method.state_dict())
    slices = BatchSampler(prepared, "train", run.method.needs, run.training)
    run.step(slices.batch(0), 0)
    after = run.method.state_dict()
    linear = (
        run.settings.networks.discriminator_activation == "linear"
        and run.settings.losses.adversarial == "wasserstein"
    )
    still = [name for name in before if torch.equal(before[name], after[name])]
    # a constant added to all of a critic's answers changes no difference between them
    assert [name for name in still if not (linear and name.endswith("output.1.bias"))] == []
    assert run.images == 6


def test_each_further_step_of_the_discriminators_is_on_its_own_batch_with_new_fakes(
    run: Run, prepared: Prepared
) -> None:
    """Not all of them on one batch: the fakes are those of the generators as they are now."""
    slices = BatchSampler(prepared, "train", run.method.needs, run.training)
    batches = [slices.batch(number) for number in range(4)]
    told: list[Tensor] = []
    run.method.discriminators["D_x"].register_forward_pre_hook(
        lambda _m, inputs: told.append(inputs[0].detach())
    )
    run.step(batches[0], 0, [partial(slices.batch, number) for number in (1, 2, 3)])
    of_generators, of_critics = told[:2], told[2:]
    assert len(of_generators) == 2
    assert len(of_critics) == 4 * 3
    for nth, batch in enumerate(batches):
        assert batch.x_h is not None
        assert torch.equal(of_critics[3 * nth], batch.x_h)
    now = run.method.generators["G"](batches[3].x_p)
    past = torch.cat([of_critics[1], of_critics[4], of_critics[7]])
    for shown, newest in zip(of_critics[10], now, strict=True):  # the newest, or one from the pool
        assert torch.equal(shown, newest) or any(torch.equal(shown, each) for each in past)
    assert (run.images, run.steps) == (2, 1)
    steps = [next(iter(run.optimisers[name].state.values()))["step"].item() for name in run.optimisers]
    assert dict(zip(run.optimisers, steps, strict=True)) == {"generators": 1, "D_x": 4, "D_m": 4}


def test_no_mask_of_a_labelled_image_is_ever_a_fake(prepared: Prepared) -> None:
    """D_m weighs each mask it is shown by whether this image has one of its own: no past one in its place."""
    run = started(tiny("semi_supervised", "training.labelled_fraction=0.5", "training.batch_size=4"))
    slices = BatchSampler(prepared, "train", run.method.needs, run.training)
    told: list[Tensor] = []
    run.method.discriminators["D_m"].register_forward_pre_hook(
        lambda _m, inputs: told.append(inputs[0].detach())
    )
    run.method.generators["S"].register_forward_hook(lambda _m, _i, output: found.append(output.detach()))
    kinds = set()
    for number in range(8):
        found: list[Tensor] = []
        batch = slices.batch(number)
        assert batch.labelled is not None
        run.step(batch, number)
        kinds |= set(batch.labelled.tolist())
        assert torch.equal(told[-1], found[0])  # S(x_p), each in its own image's place
    assert kinds == {True, False}
    assert set(run.pools) == {"G(x_p)", "R(x_h,0)"}


def test_unpaired_training_shows_d_m_past_masks(prepared: Prepared) -> None:
    run = started(tiny("unpaired", preset="midl2019"))
    slices = BatchSampler(prepared, "train", run.method.needs, run.training)
    run.step(slices.batch(0), 0)
    assert len(run.pools["S(x_p)"].kept) == 2


def test_a_logged_loss_of_a_discriminator_is_the_mean_of_its_steps(prepared: Prepared) -> None:
    """With a learning rate that moves nothing, four steps on one batch have the loss of one."""
    losses = []
    for more in (0, 3):
        run = started(tiny("cyclegan", "training.learning_rate=1e-30"))
        slices = BatchSampler(prepared, "train", run.method.needs, run.training)
        run.step(slices.batch(0), 0, [partial(slices.batch, 0)] * more)
        losses.append(run.losses())
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


def test_steps_of_the_discriminators_change_after_an_epoch() -> None:
    training = tiny("paired", preset="media2020").training
    assert [discriminator_steps(training, epoch) for epoch in (0, 24.99, 25, 300)] == [10, 10, 5, 5]
    always = training.model_copy(update={"discriminator_steps_later": None})
    assert discriminator_steps(always, 300) == 10


def test_the_learning_rate_falls_over_the_second_half_by_images_or_by_time() -> None:
    settings = tiny("paired", "training.learning_rate=1")
    assert [learning_rate(settings.training, share) for share in (0, 0.5, 0.75, 1)] == [1, 1, 0.5, 0]
    assert learning_rate(settings.training.model_copy(update={"schedule": "constant"}), 0.99) == 1
    by_images = started(settings)
    by_images.images, by_images.seconds = 75, 1e9
    assert (by_images.share, by_images.done) == (0.75, False)
    by_time = started(tiny("paired", "training.minutes=2"), total=None)
    by_time.images, by_time.seconds = 10**9, 90
    assert (by_time.share, by_time.done) == (0.75, False)
    by_time.seconds = 120
    assert by_time.done


def test_a_discriminator_of_crops_takes_steps_of_its_own_and_keeps_no_past_crops(prepared: Prepared) -> None:
    run = started(tiny("paired", "losses.lesion_crop_adversarial=0.5", "training.fake_pool_size=3"))
    slices = BatchSampler(prepared, "train", run.method.needs, run.training)
    before = copy.deepcopy(run.method.discriminators["D_l"].state_dict())
    run.step(slices.batch(0), 0, [partial(slices.batch, 1)])
    after = run.method.discriminators["D_l"].state_dict()
    assert not any(torch.equal(before[name], after[name]) for name in before if name.endswith("original"))
    assert set(run.pools) == {"G(x_p)", "R(x_h,0)"}
    assert {"D_l", "L_Crop"} <= set(run.losses())
    steps = [each["step"].item() for each in run.optimisers["D_l"].state.values()]
    assert steps == [2] * 8


def warmed_up(run: Run, prepared: Prepared, steps: int) -> None:
    slices = BatchSampler(prepared, "train", run.method.needs, run.training)
    views = [slices.for_warm_up(needs) for needs in run.method.warm_up_needs]
    for number in range(steps):
        run.warm_up_step([view.batch(number) for view in views], number)


@pytest.mark.parametrize("method", ["paired", "unpaired", "semi_supervised"])
def test_a_warm_up_moves_g_and_s_and_nothing_else_and_is_averaged(
    method: MethodName, prepared: Prepared
) -> None:
    run = started(tiny(method, "training.warm_up_images=4", "training.precision=32-true"))
    before = copy.deepcopy(run.method.state_dict())
    warmed_up(run, prepared, 2)
    after = run.method.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    expected = {name for name in before if name.startswith(("generators.G.", "generators.S."))}
    assert moved == expected
    assert (run.images, run.warm_up_images, run.pools) == (0, 4, {})
    averaged = run.averaged.module.state_dict()
    for name, mean in averaged.items():
        still = name.startswith("R.")
        assert torch.equal(mean, after[f"generators.{name}"]) == still, name
    assert not run.optimisers["D_x"].state
    assert {"L_Synthetic", "L_Seg", "L_HealthyIdentity"} == set(run.losses())


def test_a_discriminator_of_crops_learns_in_the_warm_up(prepared: Prepared) -> None:
    run = started(tiny("unpaired", "training.warm_up_images=4", "losses.lesion_crop_adversarial=0.5"))
    warmed_up(run, prepared, 2)
    assert {name for name, each in run.optimisers.items() if each.state} == {"generators", "D_l"}
    assert {"L_Crop", "D_l"} <= set(run.losses())


def test_a_warm_up_is_over_after_its_images_in_whole_batches() -> None:
    run = started(tiny("paired", "training.warm_up_images=3"))
    found = []
    for images in (0, 2, 4):
        run.warm_up_images = images
        found.append((run.warming_up, run.share, run.done))
    assert found == [(True, 0, False), (True, 0, False), (False, 0, False)]
    run.images = 75
    assert run.share == 0.75
    assert not started(tiny("cyclegan", "training.warm_up_images=3")).warming_up
    assert not started(tiny("judge", "training.warm_up_images=3")).warming_up


def test_by_time_a_warm_up_takes_its_share_of_the_minutes_and_the_schedule_what_is_left() -> None:
    options = ["training.minutes=2", "training.warm_up_fraction=0.25", "training.warm_up_images=10000"]
    run, other = (started(tiny(method, *options), total=None) for method in ("paired", "cyclegan"))
    found = []
    for seconds in (0, 29, 30, 75, 120):
        run.seconds = other.seconds = seconds
        found.append((run.warming_up, run.share, run.done))
        assert (other.warming_up, other.share) == (False, seconds / 120)
    assert found == [
        *((True, 0, False), (True, 0, False), (False, 0, False)),
        *((False, 0.5, False), (False, 1, True)),
    ]


def test_a_broken_loss_in_the_warm_up_is_told_of_as_such(prepared: Prepared) -> None:
    run = started(tiny("unpaired", "training.warm_up_images=40", "training.learning_rate=1e30"))
    warmed_up(run, prepared, 3)
    with pytest.raises(PseudohealthyError, match="no longer a number at image 6 of the warm-up; lower"):
        run.state()


def test_the_time_used_survives_and_a_state_from_before_time_was_kept_is_read(run: Run) -> None:
    run.seconds = 12.5
    state = run.state()
    other = started(run.settings)
    other.restore(state)
    assert other.seconds == 12.5
    del state["seconds"]
    other.restore(state)
    assert other.seconds == 0


def test_a_restored_state_steps_as_the_saved_one(run: Run, prepared: Prepared) -> None:
    slices = BatchSampler(prepared, "train", run.method.needs, run.training)
    run.step(slices.batch(0), 0)
    other = Run(run.fabric, build(run.settings), run.settings, total=100)
    other.restore(copy.deepcopy(run.state()))
    for each in (run, other):
        each.step(slices.batch(1), 1)
    ours, theirs = run.method.state_dict(), other.method.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert run.losses() == other.losses()


def test_averaged_weights_follow_the_raw_ones(run: Run, prepared: Prepared) -> None:
    slices = BatchSampler(prepared, "train", run.method.needs, run.training)
    run.step(slices.batch(0), 0)
    first = {name: tensor.clone() for name, tensor in run.method.generators.state_dict().items()}
    run.step(slices.batch(1), 1)
    second = run.method.generators.state_dict()
    decay = run.training.ema
    for name, mean in run.averaged.module.state_dict().items():
        assert torch.allclose(mean, decay * first[name] + (1 - decay) * second[name], atol=1e-6)
