"""A weights folder as networks that take slices and give slices.

Slices larger than those of training go through in overlapping tiles, faded into each other so that no seam
shows.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from pseudohealthy.catalogue.methods import METHODS, NETWORK_NAMES, Ability, abilities
from pseudohealthy.config import Preprocessing, Settings
from pseudohealthy.devices import ON_CPU, device_of, full_memory_explained, on_cpu
from pseudohealthy.errors import InputError
from pseudohealthy.settings_files import validated
from pseudohealthy.synthesis import backends
from pseudohealthy.synthesis.bundled_weights import describe_weights
from pseudohealthy.synthesis.converted_networks import converted_networks
from pseudohealthy.synthesis.quantization import InputRanges, Ranges
from pseudohealthy.training.weights import CONFIG, read_config

if TYPE_CHECKING:
    from torch import nn

THRESHOLD = 0.5  # of the segmentor's probability, above which a voxel is lesion
SLICES_AT_ONCE = 8  # on a graphics card
SLICES_ON_CPU = 2  # more no longer fit into a core's cache, and take longer
OVERLAP = 32  # of tiles, in pixels, at least; of a tile smaller than two of them, half

Slices = NDArray[np.float32]  # (N, H, W)
BatchProgress = Callable[[int, int], object]  # called with batches done and batches in all


@dataclass(frozen=True, eq=False)
class Model:
    """Trained networks and what they were trained for.

    Attributes:
        letters: of its networks, in the paper; a judge has S (the segmentor) only.
        load_networks: makes `networks`.
        settings: of the training.
        preprocessing: what a slice must have gone through.
        device: where the networks are, such as "cpu" or "cuda:0".
        provenance: method, preset, images, data and SHA-256 of the weights, for reports.
        backend: what runs the networks: "torch", "onnxruntime", "openvino", or "auto" (`backends.select`).
        ranges: of the inputs of convolutions, by the networks' letters; see `quantization`.
        converted: files of networks in OpenVINO's format, by their letters.
    """

    letters: tuple[str, ...]
    load_networks: Callable[[], nn.ModuleDict]
    settings: Settings
    preprocessing: Preprocessing
    device: str
    provenance: dict[str, Any]
    backend: backends.Choice = "torch"
    ranges: Mapping[str, Ranges] = field(default_factory=dict)
    converted: Mapping[str, Path] = field(default_factory=dict)
    _runs: dict[tuple[str, backends.Name], backends.Run] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def load(cls, folder: Path, device: str = "auto", backend: backends.Choice = "torch") -> Self:
        """The model of a weights folder.

        Args:
            folder: with `model.safetensors` and `config.json`.
            device: "cpu", "cuda" or "auto", which is the CPU for the backends that work there alone.
            backend: what runs the networks; see `backends.compile_network` for how far their outputs agree.

        Raises:
            InputError: not a weights folder, damaged, no such device, or a backend that is not installed.
        """
        about, config = describe_weights(folder), read_config(folder)
        path = str(folder / CONFIG)
        settings = validated(Settings, config["settings"], path, written=folder)
        preprocessing = validated(Preprocessing, config.get("preprocessing"), path, written=folder)
        where = device_of("cpu" if device == "auto" and backend not in ("auto", "torch") else device)
        backends.validate(backend, where)
        measured = InputRanges.read(folder, about["sha256"])
        ranges = measured.networks if measured else {}
        letters = METHODS[settings.method].networks
        converted = converted_networks(folder, about["sha256"], letters)
        load = partial(_networks, folder, settings, where)
        model = cls(letters, load, settings, preprocessing, where, about, backend, ranges, converted)
        if backends.select(backend, where, 1, converted=bool(converted)) != "openvino" or not converted:
            model.networks  # noqa: B018  (damaged weights are found before any work is done)
        return model

    @cached_property
    def networks(self) -> nn.ModuleDict:
        """By their letters; loaded when they are first needed.

        Raises:
            InputError: the weights are damaged, or not of these networks.
        """
        return self.load_networks()

    def can(self, ability: Ability) -> bool:
        """Whether one of its networks does this."""
        return ability in abilities(self.letters)

    def describe_backend(self, slices: int) -> dict[str, str]:
        """Name, version and precision of what runs the networks on this many slices at once, for reports."""
        name = backends.select(self.backend, self.device, slices, converted=bool(self.converted))
        return backends.describe(name, has_ranges=any(map(self.ranges.get, self.letters)))

    def synthesize(self, x: Slices, progress: BatchProgress | None = None) -> Slices:
        """The pseudo-healthy slices `(N, H, W)` in [0, 1]: G(x) in the paper.

        Raises:
            InputError: the weights hold no generator (a judge's).
            PseudohealthyError: the graphics card has too little memory.
        """
        return self._apply("G", x, progress=progress)

    def segment(self, x: Slices, progress: BatchProgress | None = None) -> Slices:
        """The probability of disease in slices `(N, H, W)`, in [0, 1]: S(x) in the paper.

        Raises:
            InputError: the weights hold no segmentor.
        """
        return self._apply("S", x, progress=progress)

    def reconstruct(self, x: Slices, m: NDArray[Any] | None) -> Slices:
        """Healthy slices `(N, H, W)` in [0, 1] with disease where `m` is above 0: R(x, m) in the paper.

        CycleGAN's backward generator F(x) places disease by itself and ignores `m`.

        Raises:
            InputError: the weights hold neither, or the reconstructor gets no mask of the slices' shape.
        """
        return self._apply("F", x) if "F" in self.letters else self._apply("R", x, _mask(m, x))

    def inpaint(self, x: Slices, m: NDArray[Any]) -> Slices:
        """`m I((1-m) x, m) + (1-m) x`: slices `(N, H, W)` in [0, 1], filled in where `m` is 1.

        Raises:
            InputError: the weights hold no inpainter, or `m` is not of the slices' shape.
        """
        m = _mask(m, x)
        return m * self._apply("I", x, m) + (1 - m) * x

    def _apply(self, letter: str, *arrays: Slices, progress: BatchProgress | None = None) -> Slices:
        """A network's output for slices, or for slices and masks, in tiles."""
        if letter not in self.letters:
            missing, *present = (NETWORK_NAMES[each] for each in (letter, *self.letters))
            raise InputError(
                f"these are weights of the method {self.settings.method}, which has no {missing} but "
                f"{', '.join(present)}; give the weights of a method that has it"
            )

        run = self._compiled(letter, len(arrays), len(arrays[0]))
        at_once = SLICES_ON_CPU if on_cpu(self.device) else SLICES_AT_ONCE
        shape = self.preprocessing.slice_shape
        tiles = math.prod(len(starts(*sides)) for sides in zip(arrays[0].shape[1:], shape, strict=True))
        batches, count = tiles * math.ceil(len(arrays[0]) / at_once), itertools.count(1)

        def tile(together: Slices) -> Slices:
            parts = np.split(together[:, None], len(arrays))
            out = np.empty_like(parts[0])
            for first in range(0, len(out), at_once):
                part = slice(first, first + at_once)
                with full_memory_explained(ON_CPU):
                    out[part] = run(*(array[part] for array in parts))
                if progress:
                    progress(next(count), batches)
            return out[:, 0] if len(arrays) == 1 else np.concatenate([out[:, 0]] * len(arrays))

        # One array behind the other, so that tiles cut image and mask alike; torch takes what may be written
        together = (
            np.require(arrays[0], requirements=["WRITEABLE", "ENSUREARRAY"])
            if len(arrays) == 1
            else np.concatenate(arrays)
        )
        out = by_tiles(tile, together, shape)[: len(arrays[0])]
        if not np.isfinite(out).all():
            raise InputError(
                f"the {NETWORK_NAMES[letter]} gives numbers that are NaN or infinite; its weights are "
                "damaged or were trained too fast, so fetch them again, or train again"
            )
        return out

    def _compiled(self, letter: str, inputs: int, slices: int) -> backends.Run:
        """A network as a function of arrays of slices; compiled once."""
        converted = self.converted.get(letter)
        name = backends.select(self.backend, self.device, slices, converted=converted is not None)
        if (letter, name) not in self._runs:
            self._runs[letter, name] = backends.compile_network(
                name,
                converted if converted and name == "openvino" else self.networks[letter],
                self.device,
                self.preprocessing.slice_shape,
                inputs,
                ranges=self.ranges.get(letter),
            )
        return self._runs[letter, name]


def _networks(folder: Path, settings: Settings, device: str) -> nn.ModuleDict:
    """Those of a weights folder, in evaluation mode."""
    import torch  # noqa: PLC0415  (what runs converted networks needs none, and loading it takes a second)

    from pseudohealthy.methods.factory import build  # noqa: PLC0415
    from pseudohealthy.training.checkpoint import load_weights  # noqa: PLC0415

    with torch.device("meta"):  # what a stranger's config asks for takes memory once the tensors fit it
        networks = build(settings).generators
    load_weights(folder, networks)
    with full_memory_explained(ON_CPU):
        return networks.to(device).eval()


def _mask(m: NDArray[Any] | None, x: Slices) -> Slices:
    if m is None or m.shape != x.shape:
        given = "none" if m is None else f"one of {m.shape}"
        raise InputError(f"a mask of the slices' shape {x.shape} is needed, found {given}")
    return m.astype(np.float32)


def by_tiles(apply: Callable[[Slices], Slices], x: Slices, shape: tuple[int, int]) -> Slices:
    """`apply` done to slices `(N, H, W)`, at least as large as `shape`, in tiles of `shape`.

    Each pixel is the mean of the tiles that hold it, weighted by the distances from their borders along rows
    and columns: as their product, so that along an edge of the image, too, one tile fades into the next.
    """
    height, width = x.shape[1:]
    if (height, width) == shape:
        return apply(np.ascontiguousarray(x))
    total = np.zeros_like(x)
    weight = np.zeros((height, width), dtype=np.float32)
    fade = np.multiply.outer(_ramp(shape[0]), _ramp(shape[1]))
    for top in starts(height, shape[0]):
        for left in starts(width, shape[1]):
            tile = np.s_[top : top + shape[0], left : left + shape[1]]
            total[:, *tile] += fade * apply(np.ascontiguousarray(x[:, *tile]))
            weight[tile] += fade
    return total / weight


def starts(length: int, tile: int) -> list[int]:
    """Where tiles begin so that they cover `length`, evenly, overlapping by at least `OVERLAP` pixels."""
    step = tile - min(OVERLAP, tile // 2)
    count = 1 - (tile - length) // step
    return [int(start) for start in np.linspace(0, length - tile, count).round()]


def _ramp(length: int) -> NDArray[np.float32]:
    index = np.arange(length, dtype=np.float32)
    ramp: NDArray[np.float32] = np.minimum(np.minimum(index, index[::-1]) + 1, OVERLAP)
    return ramp
