"""Networks for other programs: read back by those programs, they give what ours give."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fixtures.full_disk import full_disk
from fixtures.models import saved
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import RESEARCH_USE, InputError, PseudohealthyError
from pseudohealthy.networks.generator import Generator
from pseudohealthy.networks.segmentor import Segmentor
from pseudohealthy.synthesis.backends import OUTPUT, PACKAGES, to_onnx
from pseudohealthy.synthesis.bundled_weights import bundled_weights
from pseudohealthy.synthesis.export import LICENCE, export
from pseudohealthy.synthesis.model import SLICES_ON_CPU, Model
from pseudohealthy.training.weights import digest

WITHIN = 2e-5  # of ONNX Runtime's outputs and ours
onnx_only = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, PACKAGES["onnxruntime"])),
    reason="the extra onnxruntime is not installed",
)
SHAPES = ((1, 208, 160), (3, 96, 80))


def slices(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def ours(network: torch.nn.Module, *stacks: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.inference_mode():
        out: NDArray[np.float32] = network(*map(torch.from_numpy, stacks)).numpy()
    return out


def session(path: Path) -> Any:
    import onnxruntime  # type: ignore[import-untyped]

    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def onnx_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled weights, exported."""
    out = tmp_path_factory.mktemp("export") / "onnx"
    written = export(bundled_weights(), out, "onnx")
    assert [path.name for path in written] == [
        "README.md",
        "generator.onnx",
        "reconstructor.onnx",
        "segmentor.onnx",
    ]
    return out


@onnx_only
@pytest.mark.parametrize("shape", SHAPES)
def test_the_bundled_weights_give_the_same_in_another_runtime(
    onnx_files: Path, shape: tuple[int, int, int]
) -> None:
    networks = Model.load(bundled_weights(), "cpu").networks
    x, m = slices(shape)[:, None], slices(shape, 1)[:, None]
    for letter, name in (("G", "generator"), ("S", "segmentor"), ("R", "reconstructor")):
        given = {"x": x, "m": m} if letter == "R" else {"x": x}
        theirs = session(onnx_files / f"{name}.onnx").run([OUTPUT], given)[0]
        np.testing.assert_allclose(theirs, ours(networks[letter], *given.values()), rtol=0, atol=WITHIN)
        assert np.ptp(theirs) > 0.1


@onnx_only
def test_a_file_says_what_it_is(onnx_files: Path) -> None:
    import onnx

    for letter, name in (("G", "generator"), ("S", "segmentor"), ("R", "reconstructor")):
        onnx.checker.check_model(onnx_files / f"{name}.onnx", full_check=True)
        metadata = session(onnx_files / f"{name}.onnx").get_modelmeta().custom_metadata_map
        assert (metadata["network"], metadata["method"]) == (letter, "paired")
        assert metadata["weights_sha256"] == digest(bundled_weights())
        assert json.loads(metadata["preprocessing"])["slice_shape"] == [208, 160]
        assert metadata["research_use"] == RESEARCH_USE
    readme = (onnx_files / "README.md").read_text()
    for said in ("`segmentor.onnx` (S): x, an axial", "208 x 160", RESEARCH_USE, "TCGA-LGG"):
        assert said in readme


@pytest.mark.slow
@onnx_only
@pytest.mark.parametrize(
    "network",
    [
        Generator(4, norm="layer", output_mode="gated", long_skips=True, mirrored_input=True),
        Segmentor(4, residual="concatenate"),
    ],
    ids=["generator", "segmentor"],
)
def test_every_flavour_of_a_network_exports(network: torch.nn.Module, tmp_path: Path) -> None:
    path, content = tmp_path / "network.onnx", to_onnx(network.eval(), 1).SerializeToString()
    for trace in (b".py", b"site-packages", str(Path(__file__).parents[2]).encode()):
        assert trace not in content  # nothing of the machine that made it
    path.write_bytes(content)
    x = slices((3, 1, 32, 80))
    np.testing.assert_allclose(
        session(path).run([OUTPUT], {"x": x})[0], ours(network, x), rtol=0, atol=WITHIN
    )


