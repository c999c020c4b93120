"""The judge f_pre: a segmentor of S's structure, trained on pathological slices with Dice (section 4.2)."""

from __future__ import annotations

import torch
from torch import nn

from pseudohealthy.config import Losses, Networks
from pseudohealthy.data.slices import Batch
from pseudohealthy.methods import parts
from pseudohealthy.methods.base import Method, Terms, asked_for
from pseudohealthy.methods.losses import l1, soft_dice


class Judge(Method):
    """f_pre: counts the disease that is left in a synthetic image.

    Args:
        networks: S's width and flavour.
        losses: the form of Dice, and whether healthy slices are seen too.
    """

    def __init__(self, networks: Networks, losses: Losses) -> None:
        super().__init__()
        self.losses = losses
        self.needs = frozenset({"lesion", "healthy"} if losses.healthy else {"lesion"})
        self.generators = nn.ModuleDict({"S": parts.segmentor(networks)})
        self.discriminators = nn.ModuleDict()

    def generator_terms(self, batch: Batch) -> Terms:
        """`L_Seg`, and what is found in healthy slices where the settings ask for it."""
        S, x_p, m_p = self.generators["S"], asked_for(batch.x_p), asked_for(batch.m_p)
        losses = {"L_Seg": soft_dice(S(x_p), m_p, self.losses.dice)}
        weights = {"L_Seg": self.losses.segmentation}
        if self.losses.healthy:
            m_h = S(asked_for(batch.x_h))
            losses["L_Healthy"], weights["L_Healthy"] = l1(m_h, torch.zeros_like(m_h)), self.losses.healthy
        return Terms(losses, weights)
