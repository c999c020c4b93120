"""CycleGAN against cases worked by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pseudohealthy.config import Losses, Networks
from pseudohealthy.methods.cyclegan import CycleGAN
from pseudohealthy.sampling.batch import Batch

TINY = Networks(width=4, discriminator_width=4)


class Times(nn.Module):
    """`a x`."""

    def __init__(self, a: float) -> None:
        super().__init__()
        self.a = a

    def forward(self, x: Tensor) -> Tensor:
        return self.a * x


def flat(value: float) -> Tensor:
    return torch.full((1, 1, 2, 2), value)


CASE = Batch(x_p=flat(0.8), x_h=flat(0.4))


def by_hand(losses: Losses) -> CycleGAN:
    """G halves, F doubles and a half, D_x gives the image back, D_p its half."""
    method = CycleGAN(TINY, losses)
    method.generators["G"], method.generators["F"] = Times(0.5), Times(2.5)
    method.discriminators["D_x"], method.discriminators["D_p"] = Times(1), Times(0.5)
    return method


def test_its_terms_by_hand() -> None:
    method = by_hand(Losses(cycle=10, gan_image=2))
    assert method.needs == {"healthy"}
    terms = method.generator_terms(CASE)
    # G(x_p) = .4, F of it 1; F(x_h) = 1, G of it .5
    assert terms.losses["L_CC"].item() == pytest.approx(abs(1 - 0.8) + abs(0.5 - 0.4))
    assert terms.losses["L_GAN"].item() == pytest.approx(((0.4 - 1) ** 2 + (0.5 - 1) ** 2) / 2)
    assert set(terms.losses) == {"L_CC", "L_GAN"}
    assert terms.total.item() == pytest.approx(10 * 0.3 + 2 * 0.305)


def test_each_discriminator_knows_one_kind_of_real_images() -> None:
    method = by_hand(Losses())
    losses = method.discriminator_losses(CASE, method.fakes(CASE))
    assert losses["D_x"].item() == pytest.approx(((0.4 - 1) ** 2 + 0.4**2) / 2)
    assert losses["D_p"].item() == pytest.approx(((0.4 - 1) ** 2 + 0.5**2) / 2)


def test_the_identity_term_is_an_option_and_of_weight_five_in_zhu_2017() -> None:
    terms = by_hand(Losses(cyclegan_identity=5)).generator_terms(CASE)
    assert terms.losses["L_Identity"].item() == pytest.approx(abs(0.2 - 0.4) + abs(2 - 0.8))
    assert terms.weights["L_Identity"] == 5


def test_factors_of_the_papers_own_cycles_are_not_its() -> None:
    plain, other = (by_hand(losses) for losses in (Losses(), Losses(cycle_parts=(2, 3, 5), gan_parts=(7, 0))))
    assert torch.equal(plain.generator_terms(CASE).total, other.generator_terms(CASE).total)
