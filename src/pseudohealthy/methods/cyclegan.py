"""CycleGAN (Zhu 2017), the stronger method that the paper compares with: no mask, no pair, two cycles."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from pseudohealthy.config import Losses, Networks
from pseudohealthy.methods import factory
from pseudohealthy.methods.adversarial import adversarial
from pseudohealthy.methods.base import LossTerms, Method, require
from pseudohealthy.methods.losses import l1
from pseudohealthy.sampling.batch import Batch


class CycleGAN(Method):
    """G: pathological to healthy, F: healthy to pathological, and a discriminator for each kind (section 4).

    Args:
        networks: widths and variants; G and F are alike.
        losses: weights and forms.
    """

    def __init__(self, networks: Networks, losses: Losses) -> None:
        super().__init__()
        self.losses, self.adversarial = losses, adversarial(losses)
        self.needs = frozenset({"healthy"})
        self.generators = nn.ModuleDict({"G": factory.generator(networks), "F": factory.generator(networks)})
        self.discriminators = factory.discriminators(networks, "D_x", "D_p")

    def fakes(self, batch: Batch) -> dict[str, Tensor]:
        """G(x_p) and F(x_h)."""
        G, F = self.generators["G"], self.generators["F"]
        return {"G(x_p)": G(require(batch.x_p)), "F(x_h)": F(require(batch.x_h))}

    def generator_terms(self, batch: Batch) -> LossTerms:
        """`lambda_1 L_CC + lambda_2 L_GAN`, and the identity term where the settings ask for it."""
        G, F = self.generators["G"], self.generators["F"]
        D_x, D_p = self.discriminators["D_x"], self.discriminators["D_p"]
        x_p, x_h = require(batch.x_p), require(batch.x_h)
        fakes = self.fakes(batch)
        x_tilde_h, x_tilde_p = fakes["G(x_p)"], fakes["F(x_h)"]
        losses = {
            "L_CC": l1(F(x_tilde_h), x_p) + l1(G(x_tilde_p), x_h),
            "L_GAN": self.adversarial.generator_loss(D_x, x_tilde_h)
            + self.adversarial.generator_loss(D_p, x_tilde_p),
        }
        weights = {"L_CC": self.losses.cycle, "L_GAN": self.losses.gan_image}
        if self.losses.cyclegan_identity:
            losses["L_Identity"] = l1(G(x_h), x_h) + l1(F(x_p), x_p)
            weights["L_Identity"] = self.losses.cyclegan_identity
        return LossTerms(losses, weights, fakes)

    def discriminator_losses(self, batch: Batch, fakes: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """D_x separates healthy slices from G's, D_p pathological ones from F's."""
        D_x, D_p = self.discriminators["D_x"], self.discriminators["D_p"]
        return {
            "D_x": self.adversarial.discriminator_loss(D_x, require(batch.x_h), [fakes["G(x_p)"]]),
            "D_p": self.adversarial.discriminator_loss(D_p, require(batch.x_p), [fakes["F(x_h)"]]),
        }
