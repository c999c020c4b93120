"""The methods that can be trained, and the controls: a row each, and no torch.

A new method is its code in `methods/`, its name in `MethodName` with a row of `METHODS`, and its test:
`docs/howto/extend.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

MethodName = Literal[
    "conditional_gan",
    "cyclegan",
    "unpaired",
    "paired",
    "semi_supervised",
    "inpainter",
    "judge",
]
Supervision = Literal["paired", "semi_supervised", "unpaired"]
Ability = Literal["synthesize", "segment", "reconstruct", "inpaint"]
# Settings that not every method reads: of its U-Net, of generators and discriminators, of the two cycles
SettingsGroup = Literal["unet", "generator", "factorization"]
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
# Colours are those of Okabe and Ito, which the colour-blind can tell apart; this is for what has none
GREY = "#6e6e6e"


def abilities(networks: Iterable[str]) -> frozenset[Ability]:
    """What networks of these letters can do together."""
    return frozenset(ABILITIES[letter] for letter in networks)


@dataclass(frozen=True)
class MethodEntry:
    """A method, as the rest of the program knows it.

    Attributes:
        label: what it is called in tables and pictures.
        role: proposed in the paper or here; a baseline that the paper compares with; a control; or a judge.
        networks: letters of the networks that its weights folder holds.
        summary: one line for the help of the command line.
        code: `module:class` of its `methods.base.Method`, built from the settings of networks and losses.
        supervision: which images show the segmentor their own mask; handed to `code`. None: it has no such
            choice.
        synthetic_lesions: it learns from synthetic lesions, where the settings ask for them.
        unread: groups of settings that it does not read; a change of them does not train it again.
        tested: Table 1 tests it against the baselines.
        colour: of its points in charts.
        marker: of its points, in matplotlib's letters.
    """

    label: str
    role: Role
    networks: tuple[str, ...]
    summary: str
    code: str
    supervision: Supervision | None = None
    synthetic_lesions: bool = False
    unread: tuple[SettingsGroup, ...] = ()
    tested: bool = False
    colour: str = GREY
    marker: str = "X"

    def can(self, ability: Ability) -> bool:
        """Whether one of its networks does this."""
        return ability in abilities(self.networks)


@dataclass(frozen=True)
class ControlEntry:
    """A rule that makes an output without being trained; its code is in `evaluation/controls.py`.

    Attributes:
        label: what it is called in tables and pictures.
        summary: one line.
        colour: of its points in charts.
        marker: of its points, in matplotlib's letters.
    """

    label: str
    summary: str
    colour: str = GREY
    marker: str = "X"


def _factorization(
    supervision: Supervision, label: str, summary: str, colour: str, marker: str, *, tested: bool
) -> MethodEntry:
    return MethodEntry(
        label,
        "proposed",
        ("G", "S", "R"),
        summary,
        "pseudohealthy.methods.factorization:Factorization",
        supervision=supervision,
        synthetic_lesions=True,
        tested=tested,
        colour=colour,
        marker=marker,
    )


# In the order of the paper's Table 1, then ours
METHODS: Mapping[str, MethodEntry] = {
    "conditional_gan": MethodEntry(
        "conditional GAN",
        "baseline",
        ("G",),
        "a generator and a discriminator, no masks",
        "pseudohealthy.methods.conditional_gan:ConditionalGAN",
        unread=("unet", "factorization"),
        colour="#e69f00",
        marker="s",
    ),
    "cyclegan": MethodEntry(
        "CycleGAN",
        "baseline",
        ("G", "F"),
        "two generators and their cycles, no masks",
        "pseudohealthy.methods.cyclegan:CycleGAN",
        unread=("unet", "factorization"),
        colour="#56b4e9",
        marker="D",
    ),
    "unpaired": _factorization(
        "unpaired", "proposed (unpaired)", "masks of other images", "#009e73", "^", tested=True
    ),
    "paired": _factorization(
        "paired", "proposed (paired)", "each image with its own mask", "#d55e00", "o", tested=True
    ),
    "semi_supervised": _factorization(
        "semi_supervised",
        "semi-supervised",
        "an image's own mask where it has one",
        "#cc79a7",
        "v",
        tested=False,
    ),
    "inpainter": MethodEntry(
        "inpainter",
        "control",
        ("I",),
        "fills holes",
        "pseudohealthy.methods.inpainter:Inpainting",
        unread=("generator", "factorization"),
        colour="#0072b2",
        marker="P",
    ),
    "judge": MethodEntry(
        "judge",
        "judge",
        ("S",),
        "the segmentor that scores the others (f_pre in the paper)",
        "pseudohealthy.methods.judge:Judge",
        unread=("generator", "factorization"),
    ),
}
CONTROLS: Mapping[str, ControlEntry] = {
    "copy": ControlEntry("copy", "the input itself", marker="h"),
    "blur": ControlEntry("blur", "the input, smoothed", marker="*"),
    "constant": ControlEntry("constant", "the brain's median everywhere", marker="p"),
    "mirror": ControlEntry("mirror", "the other hemisphere inside the mask", marker="X"),
    "fill": ControlEntry("fill", "a smooth filling of the mask", marker="d"),
    "threshold_fill": ControlEntry("threshold-fill", "a smooth filling of thresholded FLAIR", marker=">"),
}
ENTRIES: Mapping[str, MethodEntry | ControlEntry] = {**METHODS, **CONTROLS}  # in the order of Table 1
# What makes a whole pseudo-healthy image
SYNTHESIS = tuple(name for name, entry in METHODS.items() if entry.can("synthesize"))
BASELINES = tuple(name for name, entry in METHODS.items() if entry.role == "baseline")
TESTED_METHODS = tuple(name for name, entry in METHODS.items() if entry.tested)


def method_name(method: str) -> str:
    """How a method or control is called in tables and pictures; an unknown one keeps its own name."""
    return ENTRIES[method].label if method in ENTRIES else method.replace("_", " ")


def method_order(method: str) -> int:
    """The paper's order, then ours, then the controls, then what is not known."""
    return list(ENTRIES).index(method) if method in ENTRIES else len(ENTRIES)


def is_control(method: str) -> bool:
    """Whether it is a control of Table 1, trained (the inpainter) or not."""
    return method in CONTROLS or (method in METHODS and METHODS[method].role == "control")