def test_without_what_writes_onnx_one_line_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "onnxscript" else find(name)
    )
    with pytest.raises(InputError) as refused:
        export(saved(tmp_path / "weights"), tmp_path / "out", "onnx")
    assert str(refused.value) == (
        "--format onnx: onnxscript not installed; pip install '.[onnxruntime]' (in a clone of the repository)"
    )
    assert not (tmp_path / "out").exists()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A tiny model with a licence, as a bundle; its weights lie beside it."""
    weights = saved(tmp_path / "weights")
    (weights / LICENCE).write_text("CC BY 4.0\n")
    written = export(weights, tmp_path / "bundle", "monai")
    assert [path.relative_to(tmp_path / "bundle").as_posix() for path in written] == [
        "LICENSE",
        "configs/inference.json",
        "configs/metadata.json",
        "docs/README.md",
        "models/model.pt",
        "models/reconstructor.pt",
        "models/segmentor.pt",
    ]
    assert (tmp_path / "bundle" / LICENCE).read_text() == "CC BY 4.0\n"
    return tmp_path / "bundle"


def loaded(bundle: Path, definition: str, weights: str) -> torch.nn.Module:
    """A network as somebody with MONAI gets it."""
    from monai.bundle import ConfigParser  # takes seconds, so not for workers that only collect tests

    parser = ConfigParser()
    parser.read_config(bundle / "configs/inference.json")
    parser.read_meta(bundle / "configs/metadata.json")
    network: torch.nn.Module = parser.get_parsed_content(definition)
    network.load_state_dict(torch.load(bundle / "models" / weights, weights_only=True))
    return network.eval()


def test_a_bundle_gives_exactly_what_the_model_gives(bundle: Path) -> None:
    model = Model.load(bundle.parent / "weights", "cpu")
    x = slices((SLICES_ON_CPU, 64, 48))
    G, S = loaded(bundle, "network_def", "model.pt"), loaded(bundle, "segmentor_def", "segmentor.pt")
    R = loaded(bundle, "reconstructor_def", "reconstructor.pt")
    np.testing.assert_array_equal(ours(G, x[:, None])[:, 0], model.synthesize(x))
    np.testing.assert_array_equal(ours(S, x[:, None])[:, 0], model.segment(x))
    np.testing.assert_array_equal(ours(R, x[:, None], x[:, None])[:, 0], model.reconstruct(x, x))


@pytest.mark.skipif(importlib.util.find_spec("ignite") is None, reason="pytorch-ignite is not installed")
def test_monai_runs_a_bundle_on_a_prepared_cohort(bundle: Path, prepared_folder: Path) -> None:
    """In a process of its own: Ignite warns of itself when it is imported."""
    code = """
import sys
from monai.bundle import ConfigWorkflow
workflow = ConfigWorkflow(
    config_file="configs/inference.json",
    meta_file="configs/metadata.json",
    workflow_type="infer",
    dataset_dir=sys.argv[1],
)
workflow.initialize()
assert workflow.check_properties() == []
workflow.run()
workflow.finalize()
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(prepared_folder)],
        cwd=bundle,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    theirs = np.load(bundle / "predictions.npy")
    model = Model.load(bundle.parent / "weights", "cpu")
    expected = model.synthesize(np.array(Prepared.open(prepared_folder).images))
    np.testing.assert_allclose(theirs, expected, rtol=0, atol=1e-6)


def test_the_metadata_is_true_of_the_network(bundle: Path) -> None:
    """MONAI's own check of shapes; its schema lies on a server, so its required keys stand here."""
    from monai.bundle import verify_net_in_out

    verify_net_in_out(
        "network_def",
        meta_file=str(bundle / "configs/metadata.json"),
        config_file=str(bundle / "configs/inference.json"),
        device="cpu",
        n=2,
        p=3,
    )
    metadata = json.loads((bundle / "configs/metadata.json").read_text())
    required = {
        "version": str,
        "monai_version": str,
        "pytorch_version": str,
        "numpy_version": str,
        "required_packages_version": dict,
        "task": str,
        "description": str,
        "authors": str,
        "copyright": str,
        "network_data_format": dict,
    }
    assert {key: type(metadata[key]) for key in required} == required
    for tensors in metadata["network_data_format"].values():
        for tensor in tensors.values():
            assert set(tensor) == {
                "type",
                "format",
                "modality",
                "num_channels",
                "spatial_shape",
                "dtype",
                "value_range",
                "is_patch_data",
                "channel_def",
            }
    assert metadata["preprocessing"]["slice_shape"] == [64, 48]
    assert metadata["weights_sha256"] == digest(bundle.parent / "weights")
    assert metadata["intended_use"] == RESEARCH_USE


