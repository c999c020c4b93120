"""Weights and the state to resume from: each file is whole or absent, and reading one executes no code."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from pseudohealthy import __version__
from pseudohealthy.config import Settings
from pseudohealthy.errors import RESEARCH_USE, InputError
from pseudohealthy.files import make_folder, replace, write_json, write_text
from pseudohealthy.methods.factory import build
from pseudohealthy.settings_files import validated
from pseudohealthy.training.weights import CARD, CONFIG, DISCRIMINATORS, FORMAT, WEIGHTS, card, read_config

WRITTEN_ANEW = ("format", "version", "research_use")  # parts of a config that `save_weights` adds


def save_weights(folder: Path, networks: nn.ModuleDict, config: Mapping[str, Any]) -> None:
    """Write a weights folder: `model.safetensors` (with the config), `config.json`, `README.md` (a card).

    Args:
        folder: made if absent; each file is replaced at once.
        networks: by the paper's letter; their tensors are named `G.encoder...`.
        config: JSON values: settings, preprocessing, data, images, averaged.

    Raises:
        PseudohealthyError: the disk is full or the folder cannot be written.
    """
    config = {"format": FORMAT, "version": __version__, **config, "research_use": RESEARCH_USE}
    content = save(_tensors(networks), {"config": json.dumps(config)})
    make_folder(folder)
    replace(folder / WEIGHTS, lambda part: part.write_bytes(content))
    write_json(folder / CONFIG, config)
    write_text(folder / CARD, card(config))


def save_discriminators(folder: Path, discriminators: nn.ModuleDict) -> None:
    """Write a run's discriminators, by the paper's letter, into a weights folder; none, no file.

    Raises:
        PseudohealthyError: the disk is full or the folder cannot be written.
    """
    if discriminators:
        content = save(_tensors(discriminators))
        replace(folder / DISCRIMINATORS, lambda part: part.write_bytes(content))


def _tensors(networks: nn.ModuleDict) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in networks.state_dict().items()}


def save_in_half_precision(weights: Path, out: Path) -> None:
    """Write a weights folder again, its tensors in half precision; what it says of its training stays.

    Raises:
        InputError: not a weights folder, or a damaged one.
        PseudohealthyError: the disk is full or `out` cannot be written.
    """
    config = read_config(weights)
    networks = build(
        validated(Settings, config["settings"], str(weights / CONFIG), written=weights)
    ).generators
    load_weights(weights, networks)
    about = {key: value for key, value in config.items() if key not in WRITTEN_ANEW}
    save_weights(out, networks.half(), about)


def load_discriminators(folder: Path, discriminators: nn.ModuleDict) -> None:
    """Load those that a weights folder holds in the same shapes; the others stay as they are.

    Another method has others, and they may be of another width: the generators decide what can go on.

    Raises:
        InputError: as of `load_weights`, but for names and shapes.
    """
    path = folder / DISCRIMINATORS
    if not path.is_file():
        return
    there = _shapes(path)
    fitting = {
        letter: network
        for letter, network in discriminators.items()
        if all(there.get(f"{letter}.{name}") == list(x.shape) for name, x in network.state_dict().items())
    }
    load_weights(folder, nn.ModuleDict(fitting), DISCRIMINATORS)


def load_weights(folder: Path, networks: nn.ModuleDict, file_name: str = WEIGHTS) -> None:
    """Load the tensors of a weights folder's file into `networks`, which may be fewer than the file's.

    Networks on the device "meta", which have taken no memory yet, are on the CPU afterwards.

    Raises:
        InputError: no such folder, a damaged file, tensors of other names or shapes, or numbers that are
            whole, NaN or infinite.
    """
    path = folder / file_name
    _refuse_misfit(path, networks)
    with _open_weights(path) as file:
        tensors = {name: file.get_tensor(name) for name in networks.state_dict()}
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise InputError(
                f"{path}: {name} holds {str(tensor.dtype).removeprefix('torch.')}, expected floating-point "
                "numbers; fetch it again"
            )
        if not tensor.isfinite().all():
            raise InputError(
                f"{path}: {name} holds numbers that are NaN or infinite; fetch it again, or train again"
            )
    own = networks.state_dict()
    tensors = {name: tensor.to(own[name].dtype) for name, tensor in tensors.items()}
    # Assigned, as PyTorch's `to_empty` would import sympy, which takes long
    networks.load_state_dict(tensors, assign=any(tensor.is_meta for tensor in own.values()))


def _refuse_misfit(path: Path, networks: nn.ModuleDict) -> None:
    """Refuse a file whose tensors do not fit `networks`, reading names and shapes alone.

    The file may hold other networks, too.

    Raises:
        InputError: no such file, a damaged one, or tensors of other names or shapes.
    """
    shapes = {name: shape for name, shape in _shapes(path).items() if name.split(".")[0] in networks}
    own = {name: list(tensor.shape) for name, tensor in networks.state_dict().items()}
    wrong = [name for name in {**own, **shapes} if own.get(name) != shapes.get(name)]
    if wrong:
        raise InputError(
            f"{path}: {len(wrong)} tensors do not fit the networks, {wrong[0]} first; "
            f"are the method, widths and output modes those of its {CONFIG}?"
        )


def _shapes(path: Path) -> dict[str, list[int]]:
    with _open_weights(path) as file:
        return {name: list(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


@contextlib.contextmanager
def _open_weights(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise InputError(
            f"{path.parent}: no {path.name} there; expected a weights folder as training writes it"
        )
    try:
        with safe_open(path, "pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a readable safetensors file ({error}); fetch it again") from error


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write the state to resume from: tensors, numbers and containers of them.

    Raises:
        PseudohealthyError: the disk is full; an older state stays as it was.
    """
    replace(path, lambda part: torch.save(dict(state), part))


def load_state(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a saved state, executing no code.

    Raises:
        InputError: the file is damaged, incomplete, or holds more than tensors and numbers.
    """
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # zip, pickle and runtime errors all mean "damaged"
        reason = (
            (str(error) or type(error).__name__).splitlines()[0] if path.stat().st_size else "it is empty"
        )
        raise InputError(_unreadable(path, reason)) from error
    if not isinstance(state, dict):
        raise InputError(_unreadable(path, f"expected a mapping, found a {type(state).__name__}"))
    return state


def _unreadable(path: Path, reason: str) -> str:
    return f"{path}: not a readable training state ({reason}); delete it to start anew"
