"""Every method by its name."""

from __future__ import annotations

from pseudohealthy.config import Settings
from pseudohealthy.methods.base import Method
from pseudohealthy.methods.factorization import Factorization
from pseudohealthy.methods.judge import Judge


def build(settings: Settings) -> Method:
    """The method that `settings` name, with fresh weights drawn from torch's global generator."""
    networks, losses = settings.networks, settings.losses
    if settings.method == "judge":
        return Judge(networks, losses)
    return Factorization(networks, losses, paired=settings.method == "paired")
