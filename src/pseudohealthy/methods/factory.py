"""The class of each method, by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from pseudohealthy.config import Losses, MethodName, Networks, Settings
from pseudohealthy.methods.base import Method
from pseudohealthy.methods.conditional_gan import ConditionalGAN
from pseudohealthy.methods.cyclegan import CycleGAN
from pseudohealthy.methods.factorization import Factorization
from pseudohealthy.methods.inpainter import Inpainting
from pseudohealthy.methods.judge import Judge

METHODS: Mapping[MethodName, Callable[[Networks, Losses], Method]] = {
    "conditional_gan": ConditionalGAN,
    "cyclegan": CycleGAN,
    "unpaired": partial(Factorization, supervision="unpaired"),
    "paired": partial(Factorization, supervision="paired"),
    "semi_supervised": partial(Factorization, supervision="semi_supervised"),
    "inpainter": Inpainting,
    "judge": Judge,
}


def build(settings: Settings) -> Method:
    """The method that `settings` name, with fresh weights drawn from torch's global generator."""
    return METHODS[settings.method](settings.networks, settings.losses)
