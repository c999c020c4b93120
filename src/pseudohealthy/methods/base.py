"""The interface between a method and the training loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from pseudohealthy.sampling.batch import Batch, Need


@dataclass(frozen=True)
class LossTerms:
    """The generators' loss of one step, term by term.

    Attributes:
        losses: each term by its name in the paper, unweighted, a scalar.
        weights: its lambda.
        fakes: generated images `(N, 1, H, W)` for the discriminators, by their formula in the paper.
    """

    losses: Mapping[str, Tensor]
    weights: Mapping[str, float]
    fakes: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def total(self) -> Tensor:
        """The weighted sum."""
        weighted = [self.weights[name] * loss for name, loss in self.losses.items()]
        total = weighted[0]
        for term in weighted[1:]:
            total = total + term
        return total


class Method(nn.Module, ABC):
    """The networks of a method and their losses. One without discriminators generates no fakes.

    Attributes:
        needs: the parts of a batch that the method uses beside pathological slices.
        generators: the networks that share one optimiser, by the paper's letter.
        discriminators: the networks that have an optimiser each, by the paper's symbol.
        warm_up_needs: the parts of each batch of a warm-up step; none: the method has no warm-up. The first
            batch is of synthetic lesions where it needs "synthetic".
        unpooled: names of the fakes that bypass the pool of earlier ones: `discriminator_losses` weighs each
            of them by something of its own image.
        replayed: names of the fakes that hold all that their discriminator's loss needs, the real images too:
            it takes further steps on earlier ones.
        averaged: whether snapshots are of the weights averaged over steps, not of the raw ones.
    """

    needs: frozenset[Need]
    generators: nn.ModuleDict
    discriminators: nn.ModuleDict
    warm_up_needs: tuple[frozenset[Need], ...] = ()
    unpooled: frozenset[str] = frozenset()
    replayed: frozenset[str] = frozenset()
    averaged: bool = False

    @abstractmethod
    def generator_terms(self, batch: Batch) -> LossTerms:
        """The generators' losses of one step."""

    def warm_up_terms(self, *batches: Batch) -> LossTerms:
        """The generators' losses of one step of the warm-up, on a batch for each of `warm_up_needs`."""
        raise NotImplementedError(f"{type(self).__name__} has no warm-up")

    def fakes(self, batch: Batch) -> dict[str, Tensor]:  # noqa: ARG002
        """Generated images for the discriminators, by their formula in the paper."""
        return {}

    def discriminator_losses(
        self,
        batch: Batch,  # noqa: ARG002
        fakes: Mapping[str, Tensor],  # noqa: ARG002
    ) -> dict[str, Tensor]:
        """Each discriminator's loss, by its symbol, on the batch's real images and the detached `fakes`.

        A discriminator without fakes among them, as in a warm-up, has no loss.
        """
        return {}


def require(value: Tensor | None) -> Tensor:
    """`value`, a part of the batch that the method's `needs` name.

    Raises:
        ValueError: the batch was drawn without it.
    """
    if value is None:
        raise ValueError("the batch lacks a part that the method needs; draw it with the method's `needs`")
    return value
