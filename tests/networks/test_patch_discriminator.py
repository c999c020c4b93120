"""The discriminator of small patches."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pseudohealthy.networks.patch_discriminator import PatchDiscriminator


def test_its_patches_are_34_pixels_wide_each_judged_by_itself() -> None:
    network = PatchDiscriminator(4).eval()
    x = torch.rand(1, 1, 64, 64, requires_grad=True)
    out = network(x)
    assert out.shape == (1, 1, 14, 14)
    out[0, 0, 7, 7].backward()
    assert x.grad is not None
    rows, columns = x.grad[0, 0].nonzero().unbind(1)
    assert [int(places.max() - places.min()) + 1 for places in (rows, columns)] == [34, 34]


def test_no_convolution_stretches_more_than_once() -> None:
    """Spectral norm, from the first call on; a large weight changes nothing but its direction."""
    network = PatchDiscriminator(4)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) == 4
    for _ in range(20):  # of the power iteration
        network(torch.rand(1, 1, 32, 32))
    for convolution in convolutions:
        assert torch.linalg.matrix_norm(convolution.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.05)
        assert convolution.bias is not None


def test_its_output_is_unbounded_and_its_weights_start_at_random() -> None:
    network = PatchDiscriminator(4)
    x = torch.rand(1, 1, 32, 32)
    assert network(1000 * x).abs().max() > 1
    assert not torch.equal(network(x), PatchDiscriminator(4)(x))
    started = torch.cat([p.flatten() for p in PatchDiscriminator(32).parameters() if p.ndim == 4])
    assert started.std().item() == pytest.approx(0.02, rel=0.02)
