"""What can be read of a weights folder without torch: its config, digest and card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pseudohealthy.errors import RESEARCH_USE, InputError
from pseudohealthy.files import sha256_of

FORMAT = 1
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.json", "README.md"


def read_config(folder: Path) -> dict[str, Any]:
    """A weights folder's `config.json`.

    Raises:
        InputError: absent, not JSON, or of another format.
    """
    path = folder / CONFIG
    inside = [name for name in ("best", "weights_ema", "weights") if (folder / name / CONFIG).is_file()]
    if inside and not path.exists():
        raise InputError(f"{folder}: a training run, not a weights folder; give {folder / inside[0]}")
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder}: not a weights folder, its {CONFIG} cannot be read ({error}); "
            "expected one as training writes it"
        ) from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise InputError(f"{path}: expected a weights config of format {FORMAT}")
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
    averaged = ", averaged over steps (EMA)" if config["averaged"] else ""
    return f"""# pseudohealthy weights: {settings["method"]}, preset {settings["preset"]}

> {RESEARCH_USE}

Trained by pseudohealthy {config["version"]} on the cohort {data["cohort"]}
({data["train"]} training volumes; {config["images"]} pathological images seen{warm_up}{averaged}).
The licence of the data applies to the weights.

## Preprocessing contract

A FLAIR image, skull-stripped, background 0, then `{json.dumps(config["preprocessing"])}`

## Settings

`{json.dumps(settings)}`
"""
