"""What a run's report tells: how much changed, whether it flickers, and how familiar the image was."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pseudohealthy.config import Preprocessing
from pseudohealthy.data.out_of_distribution import Likeness, Reference, likeness
from pseudohealthy.data.slice_selection import training_slices

STEADY = 1.5  # brightness flicker; of the validation patients at most 1.09 with the package's weights
Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


def change(x: Array, x_tilde: Array, brain: Mask) -> dict[str, float]:
    """Mean and 99th percentile of |x - x~| over the brain of slices `(N, H, W)` in [0, 1]."""
    size = np.abs(x_tilde - x)[brain]
    return {"mean": round(float(size.mean()), 5), "p99": round(float(np.percentile(size, 99)), 5)}


def through_plane_change(x: Array, x_tilde: Array, brain: Mask) -> dict[str, float | None]:
    """Change from slice to slice of x~ over that of x, of all slices `(Z, H, W)`.

    Returns:
        `through_plane_inconsistency` and `brightness_inconsistency` of `evaluation.through_plane`: 1 for a
        copy, the second above 1 where slices are brighter and darker by turns; None where the brain is not in
        three neighbouring slices.
    """
    if len(x) < 3:
        return {"through_plane_inconsistency": None, "brightness_inconsistency": None}
    from pseudohealthy.evaluation.through_plane import (  # noqa: PLC0415  (brings pandas; not for a single slice)
        brightness_inconsistency,
        through_plane_inconsistency,
    )

    table = through_plane_inconsistency(x_tilde, x, brain, ["one"] * len(x), np.arange(len(x)))
    found = {
        "through_plane_inconsistency": float(table["through_plane_inconsistency"].iloc[0]),
        "brightness_inconsistency": brightness_inconsistency(x_tilde, x, brain),
    }
    return {name: round(ratio, 4) if np.isfinite(ratio) else None for name, ratio in found.items()}


def unsteady(brightness_inconsistency: float | None) -> tuple[str, ...]:
    """A warning where slices are brighter and darker by turns, more than any of the validation patients'."""
    if brightness_inconsistency is None or brightness_inconsistency <= STEADY:
        return ()
    return (
        f"from slice to slice the healthy image's brightness changes {brightness_inconsistency:.1f} times as "
        "much as the input's: look at it in a sagittal view",
    )


def out_of_distribution(
    x: Array, brain: Mask, settings: Preprocessing, reference: dict[str, Any] | None
) -> tuple[dict[str, Any] | str, tuple[str, ...]]:
    """How far a volume is from the training data, for the report, and a warning where that is too far.

    Args:
        x: all its canonical slices, `(Z, H, W)` in [0, 1].
        brain: of them.
        settings: which slices the training data has.
        reference: the training data's figures; None: the weights carry none, and there is no warning.
    """
    if reference is None:
        return "not compared: the weights carry no figures of their training data", ()
    known = Reference.model_validate(reference)
    found = likeness((x * brain)[training_slices(brain, settings.slice_selection)], settings.spacing, known)
    if found is None:
        return "not compared: the brain is too small", ()
    told = {"distance": found.distance, "limit": found.limit, "volumes": known.volumes}
    return told, _warning(found, known)


def _warning(found: Likeness, known: Reference) -> tuple[str, ...]:
    if found.distance <= found.limit:
        return ()
    return (
        f"the image looks unlike the {known.volumes} volumes that the weights were trained on (distance "
        f"{found.distance:.1f}, limit {found.limit:.1f}): {'; '.join(found.signs)}. Is it a FLAIR?",
    )
