"""Table 3."""

from __future__ import annotations

import torch

from fixtures.paper_tables import TABLE_2, rows
from pseudohealthy.networks.reconstructor import Reconstructor


def test_table_3_is_table_2_with_two_inputs_and_one_image_out() -> None:
    network = Reconstructor()
    x, m = torch.rand(1, 1, 208, 160), torch.rand(1, 1, 208, 160)
    assert rows(network, x, m) == TABLE_2
    assert next(network.parameters()).shape == (32, 2, 7, 7)


def test_the_mask_reaches_the_image_and_has_a_gradient() -> None:
    network = Reconstructor(4)
    x, m = torch.rand(1, 1, 32, 32), torch.rand(1, 1, 32, 32, requires_grad=True)
    network(x, m).sum().backward()
    assert m.grad is not None
    assert m.grad.abs().sum() > 0


def test_long_skips_carry_image_and_mask_past_the_bottleneck() -> None:
    network = Reconstructor(4, long_skips=True)
    network.body.residual.register_forward_hook(lambda _m, _i, out: torch.zeros_like(out))
    x, m = torch.rand(2, 1, 1, 32, 32)
    assert not torch.equal(network(x, m), network(x, 1 - m))
    assert not torch.equal(network(x, m), network(1 - x, m))
