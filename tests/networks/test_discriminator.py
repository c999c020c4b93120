"""Table 4."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fixtures.paper_tables import Row, parameters, rows
from pseudohealthy.networks.discriminator import Discriminator

IN = "InstanceNorm2d"


def test_every_row_of_table_4() -> None:
    assert rows(Discriminator(), torch.rand(1, 1, 208, 160)) == [
        Row((104, 80, 32), 4, 2, IN, "LeakyReLU"),
        Row((52, 40, 128), 4, 2, IN, "LeakyReLU"),
        Row((26, 20, 256), 4, 2, IN, "LeakyReLU"),
        Row((13, 10, 512), 4, 2, IN, "LeakyReLU"),
        Row((13, 10, 1), 4, 1, None, None),
    ]


def test_parameters_range_and_leak() -> None:
    network = Discriminator()
    assert parameters(network) == pytest.approx(2.70, abs=0.005)
    out = network(torch.rand(2, 1, 48, 32))
    assert out.shape == (2, 1, 3, 2)
    assert 0 < out.min() <= out.max() < 1
    slopes = [module.negative_slope for module in network.modules() if isinstance(module, nn.LeakyReLU)]
    assert slopes == [0.2] * 4


def test_a_linear_discriminator_is_the_same_network_without_its_last_activation() -> None:
    torch.manual_seed(0)
    bounded, linear = Discriminator(4), Discriminator(4, activation="linear")
    linear.load_state_dict(bounded.state_dict())
    x = 100 * torch.rand(2, 1, 48, 32)
    assert torch.equal(linear(x).sigmoid(), bounded(x))
    assert linear(x).min() < 0
