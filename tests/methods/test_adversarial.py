"""The forms of the adversarial losses, against cases worked by hand."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from torch import Tensor, nn

from pseudohealthy.config import Losses
from pseudohealthy.methods.adversarial import (
    Adversarial,
    Hinge,
    LeastSquares,
    Wasserstein,
    adversarial,
    gradient_penalty,
)
from pseudohealthy.networks.discriminator import Discriminator


def flat(*values: float) -> Tensor:
    """A 2 x 2 image for each value."""
    return torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).clone()


def slope(a: float) -> nn.Conv2d:
    """D(x) = a x."""
    D = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.constant_(D.weight, a)
    return D


def test_the_settings_name_the_form() -> None:
    assert isinstance(adversarial(Losses()), LeastSquares)
    chosen = adversarial(Losses(adversarial="wasserstein", gradient_penalty=7))
    assert isinstance(chosen, Wasserstein)
    assert chosen.penalty == 7


def test_least_squares_by_hand() -> None:
    D, form = slope(0.5), LeastSquares()
    assert form.generator_loss(D, flat(0.4)).item() == pytest.approx((0.2 - 1) ** 2 / 2)
    two = form.discriminator_loss(D, flat(1.0), [flat(0.4), flat(0.6)])  # the real image counts once a fake
    assert two.item() == pytest.approx((2 * (0.5 - 1) ** 2 + 0.2**2 + 0.3**2) / 2)


def test_wasserstein_by_hand() -> None:
    D, form = slope(2), Wasserstein(10)
    assert form.generator_loss(D, flat(0.4)).item() == pytest.approx(-0.8)
    penalty = (2 * 2 - 1) ** 2  # |(2, 2, 2, 2)| = 4
    one = form.discriminator_loss(D, flat(1.0), [flat(0.4)])
    assert one.item() == pytest.approx(0.8 - 2 + 10 * penalty)
    two = form.discriminator_loss(D, flat(1.0), [flat(0.4), flat(0.6)])
    assert two.item() == pytest.approx(0.8 + 1.2 - 2 * 2 + 2 * 10 * penalty)


def test_hinge_by_hand() -> None:
    D, form = slope(2), Hinge()
    assert form.generator_loss(D, flat(0.4)).item() == pytest.approx(-0.8)
    assert form.discriminator_loss(D, flat(0.3), [flat(-0.2)]).item() == pytest.approx((1 - 0.6) + (1 - 0.4))
    assert form.discriminator_loss(D, flat(0.6), [flat(-0.6)]).item() == 0  # separated by the margin
    two = form.discriminator_loss(D, flat(0.3), [flat(-0.2), flat(0.1)])
    assert two.item() == pytest.approx(2 * 0.4 + 0.6 + 1.2)


@pytest.mark.parametrize("form", [LeastSquares(), Wasserstein(10), Hinge()])
def test_a_sample_of_weight_0_does_not_matter_and_the_mean_is_over_all(form: Adversarial) -> None:
    D, weight = slope(0.7), torch.tensor([1.0, 0.0]).view(-1, 1, 1, 1)
    alone = form.generator_loss(D, flat(0.3)), form.discriminator_loss(D, flat(0.9), [flat(0.3)])
    both = (
        form.generator_loss(D, flat(0.3, 5), weight),
        form.discriminator_loss(D, flat(0.9, 7), [flat(0.3, 5)], weight),
    )
    for ours, theirs in zip(both, alone, strict=True):
        assert ours.item() == pytest.approx(theirs.item() / 2)


def test_the_penalty_has_the_gradient_that_calculus_gives() -> None:
    """Of `(2 |a| - 1)^2`, a slope on four pixels: twice differentiable, and nothing is cut off on the way."""
    D = slope(-1.5)
    gradient_penalty(D, flat(0.2, 0.4), flat(0.9, 0.1)).backward()
    assert D.weight.grad is not None
    assert D.weight.grad.item() == pytest.approx(2 * (2 * 1.5 - 1) * 2 * -1)


def test_the_penalty_is_taken_between_real_and_fake_and_leaves_both_alone() -> None:
    seen: list[Tensor] = []
    D = slope(1)
    D.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    fake = flat(0.2, 0.2).requires_grad_()
    gradient_penalty(D, flat(0.8, 0.8), fake).backward()
    (between,) = seen
    assert 0.2 < between.min() < between.max() < 0.8
    assert between[0].std() == 0  # one place a sample
    assert between[0, 0, 0, 0] != between[1, 0, 0, 0]
    assert fake.grad is None


@pytest.mark.parametrize("norm", ["instance", "layer"])
def test_the_real_discriminator_learns_a_slope_of_one_in_any_precision(norm: str) -> None:
    torch.manual_seed(0)
    D = Discriminator(4, norm=norm, activation="linear")  # type: ignore[arg-type]
    real, fake = torch.rand(2, 1, 32, 32), torch.rand(2, 1, 32, 32)
    optimiser = torch.optim.Adam(D.parameters(), 1e-2)
    penalties = []
    for _ in range(30):
        with torch.autocast("cpu", torch.bfloat16):
            penalty = gradient_penalty(D, real, fake)
        assert penalty.dtype == torch.float32
        optimiser.zero_grad()
        penalty.backward()
        optimiser.step()
        penalties.append(penalty.item())
    assert penalties[-1] < 0.1 * max(penalties[0], 0.5)
    weights = [parameter for name, parameter in D.named_parameters() if name != "output.1.bias"]
    assert all(cast(Tensor, weight.grad).isfinite().all() for weight in weights)
