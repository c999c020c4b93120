"""Masks of the shapes of real lesions, where there is none: what an inpainter learns to fill."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TRIES = 20


def inpainting_mask(
    shape: NDArray[np.bool_], brain: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """A lesion's shape, turned over at random and moved by whole pixels to a random place in the brain.

    Of `TRIES` places the first at which all of it lies in the brain, else the one with the most; what is
    still outside the brain is left out.

    Args:
        shape: a lesion mask `(H, W)`.
        brain: where the mask may be `(H, W)`.
        rng: of the draws.

    Returns:
        `(H, W)`; empty only where shape or brain is.
    """
    turned = shape[:: rng.choice((1, -1)), :: rng.choice((1, -1))]
    pixels, places = np.argwhere(turned), np.argwhere(brain)
    best = pixels[:0]
    for _ in range(TRIES if len(pixels) and len(places) else 0):
        moved = pixels + places[rng.integers(len(places))] - pixels[rng.integers(len(pixels))]
        moved = moved[((moved >= 0) & (moved < brain.shape)).all(axis=1)]
        moved = moved[brain[tuple(moved.T)]]
        if len(moved) > len(best):
            best = moved
        if len(best) == len(pixels):
            break
    out = np.zeros_like(brain)
    out[tuple(best.T)] = True
    return out
