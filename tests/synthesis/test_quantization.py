"""Convolutions in 8-bit integers: their ranges, the file beside the weights, and what is lost."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fixtures.brains import Image, ellipse, slices
from fixtures.models import saved
from pseudohealthy import cpu
from pseudohealthy.errors import InputError
from pseudohealthy.synthesis import backends
from pseudohealthy.synthesis.bundled_weights import bundled_weights, describe_weights
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.quantization import (
    FILE,
    FORMAT,
    InputRanges,
    Range,
    measure_ranges,
    with_exact_zero,
)

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="the extra openvino is not installed"
)


def heads(count: int) -> Image:
    images = slices(count, ellipse((208, 160), (90, 70)), widths=(0,))
    images[:, 70:100, 50:80] += 0.3
    return images


def measured(folder: Path) -> InputRanges:
    """Of every convolution of a tiny model."""
    model = Model.load(folder, "cpu")
    x = slices(4, ellipse((64, 48), (28, 20)), widths=(0,))[:, None]
    networks = {letter: measure_ranges(model.networks[letter], x) for letter in "GS"}
    return InputRanges(format=FORMAT, sha256=model.provenance["sha256"], slices=4, networks=networks)


def test_ranges_are_the_least_and_the_greatest_input_over_all_batches() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Conv2d(2, 1, 1))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([2.0, -3.0]).view(2, 1, 1, 1))  # type: ignore[operator]
        network[0].bias.zero_()  # type: ignore[operator]
    x = np.array([-1.0, 0.5, 4.0], np.float32).reshape(3, 1, 1, 1)
    assert measure_ranges(network, x, at_once=1) == {"0": (-1.0, 4.0), "2": (0.0, 8.0)}


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-3.7, 10.1), (2.0, 5.0), (-4.0, -1.0), (0.0, 0.0)])
def test_zero_is_a_level_of_every_range(bounds: Range) -> None:
    low, high = with_exact_zero(*bounds)
    step = (high - low) / 255
    assert low <= 0 <= high
    assert -low / step == pytest.approx(round(-low / step), abs=1e-9)
    assert low <= bounds[0] + step
    assert high >= bounds[1] - step


def test_they_come_back_from_beside_their_weights_and_no_others(tmp_path: Path) -> None:
    ranges = measured(saved(tmp_path))
    assert not Model.load(tmp_path, "cpu").ranges
    ranges.write(tmp_path)
    assert InputRanges.read(tmp_path, ranges.sha256) == ranges
    assert Model.load(tmp_path, "cpu").ranges == ranges.networks
    assert InputRanges.read(tmp_path, "another") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2, "layers": []}, "of another version; remove it, or measure again"),
        ({"networks": {"G": {"output": [0, 1, 2]}}}, "networks.G.output"),
        ({"networks": {"G": {"output": [0, None]}}}, "networks.G.output"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    measured(saved(tmp_path)).write(tmp_path)
    values = json.loads((tmp_path / FILE).read_text())
    (tmp_path / FILE).write_text(json.dumps({**values, **change}))
    with pytest.raises(InputError, match=message):
        Model.load(tmp_path, "cpu")


@pytest.mark.parametrize(
    ("features", "has_ranges", "expected"),
    [
        ({"amx_bf16", "avx512_vnni"}, True, "bf16"),
        ({"avx512_vnni"}, True, "int8"),
        ({"avx_vnni"}, True, "int8"),
        ({"avx512_vnni"}, False, "f32"),
        (set(), True, "f32"),
    ],
)
def test_the_precision_is_the_fastest_of_the_processor(
    features: set[str], has_ranges: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "_has", lambda feature: feature in features)
    assert backends.precision_of("openvino", has_ranges=has_ranges) == expected
    assert backends.precision_of("torch", has_ranges=has_ranges) == "f32"


@needs_openvino
def test_the_embedded_model_stays_within_what_is_said_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a processor without VNNI it is as exact, and slow."""
    monkeypatch.setattr(cpu, "_has", lambda feature: feature == "avx512_vnni")
    exact, rounded = (Model.load(bundled_weights(), "cpu", name) for name in ("torch", "openvino"))
    assert rounded.describe_backend(2)["precision"] == "int8"
    x = heads(2)
    difference = np.abs(rounded.synthesize(x) - exact.synthesize(x))
    assert 1e-6 < difference.max() < 0.01  # it was rounded, and little
    marked, now = (model.segment(x) > 0.5 for model in (exact, rounded))
    assert np.count_nonzero(marked != now) < 0.05 * np.count_nonzero(marked)


@needs_openvino
def test_only_the_layers_with_a_range_are_rounded(tmp_path: Path) -> None:
    ranges = measured(saved(tmp_path)).networks["G"]
    network = Model.load(tmp_path, "cpu").networks["G"]
    x = slices(2, ellipse((64, 48), (28, 20)), widths=(0,))[:, None]
    exact = backends.to_openvino(network, (64, 48), 1, "f32", ranges)([x])[0]
    none, some = (
        backends.to_openvino(network, (64, 48), 1, "int8", chosen)([x])[0] for chosen in ({}, ranges)
    )
    np.testing.assert_allclose(none, exact, rtol=0, atol=1e-6)
    assert np.abs(some - exact).max() > 1e-6
    with pytest.raises(ValueError, match="it has no convolution layer_of_old"):
        backends.to_openvino(network, (64, 48), 1, "int8", {**ranges, "layer_of_old": (0.0, 1.0)})


def test_what_is_said_of_the_precision_is_of_the_models_own_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "_has", lambda feature: feature == "avx512_vnni")
    ranges = measured(saved(tmp_path))
    for networks, precision in (({}, "f32"), ({"F": ranges.networks["G"]}, "f32"), (ranges.networks, "int8")):
        ranges.model_copy(update={"networks": networks}).write(tmp_path)
        model = Model.load(tmp_path, "cpu", "openvino")
        assert model.describe_backend(100)["precision"] == precision


def test_the_embedded_weights_have_ranges() -> None:
    found = InputRanges.read(bundled_weights(), describe_weights(bundled_weights())["sha256"])
    assert found, "run scripts/calibrate_int8.py on these weights"
    assert set(found.networks) == {"G", "S"}
