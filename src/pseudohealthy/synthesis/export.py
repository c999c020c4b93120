"""A weights folder for other programs: ONNX files, or a MONAI bundle."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from pseudohealthy import __version__
from pseudohealthy.catalogue.methods import NETWORK_NAMES
from pseudohealthy.errors import RESEARCH_USE, InputError, install_command
from pseudohealthy.files import (
    MEGABYTE,
    make_folder,
    read_bytes,
    read_text,
    replace,
    whole_folder,
    write_json,
    write_text,
)
from pseudohealthy.synthesis.backends import INPUTS, MULTIPLE, OUTPUT, to_onnx
from pseudohealthy.synthesis.model import Model
from pseudohealthy.training.checkpoint import save_state
from pseudohealthy.training.weights import CARD, card, read_config

Format = Literal["onnx", "monai"]

LICENCE = "LICENSE"
MONAI = "1.6.1"  # with which the tests run a bundle
IGNITE = "0.5.5"  # the same, for its evaluator
SCHEMA = (
    "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
)
PAPER = (
    "Xia, T., Chartsias, A., Tsaftaris, S. A.: Adversarial Pseudo Healthy Synthesis Needs Pathology "
    "Factorization. MIDL 2019."
)


@dataclass(frozen=True)
class Signature:
    """What a network takes and gives, for other programs.

    Attributes:
        builder: the function of `methods.factory` that makes it.
        inputs: how many arrays it takes: the slices, and for two a mask.
        output: what it gives.
    """

    builder: str
    inputs: int
    output: str


SIGNATURES: Mapping[str, Signature] = {
    "G": Signature("generator", 1, "the slice as if healthy"),
    "S": Signature("segmentor", 1, "the probability of disease"),
    "R": Signature("reconstructor", 2, "the slice with disease where the mask m says"),
    "F": Signature("generator", 1, "the slice with disease"),
    "I": Signature("inpainter", 2, "the slice, filled in where the mask m is 1"),
}
MAIN = ("G", "S")  # a bundle's main network: the first of them that the weights hold


def export(weights: Path, out: Path, form: Format) -> list[Path]:
    """Write the networks of a weights folder for other programs.

    "onnx": a file for each network, `(batch, 1, rows, columns)` in [0, 1] to the same, rows and columns
    multiples of 16, with the preprocessing contract and the weights' SHA-256 in its metadata.
    "monai": a MONAI bundle, whose main network is the generator (a judge's: the
    segmentor). With either the card, and the weights'
    LICENSE where they have one.

    Args:
        weights: a weights folder.
        out: made if absent; it must be empty. It appears whole or not at all.
        form: which of the two.

    Returns:
        The files, sorted.

    Raises:
        InputError: not a weights folder, `out` is not empty, a package is missing, weights of which no bundle
            can be made, or a card or licence that cannot be read.
        PseudohealthyError: the disk is full; nothing has been written then.
    """
    if out.is_dir() and any(out.iterdir()):
        raise InputError(f"{out}: is not empty; expected a new or an empty folder, so choose another")
    write = {"onnx": _write_onnx, "monai": _write_bundle}[form]
    if form == "onnx":
        _check_packages()
    model = Model.load(weights, "cpu")
    if form == "monai":
        _main_network(model)
    licence = _licence(weights)
    with whole_folder(out) as part:
        write(model, weights, part)
        if licence is not None:
            _write_bytes(part / LICENCE, licence)
    return sorted(path for path in out.rglob("*") if path.is_file())


def _check_packages() -> None:
    missing = [name for name in ("onnx", "onnxscript") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"--format onnx: {', '.join(missing)} not installed; {install_command('onnxruntime')}"
        )


def _main_network(model: Model) -> str:
    """The letter of a bundle's main network, which takes one image."""
    letter = next((letter for letter in MAIN if letter in model.networks), None)
    if letter is None:
        raise InputError(
            f"--format monai: weights of the method {model.settings.method} hold no network of one image "
            "(generator or segmentor), which a bundle needs; take --format onnx"
        )
    return letter


