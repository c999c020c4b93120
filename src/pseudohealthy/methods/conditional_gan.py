"""The conditional GAN that the paper compares with: G and D_x, an adversarial loss, no mask, no pair."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from pseudohealthy.config import Losses, Networks
from pseudohealthy.methods import factory
from pseudohealthy.methods.adversarial import adversarial
from pseudohealthy.methods.base import LossTerms, Method, require
from pseudohealthy.sampling.batch import Batch


class ConditionalGAN(Method):
    """G makes healthy images of pathological ones, trained against D_x alone (section 4).

    Args:
        networks: widths and variants.
        losses: the form of the adversarial loss.
    """

    def __init__(self, networks: Networks, losses: Losses) -> None:
        super().__init__()
        self.losses, self.adversarial = losses, adversarial(losses)
        self.needs = frozenset({"healthy"})
        self.generators = nn.ModuleDict({"G": factory.generator(networks)})
        self.discriminators = factory.discriminators(networks, "D_x")

    def fakes(self, batch: Batch) -> dict[str, Tensor]:
        """G(x_p)."""
        return {"G(x_p)": self.generators["G"](require(batch.x_p))}

    def generator_terms(self, batch: Batch) -> LossTerms:
        """`L_GAN` alone."""
        fakes = self.fakes(batch)
        loss = self.adversarial.generator_loss(self.discriminators["D_x"], fakes["G(x_p)"])
        return LossTerms({"L_GAN": loss}, {"L_GAN": self.losses.gan_image}, fakes)

    def discriminator_losses(self, batch: Batch, fakes: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """D_x's loss, the other side of L_GAN."""
        D_x, x_h = self.discriminators["D_x"], require(batch.x_h)
        return {"D_x": self.adversarial.discriminator_loss(D_x, x_h, [fakes["G(x_p)"]])}
