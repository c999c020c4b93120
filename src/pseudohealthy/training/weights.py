"""What can be read of a weights folder without torch: its config, digest and card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pseudohealthy.errors import RESEARCH_USE, InputError
from pseudohealthy.files import sha256_of
from pseudohealthy.json_files import expect_parts, read_json

FORMAT = 1
PARTS = {"settings": dict, "preprocessing": dict, "data": dict, "images": int, "averaged": bool}
UNKNOWN = "(not stated)"  # in the card of weights whose config does not say it
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"
DISCRIMINATORS = "discriminators.safetensors"  # of a run's raw weights, for a training that begins with them


def read_config(folder: Path) -> dict[str, Any]:
    """A weights folder's `config.json`.

    Raises:
        InputError: absent, not JSON, of another format, or without one of its parts.
    """
    path = folder / CONFIG
    inside = [name for name in ("best", "weights_ema", "weights") if (folder / name / CONFIG).is_file()]
    if inside and not path.exists():
        raise InputError(f"{folder}: a training run, not a weights folder; give {folder / inside[0]}")
    remedy = "expected one as training writes it"
    config = read_json(path, f"not a weights folder, {CONFIG} cannot be read", remedy, where=folder)
    if config.get("format") != FORMAT:
        raise InputError(f"{path}: expected a weights config of format {FORMAT}")
    expect_parts(path, config, PARTS, remedy)
    return config


def digest(folder: Path) -> str:
    """SHA-256 of a weights folder's tensors.

    Raises:
        InputError: there are none.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        raise InputError(f"{folder}: no {WEIGHTS} there; expected a weights folder as training writes it")
    return sha256_of(path)


def card(config: Mapping[str, Any]) -> str:
    """The model card of a weights folder, from its config."""
    settings, data = config["settings"], config["data"]
    images = config.get("warm_up_images")
    warm_up = f", after a warm-up on {images} synthetic ones" if images else ""
    volumes = data.get("train", UNKNOWN)
    averaged = ", averaged over steps (EMA)" if config["averaged"] else ""
    return f"""# pseudohealthy weights: {settings["method"]}, preset {settings.get("preset", UNKNOWN)}

> {RESEARCH_USE}

Trained by pseudohealthy {config.get("version", UNKNOWN)} on the cohort {data.get("cohort", UNKNOWN)}
({volumes} training volumes; {config["images"]} pathological images seen{warm_up}{averaged}).
The licence of the data applies to the weights.

## Preprocessing contract

A FLAIR image, skull-stripped, background 0, then `{json.dumps(config["preprocessing"])}`

## Settings

`{json.dumps(settings)}`
"""
