"""Weights and the state to resume from: each file is whole or absent, and reading one executes no code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from pseudohealthy import __version__
from pseudohealthy.errors import RESEARCH_USE, InputError
from pseudohealthy.files import make_folder, replace, write_json, write_text
from pseudohealthy.training.weights import CARD, CONFIG, FORMAT, WEIGHTS, card


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
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in networks.state_dict().items()}
    content = save(tensors, {"config": json.dumps(config)})
    make_folder(folder)
    replace(folder / WEIGHTS, lambda part: part.write_bytes(content))
    write_json(folder / CONFIG, config)
    write_text(folder / CARD, card(config))


def load_weights(folder: Path, networks: nn.ModuleDict) -> None:
    """Load a weights folder's tensors into `networks`, which may be fewer than the folder's.

    Raises:
        InputError: no such folder, a damaged file, or tensors of other names or shapes.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        raise InputError(f"{folder}: no {WEIGHTS} there; expected a weights folder as training writes it")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a readable safetensors file ({error}); fetch it again") from error
    tensors = {name: tensor for name, tensor in tensors.items() if name.split(".")[0] in networks}
    own = networks.state_dict()
    wrong = [name for name in own if name not in tensors or tensors[name].shape != own[name].shape]
    wrong += [name for name in tensors if name not in own]
    if wrong:
        raise InputError(
            f"{path}: {len(wrong)} tensors do not fit the networks, {wrong[0]} first; "
            f"are the method and widths those of its {CONFIG}?"
        )
    networks.load_state_dict(tensors)


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write the state to resume from: tensors, numbers and containers of them.

    Raises:
        PseudohealthyError: the disk is full; an older state stays as it was.
    """
    replace(path, lambda part: torch.save(dict(state), part))


def load_state(path: Path, device: torch.device | str = "cpu") -> dict[str, Any]:
    """Read a saved state, executing no code.

    Raises:
        InputError: the file is damaged or holds more than tensors and numbers.
    """
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # zip, pickle and runtime errors all mean "damaged"
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{path}: not a readable training state ({reason}); delete it to start anew"
        ) from error
    return state
