"""Re-segmentability: can a fresh network find the lesion's place in an output? docs/method.md, 6."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate

from pseudohealthy.devices import ON_CPU, device_of, full_memory_explained, reproducible_convolutions
from pseudohealthy.errors import InputError
from pseudohealthy.evaluation.by_volume import Rows, by_volume
from pseudohealthy.evaluation.ranking import auroc
from pseudohealthy.evaluation.slice_set import SliceSet, Stack
from pseudohealthy.networks.blocks import ConvBlock, ResidualBlock, UpBlock, initialise

STEPS, FOLDS, BATCH, WIDTH = 120, 2, 8, 16
LEARNING_RATE = 5e-3
COORDINATES = "reseg_auroc_coordinates"


class SmallUNet(nn.Sequential):
    """Image and coordinates `(N, 4, H, W)` to a lesion's logit `(N, 1, H, W)`; H, W multiples of 4.

    It works at half and at a quarter of the resolution. Norms are over all axes: an instance norm takes
    away what is constant over a slice, as its height is.
    """

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.stem = ConvBlock(4, width, 5, 2, norm="layer", leaky=True)
        self.coarse = nn.Sequential(
            ConvBlock(width, 2 * width, 3, 2, norm="layer", leaky=True),
            ResidualBlock(2 * width, norm="layer"),
            UpBlock(2 * width, width, norm="layer", leaky=True),
        )
        self.fine = ConvBlock(2 * width, width, 3, norm="layer", leaky=True)
        self.output = nn.Conv2d(width, 1, 1)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """Where the lesion is thought to be: higher is likelier."""
        features = self.stem(x)
        features = self.fine(torch.cat([features, self.coarse(features)], dim=1))
        return interpolate(self.output(features), scale_factor=2, mode="bilinear")


class _Examples(NamedTuple):
    """Slices in which to find lesions: image and three coordinates `(N, 4, H, W)`, the rest `(N, H, W)`."""

    x: Stack
    lesions: Stack
    brains: Stack

    def at(self, rows: Rows) -> _Examples:
        return _Examples(*(stack[rows] for stack in self))


def excess_auroc(
    outputs: NDArray[Any],
    slices: SliceSet,
    *,
    seed: int,
    steps: int = STEPS,
    coordinates: pd.DataFrame | None = None,
    device: str = "cpu",
) -> pd.DataFrame:
    """How much better the lesion's place is found in the output than by coordinates alone.

    A network learns the masks from the outputs and the coordinates, another one from the coordinates alone.
    Each volume is ranked by a network that has not seen its patient: the subjects are shared out between two
    halves, and one half's network learns from the other. Where an output shows no trace, its network knows no
    more than where lesions lie in general.

    Args:
        outputs: x~, (N, H, W) in [0, 1].
        slices: what they were made from; heights must be known. Only their brains are learnt and ranked.
        seed: of halves, weights and batches; the same seed gives the same figures
            on a CPU, and on a graphics card nearly the same.
        steps: of training, of 8 slices each.
        coordinates: what `coordinates_auroc` gives for the same slices, seed and steps; None: worked out.
        device: where the networks are trained: "cpu", "cuda" or "auto".

    Returns:
        By volume `reseg_auroc`, `reseg_auroc_coordinates` and their difference `reseg_excess_auroc`, ideally
        0; NaN where a volume's brain has no lesion.

    Raises:
        InputError: fewer than two subjects, or heights that are not known.
    """
    if coordinates is None:
        coordinates = coordinates_auroc(slices, seed=seed, steps=steps, device=device)
    examples = _examples(outputs, slices)
    ranked = _cross_fitted(examples, slices.subjects, seed, steps, device_of(device))
    table = _by_volume(ranked, examples, slices.volumes, "reseg_auroc").join(coordinates[[COORDINATES]])
    table["reseg_excess_auroc"] = table["reseg_auroc"] - table[COORDINATES]
    return table


def coordinates_auroc(
    slices: SliceSet, *, seed: int, steps: int = STEPS, device: str = "cpu"
) -> pd.DataFrame:
    """How well coordinates alone find the lesion: the same for every method, hence to be done once.

    Arguments and errors as in `excess_auroc`.

    Returns:
        `reseg_auroc_coordinates` by volume.
    """
    examples = _examples(np.zeros(slices.images.shape, dtype=np.float32), slices)
    ranked = _cross_fitted(examples, slices.subjects, seed, steps, device_of(device))
    return _by_volume(ranked, examples, slices.volumes, COORDINATES)


def _examples(images: NDArray[Any], slices: SliceSet) -> _Examples:
    count, height, width = images.shape
    inside = slices.brains
    x = np.zeros((count, 4, height, width), dtype=np.float32)
    x[:, 0][inside] = _standardised(images[inside])
    x[:, 1] = np.linspace(-1, 1, height)[:, None]
    x[:, 2] = np.linspace(-1, 1, width)
    x[:, 3] = 2 * slices.required("heights").astype(np.float32)[:, None, None] - 1
    return _Examples(x, (slices.masks > 0).astype(np.float32), inside.astype(np.float32))


def _standardised(values: NDArray[Any]) -> NDArray[Any]:
    """Mean 0 and standard deviation 1, so that the image is not weaker than the coordinates beside it."""
    spread = float(values.std())
    standardised: NDArray[Any] = (values - values.mean()) / (spread or 1.0)
    return standardised


def _cross_fitted(examples: _Examples, subjects: NDArray[Any], seed: int, steps: int, device: str) -> Stack:
    """Logits (N, H, W) of each slice by a network that has not seen its subject."""
    fold = _folds(subjects, seed)
    logits = np.empty_like(examples.lesions)
    for held_out in range(FOLDS):
        network = _trained(examples.at(np.flatnonzero(fold != held_out)), seed, steps, device)
        rows = np.flatnonzero(fold == held_out)
        logits[rows] = _logits(network, examples.x[rows], device)
    return logits


@reproducible_convolutions()
@full_memory_explained(ON_CPU)
def _trained(examples: _Examples, seed: int, steps: int, device: str) -> SmallUNet:
    """A fresh network that has learnt the lesions of slices; torch's own random state stays as it was.

    Lesion and other brain weigh the same, as they do in an AUROC.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # the network is drawn on the CPU, for any device
        network = SmallUNet().to(device)
    optimiser = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    lesion, brain = (examples.lesions * examples.brains).sum(), examples.brains.sum()
    weight = torch.tensor((brain - lesion) / max(lesion, 1), device=device)
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        drawn = examples.at(rng.choice(len(examples.x), BATCH))
        x, m, inside = (torch.from_numpy(stack).to(device) for stack in drawn)
        loss = binary_cross_entropy_with_logits(network(x)[:, 0], m, inside, pos_weight=weight)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network


def _by_volume(logits: Stack, examples: _Examples, volumes: NDArray[Any], column: str) -> pd.DataFrame:
    """AUROC over each volume's brain."""

    def measure(rows: Rows) -> dict[str, float]:
        brain = examples.brains[rows] > 0
        return {column: auroc(logits[rows][brain], examples.lesions[rows][brain])}

    return by_volume(volumes, measure)


def _folds(subjects: NDArray[Any], seed: int) -> NDArray[np.intp]:
    """The fold of each slice, (N,): the subjects, shuffled, are dealt out in turn."""
    codes, labels = pd.factorize(subjects)
    if len(labels) < FOLDS:
        raise InputError(
            f"re-segmentability: {len(labels)} subject, expected {FOLDS} or more, to learn from one and rank "
            "another"
        )
    dealt = np.random.default_rng(seed).permutation(len(labels)) % FOLDS
    return dealt[codes]


@reproducible_convolutions()
@full_memory_explained(ON_CPU)
@torch.inference_mode()
def _logits(network: SmallUNet, x: Stack, device: str) -> Stack:
    parts = [network(part.to(device))[:, 0].cpu() for part in torch.from_numpy(x).split(BATCH)]
    logits: Stack = torch.cat(parts).numpy()
    return logits
