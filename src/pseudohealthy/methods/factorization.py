"""The paper's method: G, S and R in two cycles, paired or unpaired (sections 3.3 and 3.4 of the paper)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pseudohealthy.config import Losses, Networks
from pseudohealthy.data.slices import Batch
from pseudohealthy.methods.base import Method, Terms, asked_for
from pseudohealthy.methods.losses import as_shown, l1, least_squares, soft_dice
from pseudohealthy.networks.discriminator import Discriminator
from pseudohealthy.networks.generator import Generator
from pseudohealthy.networks.reconstructor import Reconstructor
from pseudohealthy.networks.segmentor import Segmentor


class Factorization(Method):
    """Pathology factorised into a healthy image and a mask, recombined by R.

    Args:
        networks: widths and flavours.
        losses: weights and forms.
        paired: S learns from its image's own mask (L_Seg), or from masks of other volumes (L_GAN2).
    """

    def __init__(self, networks: Networks, losses: Losses, *, paired: bool) -> None:
        super().__init__()
        self.losses, self.paired = losses, paired
        self.needs = frozenset({"healthy", "lesion"} if paired else {"healthy", "bank"})
        norm, output = networks.norm, networks.output
        self.generators = nn.ModuleDict(
            {
                "G": Generator(networks.width, norm=norm, output=output),
                "R": Reconstructor(networks.width, norm=norm, output=output),
                "S": Segmentor(networks.segmentor_width, norm=norm, residual=networks.segmentor_residual),
            }
        )
        critics = ("D_x",) if paired else ("D_x", "D_m")
        self.discriminators = nn.ModuleDict(
            {name: Discriminator(networks.discriminator_width, norm=norm) for name in critics}
        )

    def generator_terms(self, batch: Batch) -> Terms:
        """`lambda_1 L_CC + lambda_2 L_GAN1 + lambda_3 L_Seg`, or `... + lambda_3 L_GAN2` when unpaired."""
        G, R, S = (self.generators[name] for name in "GRS")
        D_x = self.discriminators["D_x"]
        x_p, x_h = batch.x_p, asked_for(batch.x_h)
        m_h = torch.zeros_like(x_h)

        # Cycle P-H
        x_tilde_h, m_tilde_p = G(x_p), S(x_p)
        x_hat_p = R(x_tilde_h, m_tilde_p)
        # Cycle H-H
        x_tilde = R(x_h, m_h)
        m_hat_h, x_hat_h = S(x_tilde), G(x_tilde)

        losses = {
            "L_CC": l1(x_hat_p, x_p) + l1(x_hat_h, x_h) + l1(m_hat_h, m_h),
            "L_GAN1": (least_squares(D_x(x_tilde_h), 1) + least_squares(D_x(x_tilde), 1)) / 2,
        }
        weights = {"L_CC": self.losses.cycle, "L_GAN1": self.losses.gan_image}
        fakes = {"G(x_p)": x_tilde_h.detach(), "R(x_h,0)": x_tilde.detach()}
        if self.paired:
            m_p = asked_for(batch.m_p)
            losses["L_Seg"] = soft_dice(m_tilde_p, m_p, self.losses.dice)
            weights["L_Seg"] = self.losses.segmentation
            if self.losses.outside:
                losses["L_Outside"] = l1((1 - m_p) * x_tilde_h, (1 - m_p) * x_p)
                weights["L_Outside"] = self.losses.outside
        else:
            losses["L_GAN2"] = least_squares(self._judged_mask(m_tilde_p), 1) / 2
            weights["L_GAN2"] = self.losses.gan_mask
            fakes["S(x_p)"] = m_tilde_p.detach()
        return Terms(losses, weights, fakes)

    def discriminator_losses(self, batch: Batch, fakes: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """D_x's side of L_GAN1 (real counted once a cycle) and, unpaired, D_m's side of L_GAN2."""
        D_x = self.discriminators["D_x"]
        real = least_squares(D_x(asked_for(batch.x_h)), 1)
        fake = least_squares(D_x(fakes["G(x_p)"]), 0) / 2 + least_squares(D_x(fakes["R(x_h,0)"]), 0) / 2
        losses = {"D_x": real + fake}
        if not self.paired:
            real_masks = least_squares(self._judged_mask(asked_for(batch.m)), 1)
            losses["D_m"] = (real_masks + least_squares(self._judged_mask(fakes["S(x_p)"]), 0)) / 2
        return losses

    def _judged_mask(self, m: Tensor) -> Tensor:
        judged: Tensor = self.discriminators["D_m"](as_shown(m, self.losses.mask_critic_input))
        return judged
