"""The discriminator of small patches."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pseudohealthy.methods.adversarial import Hinge
from pseudohealthy.networks.patch_discriminator import PatchDiscriminator


def test_its_patches_are_34_pixels_wide() -> None:
    network = PatchDiscriminator(4)
    for module in network.modules():  # whose means are over all patches
        if isinstance(module, nn.InstanceNorm2d):
            module.register_forward_hook(lambda _, inputs, __: inputs[0])
    x = torch.rand(1, 2, 64, 64, requires_grad=True)
    out = network(x)
    assert out.shape == (1, 1, 14, 14)
    out[0, 0, 7, 7].backward()
    assert x.grad is not None
    for channel in x.grad[0]:
        rows, columns = channel.nonzero().unbind(1)
        assert [int(places.max() - places.min()) + 1 for places in (rows, columns)] == [34, 34]


def test_it_learns_to_tell_tissue_from_a_grey_patch() -> None:
    """What it is for. With spectral norm in place of the others its loss stayed at 2, that of a guess."""
    torch.manual_seed(0)
    network, hinge, losses = PatchDiscriminator(8), Hinge(), []
    optimiser = torch.optim.Adam(network.parameters(), 1e-3, betas=(0.5, 0.999))
    m = torch.zeros(4, 1, 64, 64)
    m[..., 16:48, 16:48] = 1
    for _ in range(120):
        coarse = nn.functional.interpolate(torch.randn(8, 1, 16, 16), scale_factor=4)
        first, second = (0.4 + 0.1 * coarse).chunk(2)
        real, fake = torch.cat([first, m], 1), torch.cat([(1 - m) * second + 0.4 * m, m], 1)
        loss = hinge.discriminator_loss(network, real, [fake])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) / 10 < 1


def test_its_output_is_unbounded_and_its_weights_start_at_random() -> None:
    network = PatchDiscriminator(4)
    x = torch.rand(1, 2, 32, 32)
    network.output.weight.data *= 1000
    assert network(x).abs().max() > 1
    assert not torch.equal(network(x), PatchDiscriminator(4)(x))
    started = torch.cat([p.flatten() for p in PatchDiscriminator(32).parameters() if p.ndim == 4])
    assert started.std().item() == pytest.approx(0.02, rel=0.02)
