"""The inpainter: a control that fills a lesion's place with what a healthy slice would have there."""

from __future__ import annotations

from torch import nn

from pseudohealthy.config import Losses, Networks
from pseudohealthy.methods import factory
from pseudohealthy.methods.base import LossTerms, Method, require
from pseudohealthy.methods.losses import l1_inside
from pseudohealthy.sampling.batch import Batch


class Inpainting(Method):
    """I learns on healthy slices with holes of the shapes of real lesions (section 6, controls).

    Args:
        networks: I's width (S's) and variant.
        losses: unused; all methods are built from the same arguments.
    """

    def __init__(self, networks: Networks, losses: Losses) -> None:  # noqa: ARG002
        super().__init__()
        self.needs = frozenset({"healthy", "inpainting_masks"})
        self.generators = nn.ModuleDict({"I": factory.inpainter(networks)})
        self.discriminators = nn.ModuleDict()

    def generator_terms(self, batch: Batch) -> LossTerms:
        """`|I((1-m) x_h, m) - x_h|` inside the hole; outside, the input is known and nothing is learnt."""
        x_h, m = require(batch.x_h), require(batch.m)
        return LossTerms({"L_Hole": l1_inside(self.generators["I"](x_h, m), x_h, m)}, {"L_Hole": 1.0})
