"""The weights that come with the package, and descriptions of weights, without loading torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pseudohealthy.data.out_of_distribution import Reference
from pseudohealthy.errors import RESEARCH_USE, InputError
from pseudohealthy.provenance import installed_versions
from pseudohealthy.synthesis.calibration import Calibration
from pseudohealthy.synthesis.lesion_caveat import LesionFree
from pseudohealthy.training.weights import CONFIG, digest, read_config


def bundled_weights() -> Path:
    """The folder of the weights in the package."""
    return Path(__file__).parent / "weights" / "lgg-paired"


def describe_installation(weights: Path | None = None) -> dict[str, Any]:
    """Versions, and the method, data and digest of a weights folder (None: the embedded one).

    Raises:
        InputError: not a weights folder.
    """
    folder = weights or bundled_weights()
    return {
        **installed_versions(),
        "weights": {"folder": str(folder), **describe_weights(folder)},
        "research_use": RESEARCH_USE,
    }


def describe_weights(folder: Path) -> dict[str, Any]:
    """Method, preset, images, data and SHA-256 of a weights folder, for reports.

    With them, where the folder has them, `training_distribution`, the figures of the training data,
    `lesion_free`, what the weights mark where there is no lesion, and `uncertainty`, their calibration.

    Raises:
        InputError: not a weights folder.
    """
    config = read_config(folder)
    reference, sha256 = Reference.read(folder), digest(folder)
    measured, calibration = LesionFree.read(folder, sha256), Calibration.read(folder, sha256)
    try:
        return {
            "method": config["settings"]["method"],
            "preset": config["settings"]["preset"],
            "images": config["images"],
            "data": config["data"],
            "averaged": config["averaged"],
            "sha256": sha256,
            **({} if reference is None else {"training_distribution": reference.model_dump(mode="json")}),
            **({} if measured is None else {"lesion_free": measured.model_dump(mode="json")}),
            **({} if calibration is None else {"uncertainty": calibration.model_dump(mode="json")}),
        }
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{folder / CONFIG}: incomplete ({error}); expected one as training writes it"
        ) from error
