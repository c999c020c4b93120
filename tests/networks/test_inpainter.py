"""I: S's structure on an image with a hole, and the hole."""

from __future__ import annotations

import torch

from fixtures.paper_tables import rows
from pseudohealthy.networks.inpainter import Inpainter
from pseudohealthy.networks.segmentor import Segmentor


def test_it_has_the_structure_of_s_and_gives_an_image() -> None:
    network = Inpainter(4)
    x, m = torch.rand(2, 1, 1, 64, 48)
    assert rows(network, x, m) == rows(Segmentor(4), x)
    assert next(network.parameters()).shape == (4, 2, 3, 3)
    out = network(x, m)
    assert out.shape == x.shape
    assert 0 <= out.min() <= out.max() <= 1


def test_it_starts_from_the_brightness_of_the_tissue_around() -> None:
    """Instance norms remove it: the same brain twice as bright must not be filled in with the same grey."""
    network = Inpainter(4)
    x, m = 0.3 + 0.1 * torch.rand(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)
    x[..., :8] = 0
    m[..., 8:16, 12:20] = 1
    for brightness in (1, 2):
        inside = network(brightness * x, m)[m > 0]
        assert (inside - brightness * 0.35).abs().mean() < 0.1


def test_it_sees_the_hole_and_what_is_around_it_and_never_what_was_inside() -> None:
    network = Inpainter(4)
    x, m = torch.rand(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)
    m[..., 8:16, 8:20] = 1
    assert torch.equal(network(x, m), network(torch.where(m > 0, 1 - x, x), m))
    assert not torch.equal(network(x, m), network(torch.where(m > 0, x, 1 - x), m))
    assert not torch.equal(network(x, m), network((1 - m) * x, torch.zeros_like(m)))
