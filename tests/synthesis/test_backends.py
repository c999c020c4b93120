"""The same networks by PyTorch, ONNX Runtime and OpenVINO: what is chosen, and that the outputs agree."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fixtures.brains import Image, ellipse, slices
from fixtures.models import saved
from pseudohealthy import cpu
from pseudohealthy.errors import InputError
from pseudohealthy.networks.midline import mirrored
from pseudohealthy.synthesis import backends
from pseudohealthy.synthesis.backends import PACKAGES, WORTH, Name, describe, select, validate
from pseudohealthy.synthesis.bundled_weights import bundled_weights
from pseudohealthy.synthesis.model import Model

CPU, CUDA = "cpu", "cuda:0"
WITHIN = {"f32": {"G": 5e-4, "S": 5e-4}, "bf16": {"G": 0.02, "S": 0.1}, "int8": {"G": 0.01, "S": 0.1}}
CONVERTED = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            not all(map(importlib.util.find_spec, PACKAGES[name])),
            reason=f"the extra {name} is not installed",
        ),
    )
    for name in ("onnxruntime", "openvino")
]


def installed(monkeypatch: pytest.MonkeyPatch, *packages: str) -> None:
    """As if these were all that is installed."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name in packages else None)


def heads(count: int, height: int, width: int) -> Image:
    """Round heads of noise on black, with a bright spot each."""
    images = slices(count, ellipse((height, width), (0.45 * height, 0.45 * width)), widths=(0,))
    images[:, height // 3 : height // 2, width // 3 : width // 2] += 0.3
    return images


@pytest.mark.parametrize("name", CONVERTED)
def test_a_tiny_model_that_sees_both_hemispheres_gives_the_same(name: Name, tmp_path: Path) -> None:
    """One that sees only the image itself is the embedded model (below, slow; test_export.py)."""
    saved(tmp_path, mirrored=True)
    plain, other = Model.load(tmp_path, "cpu"), Model.load(tmp_path, "auto", name)
    precision = other.describe_backend(1)["precision"]
    for count in (1, 5):  # any number of them
        x = heads(count, 64, 48)
        for letter, ours, theirs in (
            ("G", other.synthesize(x), plain.synthesize(x)),
            ("S", other.segment(x), plain.segment(x)),
        ):
            assert ours.dtype == np.float32
            assert ours.shape == x.shape
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=WITHIN[precision][letter])
    assert np.ptp(other.synthesize(x) - x) > 1e-3


class Mirror(torch.nn.Module):
    """The further input of a generator that sees both hemispheres."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return mirrored(x)


@pytest.mark.parametrize("name", CONVERTED)
def test_a_brain_is_mirrored_about_the_same_column(name: Name) -> None:
    """Whatever digits a backend computes with: bf16 cannot count the pixels of a brain."""
    x = heads(3, 208, 160)[:, None]
    for shift, each in enumerate(x):
        each[:] = np.roll(each, 7 * shift, axis=2)
        each[..., :10] = 0
    theirs = backends.compile_network(name, Mirror(), CPU, (208, 160), 1)(x)
    np.testing.assert_allclose(theirs, mirrored(torch.from_numpy(x)).numpy(), rtol=2**-8, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONVERTED)
def test_the_embedded_model_gives_the_same(name: Name) -> None:
    plain, other = Model.load(bundled_weights(), "cpu"), Model.load(bundled_weights(), "cpu", name)
    x = heads(3, 208, 160)
    precision = other.describe_backend(3)["precision"]
    for letter, ours, theirs in (
        ("G", other.synthesize(x), plain.synthesize(x)),
        ("S", other.segment(x), plain.segment(x)),
    ):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=WITHIN[precision][letter])
        assert np.ptp(theirs) > 0.5


@pytest.mark.parametrize("name", CONVERTED)
def test_a_network_of_image_and_mask_gives_the_same_in_tiles(name: Name, tmp_path: Path) -> None:
    saved(tmp_path, "inpainter")
    x = heads(2, 96, 72)
    m = (x > 0.7).astype(np.float32)
    ours, theirs = (Model.load(tmp_path, "cpu", each).inpaint(x, m) for each in (name, "torch"))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=WITHIN[describe(name)["precision"]]["S"])


@pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="the extra openvino is not installed"
)
def test_half_precision_stays_within_what_is_said_of_it() -> None:
    model = Model.load(bundled_weights(), "cpu")
    x = heads(1, 208, 160)
    for letter, theirs in (("G", model.synthesize(x)), ("S", model.segment(x))):
        run = backends._openvino(model.networks[letter], (208, 160), 1, "bf16", {})
        np.testing.assert_allclose(run(x[:, None])[:, 0], theirs, rtol=0, atol=WITHIN["bf16"][letter])


@pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="the extra openvino is not installed"
)
@pytest.mark.parametrize("spare", [0, 1])
def test_openvino_is_pinned_only_where_it_has_all_the_cores(
    spare: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "usable_cores", lambda: torch.get_num_threads() + spare)
    network = Model.load(bundled_weights(), "cpu").networks["G"]
    compiled = backends.to_openvino(network, (64, 48), 1, "f32")
    assert compiled.get_property("ENABLE_CPU_PINNING") == (spare == 0)


@pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="the extra openvino is not installed"
)
def test_openvino_reports_nothing_to_its_makers(tmp_path: Path) -> None:
    weights = saved(tmp_path / "weights")
    code = f"""
