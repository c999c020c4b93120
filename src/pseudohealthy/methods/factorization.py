"""The paper's method: generator G, segmentor S and reconstructor R in two cycles (its sections 3.3, 3.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pseudohealthy.config import Losses, Networks
from pseudohealthy.methods import factory
from pseudohealthy.methods.adversarial import Hinge, adversarial
from pseudohealthy.methods.base import LossTerms, Method, require
from pseudohealthy.methods.losses import (
    SampleWeight,
    discriminator_input,
    frozen,
    gradient_l1_inside,
    l1,
    l1_inside,
    lesion_crops,
    noise_like,
    soft_dice,
)
from pseudohealthy.networks.segmentor import Segmentor
from pseudohealthy.sampling.batch import Batch, Need

Supervision = Literal["paired", "unpaired", "semi_supervised"]
CROPS = "crops of G(x_p)"  # D_l's fakes, and what is real in their place; see `_crops`
REACH = 3  # pixels beyond the mask, to which a lesion's soft edge reaches
NEEDS: Mapping[Supervision, frozenset[Need]] = {
    "paired": frozenset({"healthy", "lesion"}),
    "unpaired": frozenset({"healthy", "library"}),
    "semi_supervised": frozenset({"healthy", "labelled", "library"}),
}
# What S learns from in the warm-up beside synthetic lesions
OWN_MASKS: Mapping[Supervision, tuple[frozenset[Need], ...]] = {
    "paired": (frozenset({"lesion"}),),
    "unpaired": (),
    "semi_supervised": (frozenset({"labelled"}),),
}


class Factorization(Method):
    """A pathological image factorised into a healthy image (G) and a mask (S), recombined by R.

    Args:
        networks: widths and variants.
        losses: weights and forms.
        supervision: S learns from its image's own mask (L_Seg), from masks of other volumes (L_GAN2), or
            from its own where the image's volume has one and else from those of others.
    """

    def __init__(self, networks: Networks, losses: Losses, *, supervision: Supervision) -> None:
        super().__init__()
        self.losses, self.supervision, self.adversarial = losses, supervision, adversarial(losses)
        self.hinge = Hinge()
        self.needs = NEEDS[supervision]
        self.needs |= {"synthetic"} if losses.synthetic_supervision else set()
        self.needs |= {"lesion_free"} if losses.healthy_identity else set()
        mixed = supervision == "semi_supervised" or (supervision == "unpaired" and "synthetic" in self.needs)
        if mixed:  # an earlier mask would get the weight of another image
            self.unpooled = frozenset({"S(x_p)"})
        self.generators = nn.ModuleDict(
            {
                "G": factory.generator(networks),
                "R": factory.reconstructor(networks),
                "S": factory.segmentor(networks),
            }
        )
        symbols = ("D_x",) if supervision == "paired" else ("D_x", "D_m")
        self.discriminators = factory.discriminators(networks, *symbols)
        if losses.lesion_crop_adversarial:
            self.discriminators["D_l"] = factory.patch_discriminator(networks)
            self.unpooled |= {CROPS}
            self.replayed = frozenset({CROPS})
        if losses.synthetic_supervision:
            of_synthetic: frozenset[Need] = frozenset({"synthetic"})
            of_synthetic |= {"lesion_free"} if losses.healthy_identity else set()
            of_both = supervision == "paired" and losses.lesion_crop_adversarial
            self.warm_up_needs = (self.needs,) if of_both else (of_synthetic, *OWN_MASKS[supervision])

    def fakes(self, batch: Batch) -> dict[str, Tensor]:
        """G(x_p) and R(x_h, 0) for D_x; S(x_p) for D_m and crops of G(x_p) for D_l, where it has them."""
        G, R, S = (self.generators[name] for name in "GRS")
        x_p, x_h = require(batch.x_p), require(batch.x_h)
        made = {"G(x_p)": G(x_p), "R(x_h,0)": R(x_h, torch.zeros_like(x_h))}
        if "D_m" in self.discriminators:
            made["S(x_p)"] = S(x_p)
        return {**made, **self._crops(batch, made["G(x_p)"])}

    def generator_terms(self, batch: Batch) -> LossTerms:
        """`lambda_1 L_CC + lambda_2 L_GAN1`, and lambda_3 times L_Seg or L_GAN2."""
        G, R, S = (self.generators[name] for name in "GRS")
        D_x = self.discriminators["D_x"]
        x_p, x_h = require(batch.x_p), require(batch.x_h)
        m_h = torch.zeros_like(x_h)
        fakes = self.fakes(batch)

        # Cycle P-H
        x_tilde_h = fakes["G(x_p)"]
        m_tilde_p = fakes["S(x_p)"] if "S(x_p)" in fakes else S(x_p)
        x_hat_p = R(self._with_noise(x_tilde_h), m_tilde_p)
        # Cycle H-H
        x_tilde = fakes["R(x_h,0)"]
        m_hat_h, x_hat_h = S(x_tilde), G(x_tilde)

        image_p, image_h, mask_h = self.losses.cycle_parts
        gan_p, gan_h = self.losses.gan_parts
        generator_loss = self.adversarial.generator_loss
        losses = {
            "L_CC": image_p * l1(x_hat_p, x_p) + image_h * l1(x_hat_h, x_h) + mask_h * l1(m_hat_h, m_h),
            "L_GAN1": gan_p * generator_loss(D_x, x_tilde_h) + gan_h * generator_loss(D_x, x_tilde),
            **self._mask_losses(batch, x_tilde_h, m_tilde_p),
            **self._synthetic_losses(batch, x_tilde_h),
            **self._crop_losses(fakes),
            **self._residual_lesion_losses(x_tilde_h),
            **self._healthy_identity_losses(batch),
        }
        return LossTerms(losses, self._weights(), fakes)

    def discriminator_losses(self, batch: Batch, fakes: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The losses of D_x (real images counted once a cycle), D_m and D_l: L_GAN1, L_GAN2 and L_Crop."""
        discriminator_loss, losses = self.adversarial.discriminator_loss, {}
        if "G(x_p)" in fakes:
            images = [fakes["G(x_p)"], fakes["R(x_h,0)"]]
            losses["D_x"] = discriminator_loss(self.discriminators["D_x"], require(batch.x_h), images)
        if "S(x_p)" in fakes:
            real, fake = (self._for_discriminator(m) for m in (require(batch.m), fakes["S(x_p)"]))
            weight = 1 - self._own_mask_weight(batch)
            losses["D_m"] = discriminator_loss(self.discriminators["D_m"], real, [fake], weight)
        if CROPS in fakes:
            fake, real = fakes[CROPS].split(2, 1)
            losses["D_l"] = self.hinge.discriminator_loss(
                self.discriminators["D_l"], real, [fake], _has_mask(fake)
            )
        return losses

    def warm_up_terms(self, *batches: Batch) -> LossTerms:
        """The supervised losses of G and S: no cycle, no R, no D_x and no D_m.

        Args:
            batches: first images with a synthetic lesion, for G, and slices without a lesion, for S; then,
                but not for an unpaired method, real images with their masks, for S. Or, for a paired method
                with a D_l, one batch of both kinds, for both.
        """
        for_g, for_s = batches[0], batches[-1]
        x_tilde_h = self.generators["G"](require(for_g.x_p))
        fakes = self._crops(for_g, x_tilde_h)
        losses = {
            **self._synthetic_losses(for_g, x_tilde_h),
            **self._crop_losses(fakes),
            **self._segmentor_warm_up_losses(for_s, for_g.x_k),
        }
        real_too = "lesion" in self.warm_up_needs[0]
        if real_too and self.losses.identity_outside_lesion:
            losses |= self._identity_outside_lesion(for_g, x_tilde_h)
        return LossTerms(losses, self._weights(), fakes)

    def _segmentor_warm_up_losses(self, batch: Batch, x_k: Tensor | None) -> dict[str, Tensor]:
        """L_Seg and S's part of L_HealthyIdentity, each in a random half of the images: S runs once."""
        x, m_p, S = require(batch.x_p), require(batch.m_p), cast(Segmentor, self.generators["S"])
        if x_k is None:
            return {"L_Seg": soft_dice(S(x), m_p, self.losses.dice, self._own_mask_weight(batch))}
        lesion = (noise_like(x[..., :1, :1]) > 0).to(x.dtype)
        logits = S.logits(lesion * x + (1 - lesion) * x_k)
        weight = 2 * lesion * self._own_mask_weight(batch)  # twice, for half of the images
        return {
            "L_Seg": soft_dice(logits.sigmoid(), m_p, self.losses.dice, weight),
            "L_HealthyIdentity": (2 * (1 - lesion) * F.softplus(logits)).mean(),
        }

    def _mask_losses(self, batch: Batch, x_tilde_h: Tensor, m_tilde_p: Tensor) -> dict[str, Tensor]:
        """L_Seg over the images with a mask of their own, L_GAN2 over those without."""
        own, losses = self._own_mask_weight(batch), {}
        if self.supervision != "unpaired" or batch.synthetic is not None:
            m_p = require(batch.m_p)
            losses["L_Seg"] = soft_dice(m_tilde_p, m_p, self.losses.dice, own)
            if self.losses.identity_outside_lesion:
                losses |= self._identity_outside_lesion(batch, x_tilde_h)
        if "D_m" in self.discriminators:
            D_m, m = self.discriminators["D_m"], self._for_discriminator(m_tilde_p)
            losses["L_GAN2"] = self.adversarial.generator_loss(D_m, m, 1 - own)
        return losses

    def _identity_outside_lesion(self, batch: Batch, x_tilde_h: Tensor) -> dict[str, Tensor]:
        """The change that G makes outside the lesion, where its place is known."""
        outside = self._own_mask_weight(batch) * (1 - require(batch.m_p))
        return {"L_IdentityOutside": l1(outside * x_tilde_h, outside * require(batch.x_p))}

    def _synthetic_losses(self, batch: Batch, x_tilde_h: Tensor) -> dict[str, Tensor]:
        """Losses of G's images of synthetic lesions against the healthy slices under them."""
        if batch.synthetic is None:
            return {}
        weight, m_p = _synthetic(batch), require(batch.m_p)
        output, truth = weight * x_tilde_h, weight * require(batch.truth)
        losses = {"L_Synthetic": l1(output, truth) + l1_inside(output, truth, m_p)}
        if self.losses.gradient:
            losses["L_Gradient"] = gradient_l1_inside(output, truth, m_p)
        return losses

    def _crop_losses(self, fakes: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What D_l says of the crops of G's images."""
        if CROPS not in fakes:
            return {}
        fake, _ = fakes[CROPS].split(2, 1)
        return {"L_Crop": self.hinge.generator_loss(self.discriminators["D_l"], fake, _has_mask(fake))}

    def _crops(self, batch: Batch, x_tilde_h: Tensor) -> dict[str, Tensor]:
        """Crops for D_l `(N, 4, H, W)`; nothing where the method has no D_l.

        The first two channels are the fake and its mask: x_p with G(x_p) in the lesion's place, for what G
        does elsewhere is judged by other losses. The others are what is real, and the mask as far as that
        is brain. Masks are black where the lesion's place is not known.
        """
        if "D_l" not in self.discriminators:
            return {}
        m_p, real = self._own_mask_weight(batch) * require(batch.m_p), _without_lesion(batch)
        near = F.max_pool2d(m_p, 2 * REACH + 1, stride=1, padding=REACH)
        fake = near * x_tilde_h + (1 - near) * require(batch.x_p)
        return {CROPS: lesion_crops(torch.cat([fake, m_p, real, m_p * (real > 0)], 1), m_p)}

    def _residual_lesion_losses(self, x_tilde_h: Tensor) -> dict[str, Tensor]:
        """The lesion that S, frozen, finds in G's image."""
        if not self.losses.residual_lesion:
            return {}
        S = cast(Segmentor, self.generators["S"])
        with frozen(S):
            return {"L_ResidualLesion": F.softplus(S.logits(x_tilde_h)).mean()}  # -log(1 - S)

    def _healthy_identity_losses(self, batch: Batch) -> dict[str, Tensor]:
        """The change that G makes to slices without a lesion, and the lesion that S finds there."""
        if batch.x_k is None:
            return {}
        x_k, S = batch.x_k, cast(Segmentor, self.generators["S"])
        return {"L_HealthyIdentity": l1(self.generators["G"](x_k), x_k) + F.softplus(S.logits(x_k)).mean()}

    def _weights(self) -> dict[str, float]:
        return {
            "L_CC": self.losses.cycle,
            "L_GAN1": self.losses.gan_image,
            "L_Seg": self.losses.segmentation,
            "L_IdentityOutside": self.losses.identity_outside_lesion,
            "L_GAN2": self.losses.gan_mask,
            "L_Synthetic": self.losses.synthetic_supervision,
            "L_Gradient": self.losses.gradient,
            "L_Crop": self.losses.lesion_crop_adversarial,
            "L_ResidualLesion": self.losses.residual_lesion,
            "L_HealthyIdentity": self.losses.healthy_identity,
        }

    def _own_mask_weight(self, batch: Batch) -> SampleWeight:
        """1 for an image whose own mask S learns from, 0 for any other."""
        if self.supervision == "paired":
            return 1.0
        known = [part for part in (batch.labelled, batch.synthetic) if part is not None]
        return torch.stack(known).any(0).float().view(-1, 1, 1, 1) if known else 0.0

    def _with_noise(self, x: Tensor) -> Tensor:
        """`x`, the input of R, with the noise of `losses.cycle_noise`; at 0 nothing is drawn."""
        noise = self.losses.cycle_noise
        return x + noise * noise_like(x) if noise else x

    def _for_discriminator(self, m: Tensor) -> Tensor:
        return discriminator_input(m, self.losses.mask_discriminator_input)


def _without_lesion(batch: Batch) -> Tensor:
    """`(N, 1, H, W)`: what D_l takes for real: the truth of a synthetic lesion, and x_h beside a real one."""
    if batch.x_h is None:
        return require(batch.truth)
    return torch.where(_synthetic(batch) > 0, require(batch.truth), batch.x_h)


def _has_mask(crops: Tensor) -> Tensor:
    """`(N, 1, 1, 1)`: 1 for crops `(N, 2, H, W)` around a lesion whose place is known, 0 for any other."""
    return (crops[:, 1:].amax((1, 2, 3), keepdim=True) > 0).to(crops.dtype)


def _synthetic(batch: Batch) -> Tensor:
    """`(N, 1, 1, 1)`: 1 for an image with a synthetic lesion, 0 for any other."""
    return require(batch.synthetic).float().view(-1, 1, 1, 1)
