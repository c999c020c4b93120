"""The class of each method by its name, and the networks of Tables 2 to 4, built from the settings.

Methods import this file for their networks, so `build` imports a method only when it is called.
"""

from __future__ import annotations

from pkgutil import resolve_name

from torch import nn

from pseudohealthy.catalogue.methods import METHODS
from pseudohealthy.config import Networks, Settings
from pseudohealthy.methods.base import Method
from pseudohealthy.networks.discriminator import Discriminator
from pseudohealthy.networks.generator import Generator
from pseudohealthy.networks.inpainter import Inpainter
from pseudohealthy.networks.patch_discriminator import PatchDiscriminator
from pseudohealthy.networks.reconstructor import Reconstructor
from pseudohealthy.networks.segmentor import Segmentor


def build(settings: Settings) -> Method:
    """The method that `settings` name, with fresh weights drawn from torch's global generator."""
    entry = METHODS[settings.method]
    of_its_own = {} if entry.supervision is None else {"supervision": entry.supervision}
    method: Method = resolve_name(entry.code)(settings.networks, settings.losses, **of_its_own)
    return method


def generator(networks: Networks) -> Generator:
    """The generator G, and CycleGAN's F."""
    return Generator(
        networks.width,
        norm=networks.norm,
        output_mode=networks.output_mode,
        long_skips=networks.long_skips,
        mirrored_input=networks.mirrored_input,
    )


def reconstructor(networks: Networks) -> Reconstructor:
    """The reconstructor R."""
    return Reconstructor(
        networks.width,
        norm=networks.norm,
        output_mode=networks.reconstructor_output_mode or networks.output_mode,
        long_skips=networks.long_skips,
    )


def segmentor(networks: Networks) -> Segmentor:
    """The segmentor S, and the judge's."""
    return Segmentor(networks.segmentor_width, norm=networks.norm, residual=networks.segmentor_residual)


def inpainter(networks: Networks) -> Inpainter:
    """The inpainter I, of S's width."""
    return Inpainter(networks.segmentor_width, norm=networks.norm, residual=networks.segmentor_residual)


def discriminators(networks: Networks, *symbols: str) -> nn.ModuleDict:
    """Discriminators of whole images or masks (D_x, D_m, D_p), one for each symbol."""
    width, norm, activation = networks.discriminator_width, networks.norm, networks.discriminator_activation
    return nn.ModuleDict(
        {symbol: Discriminator(width, norm=norm, activation=activation) for symbol in symbols}
    )


def patch_discriminator(networks: Networks) -> PatchDiscriminator:
    """D_l, the discriminator of lesion crops."""
    return PatchDiscriminator(networks.discriminator_width, norm=networks.norm)
