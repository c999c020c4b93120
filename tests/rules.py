"""Models whose networks are rules, so that what every measure makes of them is known by hand."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from cohorts import FITTING
from pseudohealthy.config import MethodName
from pseudohealthy.synthesis.model import Model
from tiny import tiny

Rule = Callable[..., Tensor]


class Ruled(nn.Module):
    """A network that does what it is told: `(N, 1, H, W)` in, the same out."""

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule = rule

    def forward(self, *stacks: Tensor) -> Tensor:
        return self.rule(*stacks)


def ruled(method: MethodName = "paired", **rules: Rule) -> Model:
    """A model of rules, by the paper's letter."""
    networks = nn.ModuleDict({letter: Ruled(rule) for letter, rule in rules.items()})
    return Model(networks, tiny(method), FITTING, torch.device("cpu"), {"method": method})


def judge(level: float) -> Model:
    """f_pre that marks whatever is at least so bright; above 1 nothing, at 0 everything."""
    return ruled("judge", S=bright(level))


def bright(level: float) -> Rule:
    """S that marks whatever is at least so bright."""
    return lambda x: (x >= level).float()


def copied(x: Tensor) -> Tensor:
    """G that changes nothing."""
    return x


def dimmed(x: Tensor) -> Tensor:
    """G that takes lesions away: nothing stays brighter than the drawn tissue."""
    return x.clamp(max=0.5)


def painted(x: Tensor, m: Tensor) -> Tensor:
    """R that obeys: disease where the mask says, and nowhere else."""
    return torch.where(m > 0.5, torch.full_like(x, 0.9), x)
