"""The methods that can be trained: a row each, and no torch. A method's code is `methods/NAME.py`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Ability = Literal["synthesize", "segment", "reconstruct", "inpaint"]
Role = Literal["proposed", "baseline", "control", "judge"]

# What a network, by its letter in the paper, can do for somebody who has an image
ABILITIES: Mapping[str, Ability] = {
    "G": "synthesize",  # the generator
    "S": "segment",  # the segmentor
    "R": "reconstruct",  # the reconstructor
    "F": "reconstruct",  # CycleGAN's second generator
    "I": "inpaint",  # the inpainter
}
# What messages and exported files call a network
NETWORK_NAMES: Mapping[str, str] = {
    "G": "generator",
    "S": "segmentor",
    "R": "reconstructor",
    "F": "backward generator",
    "I": "inpainter",
}


@dataclass(frozen=True)
class MethodEntry:
    """A method, as the rest of the program knows it.

    Attributes:
        label: what it is called in tables and pictures.
        role: proposed in the paper or here; a baseline that the paper compares with; a control; or a judge.
        networks: letters of the networks that its weights folder holds.
    """

    label: str
    role: Role
    networks: tuple[str, ...]

    def can(self, ability: Ability) -> bool:
        """Whether one of its networks does this."""
        return ability in abilities(self.networks)


# In the order of the paper's Table 1, then ours
METHODS: Mapping[str, MethodEntry] = {
    "conditional_gan": MethodEntry("conditional GAN", "baseline", ("G",)),
    "cyclegan": MethodEntry("CycleGAN", "baseline", ("G", "F")),
    "unpaired": MethodEntry("proposed (unpaired)", "proposed", ("G", "S", "R")),
    "paired": MethodEntry("proposed (paired)", "proposed", ("G", "S", "R")),
    "semi_supervised": MethodEntry("semi-supervised", "proposed", ("G", "S", "R")),
    "inpainter": MethodEntry("inpainter", "control", ("I",)),
    "judge": MethodEntry("judge", "judge", ("S",)),
}


def abilities(networks: Iterable[str]) -> frozenset[Ability]:
    """What networks of these letters can do together."""
    return frozenset(ABILITIES[letter] for letter in networks)
