"""The pieces of the networks."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

import pytest
import torch
from torch import nn

from pseudohealthy.networks.blocks import ConvBlock, InstanceNorm2d, ResidualBlock, UpBlock


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_instance_norm_stays_in_channels_last_and_agrees_with_torchs(dtype: torch.dtype) -> None:
    norm, peer = InstanceNorm2d(5, affine=True), nn.InstanceNorm2d(5, affine=True)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    peer.load_state_dict(norm.state_dict())
    x = (3 + 2 * torch.randn(3, 5, 12, 9)).to(dtype)
    ours = x.clone(memory_format=torch.channels_last).requires_grad_()
    theirs = x.float().requires_grad_()
    y = norm(ours)
    assert y.dtype == dtype
    assert y.is_contiguous(memory_format=torch.channels_last)
    target = torch.randn(3, 5, 12, 9)
    (y * target.to(dtype)).sum().backward()
    (peer(theirs) * target).sum().backward()
    close = partial(torch.testing.assert_close, atol=1e-5, rtol=1e-4)
    if dtype == torch.bfloat16:
        close = partial(torch.testing.assert_close, atol=0.06, rtol=0.05)
    close(y.float(), peer(theirs))
    for got, expected in ((ours.grad, theirs.grad), (norm.weight.grad, peer.weight.grad)):
        assert got is not None
        assert expected is not None
        close(got.float(), expected)


def test_a_network_without_values_needs_no_compiler() -> None:
    """torch draws numbers on "meta" with what its compiler is made of, whose import takes a second."""
    code = (
        "import sys, torch\n"
        "from pseudohealthy.networks.generator import Generator\n"
        "with torch.device('meta'):\n"
        "    Generator(4)\n"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
