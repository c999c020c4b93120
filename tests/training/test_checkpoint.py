"""Weights and state on disk: whole or absent, and nothing in them is executed."""

from __future__ import annotations

import json
import pickle
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from fixtures.models import saved as saved_model
from pseudohealthy.errors import RESEARCH_USE, InputError, PseudohealthyError
from pseudohealthy.networks.generator import Generator
from pseudohealthy.training.checkpoint import (
    load_state,
    load_weights,
    save_in_half_precision,
    save_state,
    save_weights,
)
from pseudohealthy.training.weights import digest, read_config

CONFIG = {
    "settings": {"method": "paired", "preset": "default"},
    "preprocessing": {"slice_shape": [208, 160]},
    "data": {"cohort": "lgg", "train": 68},
    "images": 16,
    "averaged": False,
}


def networks(width: int = 4) -> nn.ModuleDict:
    return nn.ModuleDict({"G": Generator(width)})


def test_weights_come_back_with_their_config(tmp_path: Path) -> None:
    saved, loaded = networks(), networks()
    save_weights(tmp_path / "w", saved, CONFIG)
    load_weights(tmp_path / "w", loaded)
    assert all(torch.equal(a, b) for a, b in zip(saved.parameters(), loaded.parameters(), strict=True))
    config = read_config(tmp_path / "w")
    assert config["data"] == CONFIG["data"]
    with safe_open(tmp_path / "w/model.safetensors", "pt") as file:
        assert json.loads(file.metadata()["config"]) == config
    card = (tmp_path / "w/README.md").read_text()
    assert RESEARCH_USE in card
    assert "68 training volumes" in card
    assert len(digest(tmp_path / "w")) == 64


def test_in_half_precision_tensors_are_the_nearest_and_all_else_stays(tmp_path: Path) -> None:
    weights = saved_model(tmp_path / "w")
    save_in_half_precision(weights, tmp_path / "half")
    full, half = (load_file(folder / "model.safetensors") for folder in (weights, tmp_path / "half"))
    assert full.keys() == half.keys()
    assert all(torch.equal(half[name], full[name].half()) for name in full)
    assert read_config(tmp_path / "half") == read_config(weights)


def test_a_folder_may_hold_more_networks_than_are_loaded(tmp_path: Path) -> None:
    both = nn.ModuleDict({"G": Generator(4), "R": Generator(4, inputs=2)})
    save_weights(tmp_path, both, CONFIG)
    only = networks()
    load_weights(tmp_path, only)
    assert torch.equal(next(only.parameters()), next(both["G"].parameters()))


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    save_weights(tmp_path, networks(8), CONFIG)
    with pytest.raises(InputError, match="tensors do not fit"):
        load_weights(tmp_path, networks(4))
    with pytest.raises(InputError, match="tensors do not fit"):
        load_weights(tmp_path, nn.ModuleDict({"S": Generator(4)}))


def test_missing_and_damaged_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no model\.safetensors"):
        load_weights(tmp_path, networks())
    with pytest.raises(InputError, match=r"no model\.safetensors"):
        digest(tmp_path)
    with pytest.raises(InputError, match="not a weights folder"):
        read_config(tmp_path)
    save_weights(tmp_path, networks(), CONFIG)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="not a readable safetensors"):
        load_weights(tmp_path, networks())
    (tmp_path / "config.json").write_text('{"format": 99}')
    with pytest.raises(InputError, match="format 1"):
        read_config(tmp_path)


def test_a_state_comes_back(tmp_path: Path) -> None:
    save_state(tmp_path / "state.pt", {"images": 3, "nested": {"a": [torch.ones(2)]}})
    state = load_state(tmp_path / "state.pt")
    assert state["images"] == 3
    assert torch.equal(state["nested"]["a"][0], torch.ones(2))


class Malicious:
    """What a pickle of somebody else's may do."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (eval, ("1/0",))


def test_a_state_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"images": Malicious()}, tmp_path / "state.pt")
    with pytest.raises(InputError, match="not a readable training state"):
        load_state(tmp_path / "state.pt")
    (tmp_path / "other.pt").write_bytes(pickle.dumps(Malicious()))
    with pytest.raises(InputError, match="delete it to start anew"):
        load_state(tmp_path / "other.pt")


def test_a_full_disk_leaves_the_older_state_and_weights_as_they_were(tmp_path: Path) -> None:
    save_state(tmp_path / "state.pt", {"images": 1})
    save_weights(tmp_path, networks(), CONFIG)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (10_000, hard)
    )  # the system refuses to write more, as a full disk
    try:
        with pytest.raises(PseudohealthyError, match="cannot be written"):
            save_state(tmp_path / "state.pt", {"images": 2, "tensor": torch.ones(100_000)})
        with pytest.raises(PseudohealthyError, match="cannot be written"):
            save_weights(tmp_path, networks(8), CONFIG)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda tensor: tensor.fill_(torch.nan), "holds numbers that are NaN or infinite; fetch it again"),
        (lambda tensor: tensor.fill_(-torch.inf), "holds numbers that are NaN or infinite; fetch it again"),
        (lambda tensor: tensor.to(torch.int64), "holds int64, expected floating-point numbers"),
    ],
)
def test_numbers_that_no_network_has_are_refused_when_loaded(
    tmp_path: Path, spoil: Callable[[Tensor], Tensor], complaint: str
) -> None:
    save_weights(tmp_path, networks(), CONFIG)
    tensors = load_file(tmp_path / "model.safetensors")
    name = sorted(tensors)[-1]
    save_file({**tensors, name: spoil(tensors[name])}, tmp_path / "model.safetensors")
    with pytest.raises(InputError) as failure:
        load_weights(tmp_path, networks())
    assert f"model.safetensors: {name} {complaint}" in str(failure.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x02}."])
def test_an_empty_or_partial_state_says_what_to_delete(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.pt"
    save_state(path, {"images": 3})
    for part in (content, path.read_bytes()[:-40], path.read_bytes()[:100]):
        path.write_bytes(part)
        with pytest.raises(InputError) as failure:
            load_state(path)
        assert str(failure.value).startswith(f"{path}: not a readable training state (")
        assert str(failure.value).endswith("); delete it to start anew")
        assert "()" not in str(failure.value)
        assert "\n" not in str(failure.value)


def test_a_state_that_is_no_mapping_is_refused(tmp_path: Path) -> None:
    torch.save([torch.ones(2)], tmp_path / "state.pt")
    with pytest.raises(InputError, match="expected a mapping, found a list"):
        load_state(tmp_path / "state.pt")
