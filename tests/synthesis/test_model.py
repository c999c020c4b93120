"""A weights folder that training wrote, used on slices; tiles cover, agree, and show no seam."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fixtures.cohorts import FITTING
from fixtures.models import ruled, saved, tiny
from pseudohealthy.catalogue.methods import Ability
from pseudohealthy.config import MethodName
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import InputError, PseudohealthyError
from pseudohealthy.methods.factory import build
from pseudohealthy.synthesis.model import OVERLAP, SLICES_AT_ONCE, Model, Slices, by_tiles, starts
from pseudohealthy.training.checkpoint import load_weights
from pseudohealthy.training.loop import train

SETTINGS = tiny("paired", "training.images=4")
FIELD = (64, 48)
SIZES = [(64, 48), (64, 49), (65, 48), (80, 64), (96, 128), (127, 97), (208, 176), (64, 300)]


@pytest.fixture(scope="module")
def trained(prepared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("trained") / "run"
    return train(Prepared.open(prepared_folder), run, SETTINGS, accelerator="cpu")


def networks(folder: Path) -> nn.ModuleDict:
    """The networks of a weights folder, without `Model`."""
    loaded = build(SETTINGS).generators
    load_weights(folder, loaded)
    return loaded


@torch.no_grad()
def run(network: Callable[[Tensor], Tensor], x: Any) -> Any:
    return network(torch.from_numpy(x)[:, None])[:, 0].numpy()


def image(size: tuple[int, int], slices: int = 2) -> Slices:
    return np.random.default_rng(0).random((slices, *size), dtype=np.float32)


def test_a_loaded_model_gives_what_its_networks_give(trained: Path, prepared: Prepared) -> None:
    model = Model.load(trained, "cpu")
    x = np.array(prepared.images[: SLICES_AT_ONCE + 3])
    assert len(x) == SLICES_AT_ONCE + 3
    for letter, ours in (("G", model.synthesize(x)), ("S", model.segment(x))):
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, run(networks(trained)[letter], x), rtol=0, atol=1e-6)
        assert np.ptp(ours) > 0


def test_a_model_is_loaded_without_sympy(trained: Path) -> None:
    """Its import would make every first image wait."""
    code = (
        "import sys; from pathlib import Path; from pseudohealthy.synthesis.model import Model; "
        f"Model.load(Path({str(trained)!r}), 'cpu'); sys.exit('sympy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_model_describes_itself(trained: Path, prepared: Prepared) -> None:
    model = Model.load(trained, "cpu")
    assert model.settings == SETTINGS
    assert model.preprocessing == FITTING
    assert model.device == "cpu"
    content = (trained / "model.safetensors").read_bytes()
    assert model.provenance["sha256"] == hashlib.sha256(content).hexdigest()
    assert (model.provenance["method"], model.provenance["images"]) == ("paired", 4)
    assert model.provenance["data"]["key"] == prepared.manifest["key"]
    averaged = [
        Model.load(trained.parent / name).provenance["averaged"] for name in ("weights", "weights_ema")
    ]
    assert averaged == [False, True]


@pytest.mark.parametrize("method", get_args(MethodName))
def test_all_numbers_of_a_loaded_network_are_those_of_its_file(method: MethodName, tmp_path: Path) -> None:
    """It is built without numbers, so that one which is in no file would be anything."""
    loaded = Model.load(saved(tmp_path, method), "cpu").networks
    tensors = load_file(tmp_path / "model.safetensors")
    for name, tensor in (*loaded.named_parameters(), *loaded.named_buffers()):
        assert torch.equal(tensor, tensors[name].float())
    assert all(parameter.requires_grad for parameter in loaded.parameters())


def test_slices_may_be_read_only_and_stay_as_they_are(trained: Path) -> None:
    model, x = Model.load(trained, "cpu"), image(FIELD)
    x.flags.writeable = False
    before = x.copy()
    out = model.synthesize(x)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(out, model.synthesize(before))
    np.testing.assert_array_equal(x, before)


def test_slices_larger_than_in_training_go_through_in_tiles(trained: Path) -> None:
    model = Model.load(trained, "cpu")
    x = np.random.default_rng(0).random((2, 96, 72), dtype=np.float32)
    out = model.synthesize(x)
    assert out.shape == x.shape
    corners = {(0, 0): np.s_[:, :32, :24], (32, 24): np.s_[:, -32:, -24:]}  # what one tile alone holds
    for (top, left), alone in corners.items():
        tile = np.ascontiguousarray(x[:, top : top + 64, left : left + 48])
        of_tile = run(networks(trained)["G"], tile)
        np.testing.assert_allclose(out[alone], of_tile[alone], rtol=0, atol=1e-6)


def test_the_reconstructor_puts_disease_where_the_mask_says(trained: Path, prepared: Prepared) -> None:
    model = Model.load(trained, "cpu")
    x = np.array(prepared.images[: SLICES_AT_ONCE + 3])
    m = np.zeros(x.shape, dtype=np.bool_)
    m[:, 20:30, 10:20] = True
    R = networks(trained)["R"]
    for mask in (m, 0.3 * m.astype(np.float32), np.zeros_like(x)):
        expected = R(torch.from_numpy(x)[:, None], torch.from_numpy(mask.astype(np.float32))[:, None])
        ours = model.reconstruct(x, mask)
        assert ours.dtype == np.float32
        np.testing.assert_allclose(ours, expected[:, 0].detach().numpy(), rtol=0, atol=1e-6)
    assert np.abs(model.reconstruct(x, m) - model.reconstruct(x, np.zeros_like(x))).max() > 1e-6


def test_image_and_mask_larger_than_in_training_are_cut_alike(trained: Path) -> None:
    model = Model.load(trained, "cpu")
    rng = np.random.default_rng(0)
    x, m = rng.random((2, 2, 96, 72), dtype=np.float32)
    out = model.reconstruct(x, m)
    assert out.shape == x.shape
    alone = model.reconstruct(x[:, :64, :48], m[:, :64, :48])  # what the first tile alone holds
    np.testing.assert_allclose(out[:, :32, :24], alone[:, :32, :24], rtol=0, atol=1e-6)


def test_cyclegan_reconstructs_without_a_mask(tmp_path: Path) -> None:
    model = Model.load(saved(tmp_path, "cyclegan"), "cpu")
    x = np.random.default_rng(0).random((2, 64, 48), dtype=np.float32)
    np.testing.assert_allclose(model.reconstruct(x, None), run(model.networks["F"], x), rtol=0, atol=1e-6)
    assert np.array_equal(model.reconstruct(x, np.ones_like(x)), model.reconstruct(x, None))
    assert not np.array_equal(model.reconstruct(x, None), model.synthesize(x))
    with pytest.raises(
        InputError, match="method cyclegan, which has no segmentor but generator, backward generator"
    ):
        model.segment(x)


def test_inpainting_changes_the_inside_of_the_mask_alone_and_does_not_know_what_was_there(
    tmp_path: Path,
) -> None:
    model = Model.load(saved(tmp_path, "inpainter"), "cpu")
    x = np.random.default_rng(0).random((3, 96, 72), dtype=np.float32)
    m = np.zeros(x.shape, dtype=np.uint8)
    m[:, 20:50, 10:40] = 1
    out = model.inpaint(x, m)
    assert out.dtype == np.float32
    assert np.array_equal(out[m == 0], x[m == 0])
    assert (out[m == 1] != x[m == 1]).mean() > 0.99
    assert np.array_equal(model.inpaint(np.where(m, 1 - x, x), m), out)


@pytest.mark.parametrize("method", ["conditional_gan", "judge", "inpainter"])
def test_a_method_without_a_reconstructor_reconstructs_nothing(tmp_path: Path, method: MethodName) -> None:
    model = Model.load(saved(tmp_path, method), "cpu")
    x = np.zeros((1, 64, 48), dtype=np.float32)
    with pytest.raises(InputError, match=f"method {method}, which has no reconstructor"):
        model.reconstruct(x, x)
    if method != "inpainter":
        with pytest.raises(InputError, match=f"method {method}, which has no inpainter"):
            model.inpaint(x, x)


def test_a_mask_that_is_missing_or_of_another_shape_is_refused(tmp_path: Path) -> None:
    model = Model.load(saved(tmp_path), "cpu")
    x = np.zeros((2, 64, 48), dtype=np.float32)
    with pytest.raises(InputError, match=r"a mask of the slices' shape \(2, 64, 48\) is needed, found none"):
        model.reconstruct(x, None)
    with pytest.raises(InputError, match=r"found one of \(1, 64, 48\)"):
        model.reconstruct(x, x[:1])


def test_the_slice_shape_is_the_model_s_own(tmp_path: Path) -> None:
    model = Model.load(saved(tmp_path, slice_shape=(96, 80)), "cpu")
    x = np.random.default_rng(0).random((2, 96, 80), dtype=np.float32)
    np.testing.assert_allclose(model.segment(x), run(model.networks["S"], x), rtol=0, atol=1e-6)


def test_a_judge_segments_lesions_and_synthesizes_nothing(tmp_path: Path) -> None:
    model = Model.load(saved(tmp_path, "judge", finds=True), "cpu")
    x = np.zeros((1, 64, 48), dtype=np.float32)
    assert model.segment(x).min() > 0.99
    with pytest.raises(InputError, match="method judge, which has no generator but segmentor"):
        model.synthesize(x)


@pytest.mark.parametrize(
    ("method", "able"),
    [
        ("unpaired", {"synthesize", "segment", "reconstruct"}),
        ("cyclegan", {"synthesize", "reconstruct"}),
        ("inpainter", {"inpaint"}),
        ("judge", {"segment"}),
    ],
)
def test_a_model_can_do_what_its_networks_do(tmp_path: Path, method: MethodName, able: set[str]) -> None:
    model = Model.load(saved(tmp_path, method), "cpu")
    assert {ability for ability in get_args(Ability) if model.can(ability)} == able


@pytest.mark.parametrize("folder", ["none", "model.safetensors"])
def test_what_is_no_weights_folder_is_refused(tmp_path: Path, folder: str) -> None:
    saved(tmp_path)
    with pytest.raises(InputError, match="not a weights folder"):
        Model.load(tmp_path / folder)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    weights = saved(tmp_path) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(InputError, match="not a readable safetensors file"):
        Model.load(tmp_path)
    weights.unlink()
    with pytest.raises(InputError, match=r"no model\.safetensors there"):
        Model.load(tmp_path)


def test_finite_weights_too_large_to_compute_with_are_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "weights")
    tensors = {name: 3e38 * tensor.sign() for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(tensors, folder / "model.safetensors")
    x = np.random.default_rng(0).random((1, 64, 48), dtype=np.float32)
    with pytest.raises(InputError, match="the generator gives numbers that are NaN or infinite; its weights"):
        Model.load(folder, "cpu").synthesize(x)


@pytest.mark.parametrize("key", ["settings", "preprocessing", "images", "data", "averaged"])
def test_a_config_without_one_of_its_parts_is_refused(tmp_path: Path, key: str) -> None:
    """A preprocessing made up from defaults would give wrong images without a word."""
    with pytest.raises(InputError, match=r"config\.json: "):
        Model.load(edited(tmp_path, lambda config: config.pop(key)))


def test_a_config_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"config\.json: networks\.widht is not a setting; did you mean width"
    ):
        Model.load(edited(tmp_path, lambda config: config["settings"]["networks"].update(widht=4)))
    with pytest.raises(InputError, match="tensors do not fit the networks"):
        Model.load(edited(tmp_path, lambda config: config["settings"]["networks"].update(width=8)))
    with pytest.raises(InputError, match="multiples of 16"):
        Model.load(edited(tmp_path, lambda config: config["preprocessing"].update(slice_shape=[60, 48])))


def test_networks_that_the_weights_are_too_few_for_are_never_built(tmp_path: Path) -> None:
    """Fresh weights are drawn from torch's generator: where it has not moved, there are none in memory."""
    widths = {"width": 512, "segmentor_width": 512, "discriminator_width": 512}
    folder = edited(tmp_path, lambda config: config["settings"]["networks"].update(widths))
    before = torch.get_rng_state()
    with pytest.raises(InputError, match="tensors do not fit the networks"):
        Model.load(folder)
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(InputError, match=r"config\.json: networks\.width is 8192: .* equal to 512"):
        Model.load(edited(tmp_path, lambda config: config["settings"]["networks"].update(width=8192)))


