"""Names to methods."""

from __future__ import annotations

import pytest

from pseudohealthy.config import MethodName, settings
from pseudohealthy.methods.catalogue import build

WIDTHS = ["networks.width=4", "networks.segmentor_width=8", "networks.discriminator_width=16"]


@pytest.mark.parametrize(
    ("name", "generators", "discriminators"),
    [("paired", "GRS", {"D_x"}), ("unpaired", "GRS", {"D_x", "D_m"}), ("judge", "S", set())],
)
def test_each_method_has_its_networks_of_the_given_widths(
    name: MethodName, generators: str, discriminators: set[str]
) -> None:
    method = build(settings(name, overrides=WIDTHS))
    assert set(method.generators) == set(generators)
    assert set(method.discriminators) == discriminators
    first = {letter: next(network.parameters()).shape[0] for letter, network in method.generators.items()}
    assert first == {"G": 4, "R": 4, "S": 8} if "G" in generators else {"S": 8}
    assert all(next(network.parameters()).shape[0] == 16 for network in method.discriminators.values())
