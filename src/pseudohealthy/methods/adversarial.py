"""The forms of an adversarial loss: least squares (Mao 2017), Wasserstein with a penalty, and hinge.

`D` is a discriminator, `weight` that of each sample, as in `losses`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pseudohealthy.config import Losses
from pseudohealthy.methods.losses import SampleWeight, least_squares


class Adversarial(ABC):
    """The two losses of an adversarial game: the generators' and that of a discriminator D."""

    @abstractmethod
    def generator_loss(self, D: nn.Module, fake: Tensor, weight: SampleWeight = 1.0) -> Tensor:
        """The generators' loss for one kind of generated images `(N, 1, H, W)`, a scalar."""

    @abstractmethod
    def discriminator_loss(
        self, D: nn.Module, real: Tensor, fakes: Sequence[Tensor], weight: SampleWeight = 1.0
    ) -> Tensor:
        """D's loss, a scalar: the sum over kinds of generated images, each against the same real images."""


class LeastSquares(Adversarial):
    """Real is 1, fake is 0: `1/2 (D(fake) - 1)^2` against `1/2 (D(real) - 1)^2 + 1/2 D(fake)^2`."""

    def generator_loss(self, D: nn.Module, fake: Tensor, weight: SampleWeight = 1.0) -> Tensor:
        """`1/2 (D(fake) - 1)^2`."""
        return least_squares(D(fake), 1, weight) / 2

    def discriminator_loss(
        self, D: nn.Module, real: Tensor, fakes: Sequence[Tensor], weight: SampleWeight = 1.0
    ) -> Tensor:
        """`1/2 (D(real) - 1)^2 + 1/2 D(fake)^2`, summed over the kinds of fakes."""
        of_real = len(fakes) * least_squares(D(real), 1, weight)
        of_fakes = [least_squares(D(fake), 0, weight) for fake in fakes]
        total: Tensor = (of_real + torch.stack(of_fakes).sum()) / 2
        return total


class Wasserstein(Adversarial):
    """`-D(fake)` against `D(fake) - D(real)` and a penalty on slopes other than 1 (Gulrajani 2017).

    Args:
        penalty: its weight.
    """

    def __init__(self, penalty: float) -> None:
        self.penalty = penalty

    def generator_loss(self, D: nn.Module, fake: Tensor, weight: SampleWeight = 1.0) -> Tensor:
        """`-D(fake)`, a mean over patches."""
        loss: Tensor = -(weight * D(fake)).mean()
        return loss

    def discriminator_loss(
        self, D: nn.Module, real: Tensor, fakes: Sequence[Tensor], weight: SampleWeight = 1.0
    ) -> Tensor:
        """`D(fake) - D(real)` and the penalty, summed over the kinds of fakes."""
        of_real = (weight * D(real)).mean()
        parts = [
            (weight * D(fake)).mean() - of_real + self.penalty * gradient_penalty(D, real, fake, weight)
            for fake in fakes
        ]
        return torch.stack(parts).sum()


class Hinge(Adversarial):
    """`-D(fake)` against `max(0, 1 - D(real)) + max(0, 1 + D(fake))` (Lim and Ye 2017)."""

    def generator_loss(self, D: nn.Module, fake: Tensor, weight: SampleWeight = 1.0) -> Tensor:
        """`-D(fake)`, a mean over patches."""
        loss: Tensor = -(weight * D(fake)).mean()
        return loss

    def discriminator_loss(
        self, D: nn.Module, real: Tensor, fakes: Sequence[Tensor], weight: SampleWeight = 1.0
    ) -> Tensor:
        """`max(0, 1 - D(real)) + max(0, 1 + D(fake))`, summed over the kinds of fakes."""
        of_real = (weight * (1 - D(real)).relu()).mean()
        return torch.stack([of_real + (weight * (1 + D(fake)).relu()).mean() for fake in fakes]).sum()


def gradient_penalty(D: nn.Module, real: Tensor, fake: Tensor, weight: SampleWeight = 1.0) -> Tensor:
    """`(|slope of D| - 1)^2` at a random point between each real and fake, a mean over samples.

    D's output is summed over its patches here, as in the well-known implementations. Computed in fp32 in any
    training precision, since the loss is differentiated twice.
    """
    place = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = (place * real + (1 - place) * fake).detach().float().requires_grad_()
    with torch.autocast(between.device.type, enabled=False):
        (slope,) = torch.autograd.grad(D(between).sum(), between, create_graph=True)
    steepness = torch.linalg.vector_norm(slope, dim=(1, 2, 3), keepdim=True)
    penalty: Tensor = (weight * (steepness - 1).square()).mean()
    return penalty


def adversarial(losses: Losses) -> Adversarial:
    """The form that the settings name."""
    if losses.adversarial == "wasserstein":
        return Wasserstein(losses.gradient_penalty)
    return LeastSquares()