def test_a_judges_bundle_is_about_its_segmentor(tmp_path: Path) -> None:
    weights = saved(tmp_path / "weights", "judge")
    (weights / "README.md").unlink()
    written = export(weights, tmp_path / "out", "monai")
    assert "model.pt" in [path.name for path in written]
    x = slices((1, 64, 48))
    S = loaded(tmp_path / "out", "network_def", "model.pt")
    np.testing.assert_array_equal(ours(S, x[:, None])[:, 0], Model.load(weights, "cpu").segment(x))
    assert RESEARCH_USE in (tmp_path / "out/docs/README.md").read_text()


def test_both_generators_of_cyclegan_are_in_its_bundle(tmp_path: Path) -> None:
    weights = saved(tmp_path / "weights", "cyclegan")
    export(weights, tmp_path / "out", "monai")
    x = slices((1, 64, 48))
    F = loaded(tmp_path / "out", "backward_generator_def", "backward_generator.pt")
    theirs = ours(F, x[:, None])[:, 0]
    np.testing.assert_array_equal(theirs, Model.load(weights, "cpu").reconstruct(x, None))


def test_an_inpainter_makes_no_bundle(tmp_path: Path) -> None:
    weights = saved(tmp_path / "weights", "inpainter")
    with pytest.raises(InputError, match="weights of the method inpainter hold no network of one image"):
        export(weights, tmp_path / "out", "monai")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_empty_is_left_as_it_is(tmp_path: Path) -> None:
    weights, out = saved(tmp_path / "weights"), tmp_path / "out"
    out.mkdir()
    export(weights, out, "monai")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    with pytest.raises(InputError, match=r"out: is not empty; expected a new or an empty folder"):
        export(weights, out, "monai")
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_what_is_no_weights_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a weights folder"):
        export(tmp_path, tmp_path / "out", "monai")
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    weights = saved(tmp_path / "weights")
    with full_disk(), pytest.raises(PseudohealthyError, match=r"model\.pt: cannot be written"):
        export(weights, tmp_path / "out", "monai")
    assert list(tmp_path.iterdir()) == [weights]


@pytest.mark.parametrize("moves", range(3))
def test_stopped_at_any_move_of_a_file_into_the_folder_it_can_be_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int
) -> None:
    weights, out = saved(tmp_path / "weights"), tmp_path / "out"
    export(weights, out, "monai")
    whole = {path.relative_to(out) for path in out.rglob("*")}
    shutil.rmtree(out)
    numbers, move = count(), Path.replace

    def stopping(path: Path, target: Path) -> Path:
        if target in (out, out / target.name) and next(numbers) == moves:
            raise KeyboardInterrupt
        return move(path, target)

    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(Path, "replace", stopping)
        export(weights, out, "monai")
    if not out.exists():
        export(weights, out, "monai")
    assert {path.relative_to(out) for path in out.rglob("*")} == whole
    assert {path.name for path in tmp_path.iterdir()} == {"weights", "out"}


def test_a_card_that_is_no_text_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    weights = saved(tmp_path / "weights")
    (weights / "README.md").write_bytes(b"\xff\xfe")
    with pytest.raises(
        InputError, match=r"README\.md: cannot be read as a card \(byte 1 is not UTF-8 text\)"
    ):
        export(weights, tmp_path / "out", "monai")
    assert list(tmp_path.iterdir()) == [weights]


@pytest.mark.parametrize("kind", ["pipe", "folder", "gigabytes"])
def test_a_licence_that_is_none_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    def begun(*_: object) -> None:
        raise AssertionError("the folder was begun")

    weights = saved(tmp_path / "weights")
    path = weights / LICENCE
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        with path.open("wb") as file:
            file.truncate(4 * 2**30)
    monkeypatch.setattr("pseudohealthy.synthesis.export.whole_folder", begun)
    with pytest.raises(InputError, match=r"LICENSE: cannot be read as a licence \((expected a|larger than)"):
        export(weights, tmp_path / "out", "monai")
    assert list(tmp_path.iterdir()) == [weights]
