"""The package's networks as OpenVINO's files, made once: with them neither torch nor a conversion is needed.

To load torch and to convert take longer than the networks take for a volume. The folder `openvino/` beside
the weights holds a graph for each network, under a name that ends in the SHA-256 of the weights it was made
of, and the SHA-256 of each of its own files. Those of other folders are converted as they are used: a graph
made elsewhere may be any program.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pseudohealthy.catalogue.methods import NETWORK_NAMES
from pseudohealthy.errors import InputError
from pseudohealthy.files import make_folder, sha256_of, write_json
from pseudohealthy.json_files import read_json
from pseudohealthy.synthesis import backends
from pseudohealthy.synthesis.bundled_weights import bundled_weights

if TYPE_CHECKING:
    from torch import nn

FOLDER = "openvino"
CHECKSUMS = "sha256.json"  # of the folder's other files by their names, written last
DIGITS = 16  # of the digest


def converted_networks(folder: Path, sha256: str, letters: Iterable[str]) -> dict[str, Path]:
    """The converted files of the networks of these letters, those in the package alone, where they are whole.

    Args:
        folder: of the weights.
        sha256: of the weights.
        letters: of networks, as in the paper.
    """
    if folder != bundled_weights():
        return {}
    try:
        checksums = read_json(folder / FOLDER / CHECKSUMS)
    except InputError:
        return {}
    files = {letter: _file(folder, sha256, letter) for letter in letters}
    return {letter: file for letter, file in files.items() if _is_whole(file, checksums)}


def save_converted(
    folder: Path, sha256: str, networks: Mapping[str, nn.Module], slice_shape: tuple[int, int]
) -> list[Path]:
    """Convert networks of one input, and put them beside their weights; those of older weights go.

    Args:
        folder: of the weights, which are kept in half precision.
        sha256: of the weights.
        networks: by their letters, on the CPU, in evaluation mode.
        slice_shape: H and W.
    """
    make_folder(folder / FOLDER)
    for old in (folder / FOLDER).iterdir():
        old.unlink()
    files = []
    for letter, network in networks.items():
        file = _file(folder, sha256, letter)
        graph = backends.openvino_graph(network, slice_shape, 1)
        backends.openvino().save_model(graph, file, compress_to_fp16=True)
        files += _parts(file)
    write_json(folder / FOLDER / CHECKSUMS, {file.name: sha256_of(file) for file in files})
    return files


def _is_whole(file: Path, checksums: Mapping[str, Any]) -> bool:
    return all(part.is_file() and sha256_of(part) == checksums.get(part.name) for part in _parts(file))


def _parts(file: Path) -> list[Path]:
    """A graph's file, and that of its numbers."""
    return [file, file.with_suffix(".bin")]


def _file(folder: Path, sha256: str, letter: str) -> Path:
    return folder / FOLDER / f"{NETWORK_NAMES[letter]}-{sha256[:DIGITS]}.xml"
