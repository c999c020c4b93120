"""Table 2."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fixtures.paper_tables import TABLE_2, parameters, rows
from pseudohealthy.networks.blocks import Norm
from pseudohealthy.networks.generator import Generator, OutputMode


def test_every_row_of_table_2() -> None:
    assert rows(Generator(), torch.rand(1, 1, 208, 160)) == TABLE_2


def test_parameters_and_range() -> None:
    network = Generator()
    assert parameters(network) == pytest.approx(1.96, abs=0.005)
    out = network(torch.rand(2, 1, 32, 48))
    assert out.shape == (2, 1, 32, 48)
    assert 0 <= out.min() <= out.max() <= 1


def test_convolutions_before_a_norm_have_no_bias_and_start_from_a_narrow_normal() -> None:
    network = Generator()
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    assert [convolution.bias is not None for convolution in convolutions] == [False] * 17 + [True]
    weights = torch.cat([convolution.weight.flatten() for convolution in convolutions])
    assert weights.std().item() == pytest.approx(0.02, rel=0.01)
    assert abs(weights.mean().item()) < 1e-4


def test_the_output_can_be_black_and_white() -> None:
    """A ReLU before the sigmoid would make black impossible."""
    network = Generator(4)
    x = torch.rand(1, 1, 16, 16)
    for target in (0.0, 1.0):
        optimiser = torch.optim.Adam(network.parameters(), 0.02)
        for _ in range(60):
            loss = (network(x) - target).abs().mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        assert (network(x) - target).abs().max() < 0.05


def test_nothing_of_a_slice_leaks_past_the_bottleneck() -> None:
    """No skips: if the residual blocks' output is fixed, the input no longer matters."""
    network = Generator(4)
    network.residual.register_forward_hook(lambda _m, _i, out: torch.zeros_like(out))
    first, second = network(torch.rand(1, 1, 32, 32)), network(torch.rand(1, 1, 32, 32))
    assert torch.equal(first, second)


def test_a_residual_output_starts_near_its_input_and_stays_in_range() -> None:
    network = Generator(4, inputs=2, output_mode="residual")
    x = torch.rand(2, 2, 32, 32)
    out = network(x)
    assert (out - x[:, :1]).abs().mean() < 0.1
    assert 0 <= out.min() <= out.max() <= 1


def test_a_gated_output_is_its_input_where_the_gate_is_0_and_the_new_image_where_it_is_1() -> None:
    network = Generator(4, inputs=2, output_mode="gated")
    x = torch.rand(2, 2, 32, 32)
    assert (network(x) - x[:, :1]).abs().mean() < 0.1
    bias = network.output.bias
    assert bias is not None
    with torch.no_grad():
        network.output.weight.zero_()
        bias.copy_(torch.tensor([-99.0, -99.0]))
        assert torch.equal(network(x), x[:, :1])
        bias.copy_(torch.tensor([-99.0, 99.0]))
        assert not network(x).any()  # black


def test_a_mirrored_input_lets_a_pixel_matter_on_the_other_side_of_the_midline() -> None:
    x = torch.zeros(1, 1, 96, 96)
    x[..., 8:88, 10:86] = 0.5
    network, plain = Generator(4, mirrored_input=True), Generator(4)
    assert parameters(network) == pytest.approx(parameters(plain) + 4 * 49 / 1e6)
    seen: list[torch.Tensor] = []
    network.encoder.get_submodule("0.0").register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    other = x.clone()
    other[..., 40, 20] = 0.9
    assert network(x).shape == network(other).shape == x.shape
    assert torch.equal(seen[1][:, :1], other)
    assert (seen[1] - seen[0]).nonzero().tolist() == [[0, 0, 40, 20], [0, 1, 40, 75]]


def test_layer_norm_takes_all_axes_together() -> None:
    network = Generator(4, norm="layer")
    norms = [module for module in network.modules() if isinstance(module, nn.GroupNorm)]
    assert {norm.num_groups for norm in norms} == {1}
    assert len(norms) == 17


def test_a_saturated_voxel_that_is_pushed_up_can_come_down_again() -> None:
    """A clamp without a gradient would leave saturated lesions as they are."""
    network = Generator(4, output_mode="residual")
    torch.nn.init.constant_(network.output.bias, 0.1)  # type: ignore[arg-type]
    out = network(torch.ones(1, 1, 32, 32))
    assert out.max() == 1
    out.sum().backward()
    assert network.output.bias is not None
    assert network.output.bias.grad is not None
    assert network.output.bias.grad.item() > 0


def test_long_skips_concatenate_the_encoders_features_with_the_decoders() -> None:
    network = Generator(4, long_skips=True)
    plain = parameters(Generator(4))
    wider = (2 * 4) * 4 * 9 + 4 * 9  # 8 more channels into the last 3x3 block of 4, 4 more into the output
    assert parameters(network) == pytest.approx(plain + wider / 1e6)
    seen = []
    network.output.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    x = torch.rand(1, 1, 32, 48)
    assert network(x).shape == x.shape
    assert torch.equal(seen[0][:, :4], network.encoder[0](x))
    network.residual.register_forward_hook(lambda _m, _i, out: torch.zeros_like(out))
    assert not torch.equal(network(x), network(1 - x))


@pytest.mark.parametrize("norm", ["instance", "layer"])
@pytest.mark.parametrize("output_mode", ["image", "residual", "gated"])
@pytest.mark.parametrize("long_skips", [False, True])
def test_every_combination_of_options_gives_an_image_and_finite_gradients(
    norm: Norm, output_mode: OutputMode, long_skips: bool
) -> None:
    network = Generator(4, inputs=2, norm=norm, output_mode=output_mode, long_skips=long_skips)
    out = network(torch.rand(2, 2, 32, 48))
    assert out.shape == (2, 1, 32, 48)
    assert 0 <= out.min() <= out.max() <= 1
    out.square().sum().backward()
    for parameter in network.parameters():
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