def _file_stem(letter: str) -> str:
    return NETWORK_NAMES[letter].replace(" ", "_")


def _common_metadata(model: Model) -> dict[str, str]:
    """What every exported file says about the weights."""
    return {
        "version": __version__,
        "method": model.settings.method,
        "weights_sha256": model.provenance["sha256"],
        "preprocessing": json.dumps(model.preprocessing.model_dump(mode="json")),
        "research_use": RESEARCH_USE,
    }


def _write_onnx(model: Model, weights: Path, out: Path) -> None:
    lines = []
    for letter, network in model.networks.items():
        signature, file = SIGNATURES[letter], f"{_file_stem(letter)}.onnx"
        inputs = _inputs(signature)
        graph = to_onnx(network, signature.inputs)
        own = {"network": letter, "input": inputs, "output": f"{OUTPUT}: {signature.output}"}
        for key, value in {**_common_metadata(model), **own}.items():
            graph.metadata_props.add(key=key, value=value)
        _write_bytes(out / file, graph.SerializeToString())
        lines.append(f"- `{file}` ({letter}): {inputs}; gives {OUTPUT}, {signature.output}")
    about = f"""# pseudohealthy networks as ONNX

{chr(10).join(lines)}

Every input and output is float32, `(batch, 1, rows, columns)` in [0, 1]; rows and columns are multiples of
{MULTIPLE}, {_slice_shape(model)} in training. Row 0 is anterior, column 0 the patient's right.
The files' metadata hold the preprocessing contract and the SHA-256 of the weights.
"""
    write_text(out / CARD, about + _card(weights))


def _write_bytes(path: Path, content: bytes) -> None:
    replace(path, lambda part: part.write_bytes(content))


def _inputs(signature: Signature) -> str:
    meaning = {
        "x": "x, an axial slice after the preprocessing contract",
        "m": "m, a mask of the same shape",
    }
    return " and ".join(meaning[name] for name in INPUTS[: signature.inputs])


def _slice_shape(model: Model) -> str:
    return " x ".join(map(str, model.preprocessing.slice_shape))


def _licence(weights: Path) -> bytes | None:
    """The weights' own licence; None where they have none."""
    path = weights / LICENCE
    try:
        return read_bytes(path, MEGABYTE) if path.exists() else None
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read as a licence ({error}); fetch it again or remove it"
        ) from error


def _card(weights: Path) -> str:
    """The weights' own card, one heading lower."""
    path = weights / CARD
    try:
        text = read_text(path, MEGABYTE) if path.is_file() else card(read_config(weights))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read as a card ({error}); fetch it again or remove it"
        ) from error
    return "\n" + "".join(
        f"#{line}" if line.startswith("#") else line for line in text.splitlines(keepends=True)
    )


def _write_bundle(model: Model, weights: Path, out: Path) -> None:
    """https://docs.monai.io/en/stable/mb_specification.html."""
    main = _main_network(model)
    for folder in ("configs", "models", "docs"):
        make_folder(out / folder)
    others = [letter for letter in model.networks if letter != main]
    save_state(out / "models/model.pt", model.networks[main].state_dict())
    for letter in others:
        save_state(out / f"models/{_file_stem(letter)}.pt", model.networks[letter].state_dict())
    write_json(out / "configs/metadata.json", _metadata(model, main))
    write_json(out / "configs/inference.json", _inference(model, main, others))
    name, output = NETWORK_NAMES[main], SIGNATURES[main].output
    files = [f"- `models/model.pt` is the {name} ({main}): {output} (`network_def`)"]
    for letter in others:
        stem, output = _file_stem(letter), SIGNATURES[letter].output
        files.append(
            f"- `models/{stem}.pt` is the {NETWORK_NAMES[letter]} ({letter}): {output} (`{stem}_def`)"
        )
    about = f"""# pseudohealthy networks as a MONAI bundle

State dictionaries of networks that `configs/inference.json` builds with the Python package `pseudohealthy`:

{chr(10).join(files)}

The slices of a cohort that `pseudohealthy prepare` wrote (`images.npy`, as the preprocessing contract wants
them) go through the main network into `predictions.npy`, of the same shape, with this command (it needs
`pip install 'monai[fire,ignite]'`):

    python -m monai.bundle run --meta_file configs/metadata.json --config_file configs/inference.json \\
        --dataset_dir PREPARED

For whole volumes, on their own grid, use `pseudohealthy synthesize`.
"""
    write_text(out / "docs" / CARD, about + _card(weights))


