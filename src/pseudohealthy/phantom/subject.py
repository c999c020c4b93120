"""One synthetic subject: anatomy, lesions and scanner, each drawn from a stream of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from pseudohealthy.phantom.anatomy import Anatomy, healthy
from pseudohealthy.phantom.fields import Frame
from pseudohealthy.phantom.lesions import Diseased, diseased
from pseudohealthy.phantom.scanner import Scanner

Group = Literal["patient", "control"]


@dataclass(frozen=True, eq=False)
class Phantom:
    """One synthetic subject on the grid of a frame; images int16 (I, J, K), 0 outside the brain.

    Attributes:
        image: as scanned.
        truth: as it would have been scanned without lesions: equal to `image` where no lesion reaches.
        mask: whole lesions.
        lesions: how many.
        mass_effect: whether tissue was pushed away: `truth` then differs from `image` around the lesion, too.
    """

    image: NDArray[np.int16]
    truth: NDArray[np.int16]
    mask: NDArray[np.bool_]
    lesions: int
    mass_effect: bool


def phantom(group: Group, number: int, *, seed: int = 0, spacing: float = 1.0) -> Phantom:
    """The `number`-th patient or control of a seed: always the same, however many there are.

    Raises:
        InputError: nilearn, whose anatomy is used, is not installed.
    """
    frame = Frame(spacing)
    _, lesion_rng, scanner_rng = _streams(group, number, seed)
    anatomy = anatomy_of(group, number, seed=seed, spacing=spacing)
    brain = anatomy.brain
    disease = Diseased(anatomy.signal, np.zeros_like(brain), 0, False)
    if group == "patient":
        disease = diseased(lesion_rng, frame, anatomy)
    scanner = Scanner.drawn(scanner_rng, frame)
    image, truth = (scanner.image(signal, brain) for signal in (disease.signal, anatomy.signal))
    return Phantom(image, truth, disease.mask, disease.lesions, disease.mass_effect)


def anatomy_of(group: Group, number: int, *, seed: int = 0, spacing: float = 1.0) -> Anatomy:
    """The healthy brain of the same subject, before lesions and scanner.

    Raises:
        InputError: as `phantom`.
    """
    return healthy(_streams(group, number, seed)[0], Frame(spacing))


def _streams(group: Group, number: int, seed: int) -> list[np.random.Generator]:
    """What anatomy, lesions and scanner are drawn from."""
    sequence = np.random.SeedSequence([seed, get_args(Group).index(group), number])
    return [np.random.default_rng(stream) for stream in sequence.spawn(3)]
