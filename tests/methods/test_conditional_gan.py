"""The conditional GAN: G, D_x, no more."""

from __future__ import annotations

import pytest
import torch

from pseudohealthy.config import Losses, Networks
from pseudohealthy.methods.conditional_gan import ConditionalGAN
from pseudohealthy.sampling.batch import Batch

TINY = Networks(width=4, discriminator_width=4)


def test_both_sides_are_those_of_least_squares_on_images_alone() -> None:
    method = ConditionalGAN(TINY, Losses(gan_image=3))
    assert method.needs == {"healthy"}
    batch = Batch(torch.rand(2, 1, 32, 32), x_h=torch.rand(2, 1, 32, 32))
    terms = method.generator_terms(batch)
    G, D_x = method.generators["G"], method.discriminators["D_x"]
    fake = G(batch.x_p)
    assert terms.total.item() == pytest.approx(3 * ((D_x(fake) - 1) ** 2).mean().item() / 2)
    loss = method.discriminator_losses(batch, terms.fakes)["D_x"].item()
    of_real, of_fake = ((D_x(batch.x_h) - 1) ** 2).mean().item(), (D_x(fake) ** 2).mean().item()
    assert loss == pytest.approx((of_real + of_fake) / 2)
