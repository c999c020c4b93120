"""S: a U-Net of depth 4."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fixtures.paper_tables import Row, parameters, rows
from pseudohealthy.networks.segmentor import Level, Segmentor

IN, LEAKY = "InstanceNorm2d", "LeakyReLU"


def level(height: int, width: int, channels: int) -> list[Row]:
    """Two 3x3 convolutions and the 1x1 projection of the residual connection."""
    size = (height, width, channels)
    return [Row(size, 3, 1, IN, LEAKY)] * 2 + [Row(size, 1, 1, None, None)]


def test_every_level_of_the_u_net() -> None:
    sizes = [(208, 160, 32), (104, 80, 64), (52, 40, 128), (26, 20, 256)]
    down = [row for size in sizes for row in level(*size)]
    bottom = level(13, 10, 512)
    up = [row for size in reversed(sizes) for row in (Row(size, 3, 1, IN, LEAKY), *level(*size))]
    expected = [*down, *bottom, *up, Row((208, 160, 1), 1, 1, None, None)]
    assert rows(Segmentor(), torch.rand(1, 1, 208, 160)) == expected


def test_parameters_and_range() -> None:
    network = Segmentor()
    assert parameters(network) == pytest.approx(8.98, abs=0.005)
    assert parameters(Segmentor(16)) < 2.3
    out = network(torch.rand(2, 1, 32, 48))
    assert out.shape == (2, 1, 32, 48)
    assert 0 <= out.min() <= out.max() <= 1


@pytest.mark.parametrize("residual", ["add", "concatenate"])
def test_a_level_whose_convolutions_are_silent_still_passes_its_input(residual: str) -> None:
    block = Level(3, 5, norm="instance", residual=residual)  # type: ignore[arg-type]
    for module in block.body.modules():
        if isinstance(module, nn.InstanceNorm2d):
            nn.init.zeros_(module.weight)
    x = torch.rand(1, 3, 16, 16)
    projected = nn.functional.conv2d(x, block.projection.weight[:, :3], block.projection.bias)  # type: ignore[index, arg-type]
    assert torch.allclose(block(x), projected)


def test_skips_carry_detail_past_the_bottom() -> None:
    network = Segmentor(4)
    network.bottom.register_forward_hook(lambda _m, _i, out: torch.zeros_like(out))
    assert not torch.equal(network(torch.rand(1, 1, 32, 32)), network(torch.rand(1, 1, 32, 32)))


def test_more_inputs_change_the_first_level_alone() -> None:
    one, two = Segmentor(4).state_dict(), Segmentor(4, inputs=2).state_dict()
    assert one.keys() == two.keys()
    differ = {name for name in one if one[name].shape != two[name].shape}
    assert differ == {"down.0.body.0.0.weight", "down.0.projection.weight"}
