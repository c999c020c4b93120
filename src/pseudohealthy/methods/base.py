"""What a method must offer the training loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from pseudohealthy.sampling.batch import Batch, Need


@dataclass(frozen=True)
class LossTerms:
    """What the generators' side minimises in one step.

    Attributes:
        losses: each term by its name in the paper, unweighted, a scalar.
        weights: its lambda.
        fakes: what the discriminators are to be shown, by its formula in the paper.
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
    """Networks and what each of them minimises. One without discriminators has no fakes either.

    Attributes:
        needs: what the method draws beside pathological slices.
        generators: the networks that share one optimiser, by the paper's letter.
        discriminators: the networks that have one each, by the paper's symbol.
        warm_up_needs: what each batch of a step of the warm-up holds; none: the method has no warm-up. The
            first batch is of synthetic lesions where it needs "synthetic".
        unpooled: fakes that are shown as they are made, never past ones in their place: those of which
            `discriminator_losses` weighs each sample by something of its own image.
        averaged: whether weights kept on the way are those averaged over steps, not the raw ones.
    """

    needs: frozenset[Need]
    generators: nn.ModuleDict
    discriminators: nn.ModuleDict
    warm_up_needs: tuple[frozenset[Need], ...] = ()
    unpooled: frozenset[str] = frozenset()
    averaged: bool = False

    @abstractmethod
    def generator_terms(self, batch: Batch) -> LossTerms:
        """The generators' side of one step."""

    def warm_up_terms(self, *batches: Batch) -> LossTerms:
        """The generators' side of one step of the warm-up, on a batch for each of `warm_up_needs`."""
        raise NotImplementedError(f"{type(self).__name__} has no warm-up")

    def fakes(self, batch: Batch) -> dict[str, Tensor]:  # noqa: ARG002
        """What the generators make for the discriminators, by its formula in the paper."""
        return {}

    def discriminator_losses(
        self,
        batch: Batch,  # noqa: ARG002
        fakes: Mapping[str, Tensor],  # noqa: ARG002
    ) -> dict[str, Tensor]:
        """Each discriminator's loss, by its symbol, on the batch's real images and `fakes`, detached.

        One of which no fakes are there, as in a warm-up, has no loss.
        """
        return {}


def require(value: Tensor | None) -> Tensor:
    """A part of the batch that the method's `needs` name."""
    if value is None:
        raise ValueError("the batch lacks a part that the method needs; draw it with the method's `needs`")
    return value
