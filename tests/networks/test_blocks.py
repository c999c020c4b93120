"""The pieces of the networks."""

from __future__ import annotations

import torch
from torch import nn

from pseudohealthy.networks.blocks import ConvBlock, ResidualBlock, UpBlock


def test_a_residual_block_has_nothing_after_the_sum() -> None:
    block = ResidualBlock(3, norm="instance")
    nn.init.zeros_(block.body[2].weight)  # type: ignore[arg-type]
    x = torch.randn(1, 3, 8, 8)
    assert torch.equal(block(x), x)


def test_upsampling_repeats_pixels_before_its_convolution() -> None:
    x = torch.arange(4.0).view(1, 1, 2, 2)
    block = UpBlock(1, 1, norm="instance")
    expected = torch.tensor([[0.0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]])
    assert torch.equal(block[0](x)[0, 0], expected)
    assert block(x).shape == (1, 1, 4, 4)


def test_instance_norm_knows_neither_other_samples_nor_their_scale() -> None:
    block = ConvBlock(1, 2, 3, norm="instance").eval()
    x = 100 * torch.rand(2, 1, 16, 16)  # far above the norm's epsilon
    assert torch.allclose(block(x)[:1], block(x[:1]), atol=1e-6)
    assert torch.allclose(block(x), block(5 * x), atol=1e-3)
