"""The judge f_pre: a segmentor of S's structure, trained on slices with and without a lesion (section 6)."""

from __future__ import annotations

from typing import cast

import torch.nn.functional as F
from torch import nn

from pseudohealthy.config import Losses, Networks
from pseudohealthy.methods import factory
from pseudohealthy.methods.base import LossTerms, Method, require
from pseudohealthy.methods.losses import soft_dice
from pseudohealthy.networks.segmentor import Segmentor
from pseudohealthy.sampling.batch import Batch


class Judge(Method):
    """f_pre: segments the lesion that is left in a pseudo-healthy image.

    Args:
        networks: S's width and variant.
        losses: the form of Dice, and the weights of cross-entropy in slices with and without a lesion. Where
            the weight of slices without a lesion is 0, none are drawn.
    """

    averaged = True

    def __init__(self, networks: Networks, losses: Losses) -> None:
        super().__init__()
        self.losses = losses
        self.needs = frozenset({"lesion", "lesion_free_balanced"} if losses.healthy_negatives else {"lesion"})
        self.generators = nn.ModuleDict({"S": factory.segmentor(networks)})
        self.discriminators = nn.ModuleDict()

    def generator_terms(self, batch: Batch) -> LossTerms:
        """`L_Seg`, and where their weights are above 0, cross-entropy and `-log(1 - S(x_k))`."""
        S = cast(Segmentor, self.generators["S"])
        m_p = require(batch.m_p)
        logits = S.logits(require(batch.x_p))
        losses = {"L_Seg": soft_dice(logits.sigmoid(), m_p, self.losses.dice)}
        if self.losses.segmentation_cross_entropy:
            losses["L_CrossEntropy"] = F.binary_cross_entropy_with_logits(logits, m_p)
        if self.losses.healthy_negatives:
            losses["L_Negatives"] = F.softplus(S.logits(require(batch.x_k))).mean()  # -log(1 - S)
        weights = {
            "L_Seg": self.losses.segmentation,
            "L_CrossEntropy": self.losses.segmentation_cross_entropy,
            "L_Negatives": self.losses.healthy_negatives,
        }
        return LossTerms(losses, weights)