def _metadata(model: Model, main: str) -> dict[str, Any]:
    data = model.provenance["data"]
    name, output = NETWORK_NAMES[main], SIGNATURES[main].output
    return {
        "schema": SCHEMA,
        **_common_metadata(model),
        "preprocessing": model.preprocessing.model_dump(mode="json"),
        "changelog": {__version__: f"exported from weights {model.provenance['sha256'][:12]}"},
        "monai_version": MONAI,
        "pytorch_version": torch.__version__,
        "numpy_version": np.__version__,
        "required_packages_version": {"pseudohealthy": __version__, "pytorch-ignite": IGNITE},
        "name": f"pseudohealthy {model.settings.method}",
        "task": "Pseudo-healthy synthesis of brain MRI (FLAIR)",
        "description": f"The {name} gives, of an axial slice of a FLAIR image, {output}.",
        "authors": "The pseudohealthy developers",
        "copyright": "See docs/README.md; the licence of the training data applies to the weights.",
        "data_source": f"cohort {data['cohort']}, {data['train']} training volumes",
        "data_type": "numpy",
        "intended_use": RESEARCH_USE,
        "references": [PAPER],
        "network_data_format": {
            "inputs": {"image": _tensor("an axial slice after the preprocessing contract")},
            "outputs": {"pred": _tensor(output)},
        },
    }


def _tensor(meaning: str) -> dict[str, Any]:
    return {
        "type": "image",
        "format": "magnitude",
        "modality": "MR",
        "num_channels": 1,
        "spatial_shape": [f"{MULTIPLE}*n", f"{MULTIPLE}*p"],
        "dtype": "float32",
        "value_range": [0, 1],
        "is_patch_data": False,
        "channel_def": {"0": meaning},
    }


def _inference(model: Model, main: str, others: list[str]) -> dict[str, Any]:
    """Slices of a prepared cohort through the main network, and definitions of the others."""

    def definition(letter: str) -> dict[str, Any]:
        return {
            "_target_": f"pseudohealthy.methods.factory.{SIGNATURES[letter].builder}",
            "networks": "@networks",
        }

    return {
        "imports": ["$import numpy", "$import torch"],
        "bundle_root": ".",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "dataset_dir": "$@bundle_root + '/prepared'",
        "output": "$@bundle_root + '/predictions.npy'",
        "checkpoint": "$@bundle_root + '/models/model.pt'",
        "networks": {
            "_target_": "pseudohealthy.config.Networks",
            **model.settings.networks.model_dump(mode="json"),
        },
        "network_def": definition(main),
        **{f"{_file_stem(letter)}_def": definition(letter) for letter in others},
        "network": "$@network_def.to(@device)",
        "dataset": {
            "_target_": "Dataset",
            "data": "$[{'image': x[None]} for x in numpy.load(@dataset_dir + '/images.npy')]",
        },
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 4},
        "inferer": {"_target_": "SimpleInferer"},
        "predictions": "$[]",
        "postprocessing": {
            "_target_": "Lambdad",
            "keys": "pred",
            "func": "$lambda y: @predictions.append(y.cpu().numpy()) or y",
        },
        "handlers": [
            {
                "_target_": "CheckpointLoader",
                "load_path": "@checkpoint",
                "load_dict": {"model": "@network"},
                "map_location": "@device",
            }
        ],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
        },
        "run": ["$@evaluator.run()", "$numpy.save(@output, numpy.concatenate(@predictions))"],
    }