import sys
from pathlib import Path
import numpy as np
from pseudohealthy.synthesis.model import Model
Model.load(Path({str(weights)!r}), "cpu", "openvino").synthesize(np.zeros((1, 64, 48), np.float32))
print([name for name in sys.modules if name.startswith("openvino_telemetry")])
"""
    home = tmp_path / "home"
    home.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"HOME": str(home), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
    assert list(home.iterdir()) == []


def test_auto_selects_the_first_that_is_worth_its_conversion(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = ("torch", *PACKAGES["onnxruntime"])
    installed(monkeypatch, *runtime, *PACKAGES["openvino"])
    assert select("auto", CPU, 1) == "torch"
    assert select("auto", CPU, WORTH["openvino"] - 1) == "torch"
    assert select("auto", CPU, WORTH["openvino"]) == "openvino"
    assert select("auto", CPU, 1, converted=True) == "openvino"
    assert select("torch", CPU, 1, converted=True) == "torch"
    for converted in (False, True):
        assert select("auto", CUDA, 1000, converted=converted) == "torch"
    installed(monkeypatch, *runtime)
    assert select("auto", CPU, 1, converted=True) == "torch"
    assert select("auto", CPU, WORTH["onnxruntime"] - 1) == "torch"
    assert select("auto", CPU, WORTH["onnxruntime"]) == "onnxruntime"
    installed(monkeypatch, "torch", "onnxruntime")
    assert select("auto", CPU, 1000) == "torch"


def test_a_backend_requested_by_name_is_selected() -> None:
    for name in PACKAGES:
        assert select(name, CPU, 1) == name


@pytest.mark.parametrize(
    ("name", "package"),
    [("onnxruntime", "onnxscript"), ("onnxruntime", "onnxruntime"), ("openvino", "openvino")],
)
def test_the_message_for_a_backend_that_is_not_installed_names_its_extra(
    name: Name, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path)
    installed(monkeypatch, *({"torch", *PACKAGES[name]} - {package}))
    with pytest.raises(InputError) as refused:
        Model.load(tmp_path, "cpu", name)
    assert str(refused.value).startswith(f"backend {name}: ")
    assert f"{package} not installed; pip install '.[{name}]'" in str(refused.value)
    assert Model.load(tmp_path, "cpu", "auto").describe_backend(10_000)["name"] != name


@pytest.mark.parametrize("name", CONVERTED)
def test_the_other_backends_are_refused_on_a_graphics_card(name: Name) -> None:
    with pytest.raises(InputError, match=f"backend {name} with device cuda:0: it is used on the CPU"):
        validate(name, CUDA)
    validate("auto", CUDA)
    validate("torch", CUDA)


@pytest.mark.parametrize("name", CONVERTED)
def test_a_network_that_cannot_be_converted_is_refused_in_one_line(name: Name) -> None:
    class Odd(torch.nn.Module):
        def forward(self, _: Any) -> Any:
            raise RuntimeError("no such thing\nand more")

    with pytest.raises(
        InputError, match=rf"^backend {name}: it cannot take this network \(.*\); take torch$"
    ):
        backends.compile_network(name, Odd(), CPU, (64, 48), 1)


def test_a_description_holds_name_version_and_precision() -> None:
    assert describe("torch") == {"name": "torch", "version": torch.__version__, "precision": "f32"}
