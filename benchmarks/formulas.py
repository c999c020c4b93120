"""Floating-point operations of the paper's networks and of a step of every method, by formula.

They are counted as the paper defines method and networks (preset `midl2019`), not as they are computed here:
work saved counts as speed, wasted work does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from pseudohealthy.config import MethodName, PresetName, Settings, settings
from pseudohealthy.methods.factory import build

FIELD = (208, 160)
PRESET: PresetName = "midl2019"


@dataclass(frozen=True)
class Passes:
    """How often a step needs a network, for each image of the batch.

    A forward pass costs 1; its backward pass 1 for the gradient of its input and 1 for that of its weights.

    Attributes:
        data: it learns from data or detached fakes: its first layers' inputs need no gradient.
        made: it learns from another network's output, which learns through it: 3.
        through: it only passes the gradient on: 2.
    """

    data: float = 0
    made: float = 0
    through: float = 0


CYCLES = {name: Passes(data=1, made=1) for name in "GSR"}  # each once in either cycle
IMAGES = Passes(data=3, through=2)  # D_x: a real image and two fakes; the generators: two
ONE = Passes(data=2, through=1)  # a discriminator of one fake
UNLABELLED = Passes(data=1, through=0.5)  # D_m, where L_GAN2 is for the half of a batch without masks
PASSES: Mapping[MethodName, Mapping[str, Passes]] = {
    "judge": {"S": Passes(data=2)},  # slices with a lesion, and as many without
    "paired": {**CYCLES, "D_x": IMAGES},
    "unpaired": {**CYCLES, "D_x": IMAGES, "D_m": ONE},
    "semi_supervised": {**CYCLES, "D_x": IMAGES, "D_m": UNLABELLED},
    "cyclegan": {**{name: Passes(data=1, made=1) for name in "GF"}, "D_x": ONE, "D_p": ONE},
    "conditional_gan": {"G": Passes(data=1), "D_x": ONE},
    "inpainter": {"I": Passes(data=1)},
}


def widened(method: MethodName, width: int, *overrides: str) -> Settings:
    """The paper's settings of a method, all networks `width` wide (the paper: 32)."""
    widths = [f"networks.{name}={width}" for name in ("width", "segmentor_width", "discriminator_width")]
    return settings(method, PRESET, overrides=[*widths, *overrides])


@cache
def forward(method: MethodName, width: int, field: tuple[int, int] = FIELD) -> Mapping[str, float]:
    """FLOPs of one forward pass of one slice, by network."""
    with torch.device("meta"):
        built = build(widened(method, width))
        slices = [torch.empty(1, 1, *field)] * 2
    flops = {}
    for name, network in {**built.generators, **built.discriminators}.items():
        with FlopCounterMode(display=False) as counter:
            network(*slices[: 2 if name in "RI" else 1])
        flops[name] = float(counter.get_total_flops())
    return flops


@cache
def learning(method: MethodName, width: int, field: tuple[int, int] = FIELD) -> Mapping[str, float]:
    """FLOPs of a forward and backward pass of one slice of data, by network."""
    with torch.device("meta"):
        built = build(widened(method, width))
        slices = [torch.empty(1, 1, *field)] * 2
    flops = {}
    for name, network in {**built.generators, **built.discriminators}.items():
        with FlopCounterMode(display=False) as counter:
            network(*slices[: 2 if name in "RI" else 1]).sum().backward()
        flops[name] = float(counter.get_total_flops())
    return flops


def step(method: MethodName, width: int, images: int, field: tuple[int, int] = FIELD) -> float:
    """FLOPs of one training step of a method on so many images."""
    once, whole = forward(method, width, field), learning(method, width, field)
    return images * sum(
        passes.data * whole[name] + (3 * passes.made + 2 * passes.through) * once[name]
        for name, passes in PASSES[method].items()
    )
