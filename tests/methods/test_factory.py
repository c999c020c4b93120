"""Every method of the catalogue can be built and trained, and has the networks that its row names."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import torch
from safetensors.torch import load_file

from fixtures.models import tiny
from pseudohealthy.catalogue.methods import METHODS
from pseudohealthy.config import MethodName, Networks, PresetName, settings
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.methods.factory import build, generator, reconstructor
from pseudohealthy.sampling.batch import Batch
from pseudohealthy.training.loop import train
from pseudohealthy.training.weights import read_config

WIDTHS = ["networks.width=4", "networks.segmentor_width=8", "networks.discriminator_width=16"]
FIRST = {"G": 4, "R": 4, "F": 4, "S": 8, "I": 8}
DISCRIMINATORS: dict[MethodName, set[str]] = {
    "conditional_gan": {"D_x"},
    "cyclegan": {"D_x", "D_p"},
    "unpaired": {"D_x", "D_m"},
    "paired": {"D_x"},
    "semi_supervised": {"D_x", "D_m"},
    "inpainter": set(),
    "judge": set(),
}


def test_the_catalogue_and_the_settings_name_the_same_methods() -> None:
    assert set(METHODS) == set(get_args(MethodName))


@pytest.mark.parametrize("name", get_args(MethodName))
def test_each_method_trains_a_step_and_leaves_the_weights_of_its_networks(
    name: MethodName, prepared: Prepared, tmp_path: Path
) -> None:
    weights = train(prepared, tmp_path, tiny(name, "training.images=2"), accelerator="cpu")
    assert read_config(weights)["images"] == 2
    for folder in (weights, tmp_path / "weights_ema"):
        letters = {tensor.split(".")[0] for tensor in load_file(folder / "model.safetensors")}
        assert letters == set(METHODS[name].networks)


@pytest.mark.parametrize("name", get_args(MethodName))
def test_each_method_has_its_networks_of_the_given_widths(name: MethodName) -> None:
    method = build(settings(name, overrides=WIDTHS))
    assert set(method.generators) == set(METHODS[name].networks)
    for letter, network in method.generators.items():
        assert next(network.parameters()).shape[0] == FIRST[letter]
    assert all(next(network.parameters()).shape[0] == 16 for network in method.discriminators.values())


@pytest.mark.parametrize(("name", "symbols"), DISCRIMINATORS.items())
def test_each_method_has_the_discriminators_of_the_paper(name: MethodName, symbols: set[str]) -> None:
    assert set(build(tiny(name)).discriminators) == symbols


def test_the_reconstructor_may_put_out_something_else_than_the_generator() -> None:
    gated = Networks(width=4, output_mode="gated")
    changed = gated.model_copy(update={"reconstructor_output_mode": "residual"})
    assert generator(changed).output_mode == "gated"
    assert [reconstructor(networks).body.output_mode for networks in (gated, changed)] == [
        "gated",
        "residual",
    ]


@pytest.mark.parametrize("preset", ["midl2019", "media2020"])
@pytest.mark.parametrize("name", get_args(MethodName))
def test_gradients_reach_every_network_from_its_own_side_alone(name: MethodName, preset: PresetName) -> None:
    torch.manual_seed(0)
    method = build(tiny(name, preset=preset))
    x_p, x_h, x_k = torch.rand(3, 2, 1, 32, 32)
    m_p, m = (torch.rand(2, 2, 1, 32, 32) > 0.7).float()
    batch = Batch(x_p, m_p, x_h, m, torch.tensor([True, False]), x_k=x_k if name == "judge" else None)
    terms = method.generator_terms(batch)
    assert set(terms.fakes) == set(method.fakes(batch))
    method.discriminators.requires_grad_(False)
    method.generator_terms(batch).total.backward()
    reached(method.generators)
    method.generators.zero_grad()
    method.discriminators.requires_grad_(True)
    losses = method.discriminator_losses(batch, {name: fake.detach() for name, fake in terms.fakes.items()})
    assert set(losses) == set(method.discriminators)
    for loss in losses.values():
        loss.backward()
    reached(method.discriminators)
    assert all(parameter.grad is None for parameter in method.generators.parameters())


EVERYTHING = [
    "networks.mirrored_input=true",
    "losses.gradient=1",
    "losses.lesion_crop_adversarial=1",
    "losses.mask_discriminator_input=noise",
]


@pytest.mark.parametrize("name", get_args(MethodName))
def test_what_a_method_computes_stays_on_its_device(name: MethodName) -> None:
    with torch.device("meta"):  # whose tensors meet no other device's
        method = build(tiny(name, *EVERYTHING))
        x_p, m_p, x_h, m, truth, x_k = torch.rand(6, 2, 1, 64, 48)
        labelled, synthetic = torch.ones(2, 2, dtype=torch.bool)
    known = synthetic if "synthetic" in method.needs else None
    batch = Batch(x_p, m_p, x_h, m, labelled, known, truth, x_k)
    sides = [method.generator_terms(batch)]
    if method.warm_up_needs:
        sides.append(method.warm_up_terms(*(batch for _ in method.warm_up_needs)))
    for terms in sides:
        terms.total.backward()
        fakes = {made: fake.detach() for made, fake in terms.fakes.items()}
        for loss in method.discriminator_losses(batch, fakes).values():
            loss.backward()
    assert all(parameter.grad is not None for parameter in method.generators.parameters())


def reached(networks: torch.nn.ModuleDict) -> None:
    """Every parameter has a gradient, but for an unbounded discriminator's last bias, which cancels."""
    for name, parameter in networks.named_parameters():
        linear = name.startswith("D_") and not networks[name.split(".")[0]].bounded
        if not (linear and name.endswith("output.1.bias")):
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().sum() > 0, name
