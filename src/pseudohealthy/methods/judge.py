"""The judge f_pre: a segmentor of S's structure, trained on pathological slices with Dice (section 4.2)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from pseudohealthy.config import Losses, Networks
from pseudohealthy.data.slices import Batch
from pseudohealthy.methods.base import Method, Terms, asked_for
from pseudohealthy.methods.losses import soft_dice
from pseudohealthy.networks.segmentor import Segmentor


class Judge(Method):
    """f_pre: counts the disease that is left in a synthetic image.

    Args:
        networks: S's width and flavour.
        losses: the form of Dice.
    """

    def __init__(self, networks: Networks, losses: Losses) -> None:
        super().__init__()
        self.losses = losses
        self.needs = frozenset({"lesion"})
        segmentor = Segmentor(
            networks.segmentor_width, norm=networks.norm, residual=networks.segmentor_residual
        )
        self.generators = nn.ModuleDict({"S": segmentor})
        self.discriminators = nn.ModuleDict()

    def generator_terms(self, batch: Batch) -> Terms:
        """`L_Seg` alone."""
        dice = soft_dice(self.generators["S"](batch.x_p), asked_for(batch.m_p), self.losses.dice)
        return Terms({"L_Seg": dice}, {"L_Seg": self.losses.segmentation})

    def discriminator_losses(
        self,
        batch: Batch,  # noqa: ARG002
        fakes: Mapping[str, Tensor],  # noqa: ARG002
    ) -> dict[str, Tensor]:
        """None: a judge has no opponent."""
        return {}
