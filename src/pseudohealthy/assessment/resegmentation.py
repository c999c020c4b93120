"""Re-segmentability: can a fresh network find the lesion's place in an output? docs/method.md, 6."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, interpolate

from pseudohealthy.errors import InputError
from pseudohealthy.evaluation.by_volume import Rows, by_volume
from pseudohealthy.evaluation.ranking import auroc
from pseudohealthy.networks.blocks import ConvBlock, ResidualBlock, UpBlock, initialise

STEPS, FOLDS, BATCH, WIDTH = 120, 2, 8, 16
LEARNING_RATE = 5e-3
COORDINATES = "reseg_auroc_coordinates"

Stack = NDArray[np.float32]


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


@dataclass(frozen=True, eq=False)
class _Task:
    """Rows (N, H, W) in which to find lesions; `x` has the image and three coordinates, (N, 4, H, W)."""

    x: Stack
    lesions: Stack
    brains: Stack
    volumes: NDArray[Any]
    subjects: NDArray[Any]
    device: str


def excess_auroc(
    outputs: NDArray[Any],
    masks: NDArray[Any],
    brains: NDArray[Any],
    volumes: ArrayLike,
    heights: ArrayLike,
    *,
    seed: int,
    steps: int = STEPS,
    folds: int = FOLDS,
    subjects: ArrayLike | None = None,
    coordinates: pd.DataFrame | None = None,
    device: str = "cpu",
) -> pd.DataFrame:
    """How much better the lesion's place is found in the output than by coordinates alone.

    A network learns the masks from the outputs and the coordinates, another one from the coordinates alone.
    Each volume is ranked by networks that have not seen its patient: the subjects are shared out among
    folds, and one fold's network learns from all others. Where an output shows no trace, its network knows no
    more than where lesions lie in general.

    Args:
        outputs: x~, (N, H, W) in [0, 1].
        masks: true lesions, (N, H, W), > 0.
        brains: (N, H, W), > 0; nothing else is learnt or ranked.
        volumes: labels, (N,).
        heights: of the slices in their brains, (N,), from 0 at the lowest to 1 at the highest.
        seed: of folds, weights and batches; the same seed gives the same figures.
        steps: of training, of 8 slices each.
        folds: two or more.
        subjects: whose volume it is, labels, (N,); nothing: each volume is somebody else's.
        coordinates: what `coordinates_auroc` gives for the same masks, subjects and seed, or nothing, to have
            it done.
        device: where the networks are trained.

    Returns:
        By volume `reseg_auroc`, `reseg_auroc_coordinates` and their difference `reseg_excess_auroc`, ideally
        0; NaN where a volume's brain has no lesion.

    Raises:
        InputError: fewer subjects than folds, or fewer than two folds.
    """
    task = _task(outputs, masks, brains, volumes, heights, subjects=subjects, device=device)
    if coordinates is None:
        training: dict[str, Any] = {"seed": seed, "steps": steps, "folds": folds}
        places = (masks, brains, volumes, heights)
        coordinates = coordinates_auroc(*places, subjects=subjects, device=device, **training)
    table = _cross_fitted(task, "reseg_auroc", seed, steps, folds).join(coordinates[[COORDINATES]])
    table["reseg_excess_auroc"] = table["reseg_auroc"] - table[COORDINATES]
    return table


def coordinates_auroc(
    masks: NDArray[Any],
    brains: NDArray[Any],
    volumes: ArrayLike,
    heights: ArrayLike,
    *,
    seed: int,
    steps: int = STEPS,
    folds: int = FOLDS,
    subjects: ArrayLike | None = None,
    device: str = "cpu",
) -> pd.DataFrame:
    """How well coordinates alone find the lesion: the same for every method, hence to be done once.

    Arguments and errors as in `excess_auroc`.

    Returns:
        `reseg_auroc_coordinates` by volume.
    """
    black = np.zeros(masks.shape, dtype=np.float32)
    task = _task(black, masks, brains, volumes, heights, subjects=subjects, device=device)
    return _cross_fitted(task, COORDINATES, seed, steps, folds)


def train(task: _Task, rows: Rows, seed: int, steps: int) -> SmallUNet:
    """A fresh network that has learnt the lesions of some slices; torch's own random state stays as it was.

    Lesion and other brain weigh the same, as they do in an AUROC.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SmallUNet().to(task.device)
    optimiser = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    lesion, brain = (task.lesions * task.brains)[rows].sum(), task.brains[rows].sum()
    weight = torch.tensor((brain - lesion) / max(lesion, 1), device=task.device)
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        drawn = rng.choice(rows, BATCH)
        x, m, inside = (
            torch.from_numpy(each[drawn]).to(task.device) for each in (task.x, task.lesions, task.brains)
        )
        loss = binary_cross_entropy_with_logits(network(x)[:, 0], m, inside, pos_weight=weight)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network


def _task(
    images: NDArray[Any],
    masks: NDArray[Any],
    brains: NDArray[Any],
    volumes: ArrayLike,
    heights: ArrayLike,
    *,
    subjects: ArrayLike | None,
    device: str,
) -> _Task:
    count, height, width = images.shape
    inside = brains > 0
    x = np.zeros((count, 4, height, width), dtype=np.float32)
    x[:, 0][inside] = _standardised(images[inside])
    x[:, 1] = np.linspace(-1, 1, height)[:, None]
    x[:, 2] = np.linspace(-1, 1, width)
    x[:, 3] = 2 * np.asarray(heights, dtype=np.float32)[:, None, None] - 1
    lesions, brain = (each.astype(np.float32) for each in (masks > 0, inside))
    of = np.asarray(volumes if subjects is None else subjects)
    return _Task(x, lesions, brain, np.asarray(volumes), of, device)


def _standardised(values: NDArray[Any]) -> NDArray[Any]:
    """Mean 0 and standard deviation 1, so that the image is not weaker than the coordinates beside it."""
    spread = float(values.std())
    standardised: NDArray[Any] = (values - values.mean()) / (spread or 1.0)
    return standardised


def _cross_fitted(task: _Task, column: str, seed: int, steps: int, folds: int) -> pd.DataFrame:
    """AUROC of each volume's brain by a network that has not seen its subject."""
    fold = _folds(task.subjects, folds, seed)
    scores = np.empty_like(task.lesions)
    for held_out in range(folds):
        network = train(task, np.flatnonzero(fold != held_out), seed, steps)
        rows = np.flatnonzero(fold == held_out)
        scores[rows] = _scores(network, task.x[rows], task.device)

    def measure(rows: Rows) -> dict[str, float]:
        brain = task.brains[rows] > 0
        return {column: auroc(scores[rows][brain], task.lesions[rows][brain])}

    return by_volume(task.volumes, measure)


def _folds(subjects: NDArray[Any], folds: int, seed: int) -> NDArray[np.intp]:
    """The fold of each slice, (N,): the subjects, shuffled, are dealt out in turn."""
    codes, labels = pd.factorize(subjects)
    if not 2 <= folds <= len(labels):
        raise InputError(
            f"{len(labels)} subjects cannot be shared out among {folds} folds; at least two folds are "
            "needed, with a subject each"
        )
    dealt = np.random.default_rng(seed).permutation(len(labels)) % folds
    return dealt[codes]


@torch.inference_mode()
def _scores(network: SmallUNet, x: Stack, device: str) -> Stack:
    parts = [network(part.to(device))[:, 0].cpu() for part in torch.from_numpy(x).split(BATCH)]
    scores: Stack = torch.cat(parts).numpy()
    return scores