def edited(folder: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    path = saved(folder) / "config.json"
    config = json.loads(path.read_text())
    edit(config)
    path.write_text(json.dumps(config))
    return folder


def test_a_device_that_is_not_there_is_refused_in_one_line(tmp_path: Path) -> None:
    saved(tmp_path)
    absent = ["banana"] if torch.cuda.is_available() else ["banana", "cuda"]
    for device in absent:
        with pytest.raises(InputError, match=f"^device {device} cannot be used here .*; try --device cpu$"):
            Model.load(tmp_path, device)


def test_a_graphics_card_without_enough_memory_is_one_line_that_says_what_to_do() -> None:
    def full(_: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    with pytest.raises(PseudohealthyError, match=r"too little memory left .+ or give --device cpu$"):
        ruled("paired", G=full).synthesize(np.zeros((1, 64, 48), dtype=np.float32))


@pytest.mark.parametrize("size", SIZES)
def test_nothing_done_to_tiles_is_nothing_done_to_the_whole(size: tuple[int, int]) -> None:
    x = image(size)
    before = x.copy()
    out = by_tiles(lambda tiles: tiles, x, FIELD)
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, x, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("size", SIZES)
def test_what_is_done_to_each_pixel_is_done_to_the_whole(size: tuple[int, int]) -> None:
    x = image(size)
    np.testing.assert_allclose(by_tiles(np.square, x, FIELD), np.square(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_every_tile_has_the_fields_size_and_all_slices(size: tuple[int, int]) -> None:
    shapes = set()

    def note(tiles: Slices) -> Slices:
        shapes.add(tiles.shape)
        assert tiles.flags.c_contiguous
        return tiles

    by_tiles(note, image(size, 3), FIELD)
    assert shapes == {(3, *FIELD)}


@pytest.mark.parametrize("size", [FIELD, (100, 90)])
def test_a_view_that_is_not_contiguous_is_taken_too(size: tuple[int, int]) -> None:
    x = image((size[1], size[0])).transpose(0, 2, 1)
    np.testing.assert_allclose(by_tiles(lambda tiles: tiles, x, FIELD), x, rtol=0, atol=1e-6)


@pytest.mark.parametrize("tile", [32, 48, 64, 160, 208])
def test_tiles_cover_the_length_evenly_with_enough_overlap(tile: int) -> None:
    overlap = min(OVERLAP, tile // 2)
    for length in range(tile, 5 * tile):
        begins = starts(length, tile)
        steps = [after - before for before, after in pairwise(begins)]
        assert (begins[0], begins[-1]) == (0, length - tile)
        assert all(0 < step <= tile - overlap for step in steps)
        assert not steps or max(steps) - min(steps) <= 1
        fewer = len(begins) - 1
        assert fewer == 0 or tile + (fewer - 1) * (tile - overlap) < length  # not one tile too many


@pytest.mark.parametrize("size", [(128, 48), (64, 100), (150, 130)])
def test_tiles_that_disagree_leave_no_seam(size: tuple[int, int]) -> None:
    """Each tile is all 0 or all 1, in turn: the worst that networks can do."""
    count = 0

    def disagree(tiles: Slices) -> Slices:
        nonlocal count
        count += 1
        return np.full_like(tiles, count % 2)

    out = by_tiles(disagree, image(size), FIELD)
    assert np.ptp(out) > 0.9
    for axis in (1, 2):
        assert np.abs(np.diff(out, axis=axis)).max(initial=0) <= 2 / OVERLAP


def test_what_depends_on_the_place_in_the_tile_leaves_no_seam() -> None:
    """As instance norm and zero padding make a network do."""
    rows, columns = np.linspace(0, 1, FIELD[0]), np.linspace(0, 1, FIELD[1])
    place = np.add.outer(rows, columns).astype(np.float32)
    out = by_tiles(lambda tiles: np.broadcast_to(place, tiles.shape), image((150, 130)), FIELD)
    within = 1 / FIELD[1]
    for axis in (1, 2):
        assert np.abs(np.diff(out, axis=axis)).max() <= within + 2 / OVERLAP


@pytest.mark.parametrize("shape", [(32, 32), (48, 32)])
def test_the_smallest_tiles_work_too(shape: tuple[int, int]) -> None:
    x = image((77, 61))
    np.testing.assert_allclose(by_tiles(lambda tiles: tiles, x, shape), x, rtol=0, atol=1e-6)
