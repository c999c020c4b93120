"""The inpainter: a control that fills a lesion's place with what a healthy slice would have there."""

from __future__ import annotations

from torch import nn

from pseudohealthy.config import Losses, Networks
from pseudohealthy.data.slices import Batch
from pseudohealthy.methods import parts
from pseudohealthy.methods.base import Method, Terms, asked_for
from pseudohealthy.methods.losses import l1_inside


class Inpainting(Method):
    """I learns on healthy slices with holes of the shapes of real lesions (section 6, controls).

    Args:
        networks: I's width (S's) and flavour.
        losses: of no use here; methods are made alike.
    """

    def __init__(self, networks: Networks, losses: Losses) -> None:  # noqa: ARG002
        super().__init__()
        self.needs = frozenset({"healthy", "holes"})
        self.generators = nn.ModuleDict({"I": parts.inpainter(networks)})
        self.discriminators = nn.ModuleDict()

    def generator_terms(self, batch: Batch) -> Terms:
        """`|I((1-m) x_h, m) - x_h|` inside the hole; outside, the input is known and nothing is learnt."""
        x_h, m = asked_for(batch.x_h), asked_for(batch.m)
        return Terms({"L_Hole": l1_inside(self.generators["I"](x_h, m), x_h, m)}, {"L_Hole": 1.0})
