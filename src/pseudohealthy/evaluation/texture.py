"""Texture: is there tissue inside the lesion's place, or a smooth patch? See section 6 of docs/method.md."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from pseudohealthy.evaluation.by_volume import by_volume, rows_of
from pseudohealthy.evaluation.controls import brain_columns

TEXTURE = "texture"
SIGMA = 0.7  # px, of the Gaussian before the gradient: noise of single pixels is no texture
MARGIN = 3  # px of the lesion's border that do not count, where an outline may have stayed
LEAST_PIXELS = 150  # in each of the two places
RESAMPLES = 9_999

Values = NDArray[np.float64]
Mask = NDArray[np.bool_]


def texture(outputs: NDArray[Any], masks: NDArray[Any], brains: NDArray[Any], volumes: ArrayLike) -> Values:
    """Gradient energy inside the lesion's place over that of its mirror image, slice by slice.

    Energy is the mean squared gradient (central differences, after a Gaussian of 0.7 px) over a region of the
    output: the true mask eroded by 3 px, and the mirror image of that, as `controls.mirror` finds it, as far
    as it is brain and free of lesion. The intensities' scale cancels. 1 is ideal; a flat patch has 0 and a
    smooth one little, a mirrored hemisphere 1 by construction. It cannot tell tissue from any other detail:
    an outline of the lesion that stayed, folds or noise raise it, so it is to be read beside the error
    against a truth, the residual contrast and re-segmentability. An output that is smooth everywhere is
    smooth in the mirrored place too, and its figure says nothing.

    Args:
        outputs: x~, (N, H, W).
        masks: m, (N, H, W), > 0.
        brains: (N, H, W), > 0; the mirror stands in the middle of the box around a volume's brain.
        volumes: labels, (N,).

    Returns:
        (N,), one value a slice, 0 or more. NaN where one of the two places has under 150 pixels, or where
        the mirrored place alone is flat; 0 where both are.
    """
    values = np.full(len(outputs), np.nan)
    lesions, inside = masks > 0, brains > 0
    for rows in rows_of(volumes).values():
        if not inside[rows].any():
            continue
        ends = sum(brain_columns(inside[rows]))
        for z in rows:
            place = _eroded(lesions[z]) & inside[z]
            twin = _mirrored(place, ends) & inside[z] & ~lesions[z]
            if min(np.count_nonzero(place), np.count_nonzero(twin)) >= LEAST_PIXELS:
                values[z] = _ratio(_energy(outputs[z]), place, twin)
    return values


def volume_texture(by_slice: Values, volumes: ArrayLike) -> pd.DataFrame:
    """Median over each volume's measured slices.

    Args:
        by_slice: of `texture`, (N,).
        volumes: labels, (N,).

    Returns:
        A row a volume, column `texture`; NaN where no slice could be measured.
    """
    return by_volume(volumes, lambda rows: {TEXTURE: _median(by_slice[rows])})


def texture_over_slices(by_slice: Values, volumes: ArrayLike, seed: int = 0) -> dict[str, float]:
    """The figure of a whole set of outputs.

    Args:
        by_slice: of `texture`, (N,).
        volumes: labels, (N,).
        seed: of the bootstrap.

    Returns:
        `median` over all measured slices, `lower_quartile` and `upper_quartile` of them; `low` and `high`, a
        95 % interval of the median (percentiles of 9,999 resamples of the volumes), NaN with fewer than two
        measured volumes; `slices`, how many were measured. NaN without any.
    """
    measured = ~np.isnan(by_slice)
    values, labels = by_slice[measured], np.asarray(volumes)[measured]
    quartiles = np.percentile(values, [25, 75]) if values.size else np.full(2, np.nan)
    low, high = _interval([values[rows] for rows in rows_of(labels).values()], seed)
    return {
        "median": _median(values),
        "low": low,
        "high": high,
        "lower_quartile": float(quartiles[0]),
        "upper_quartile": float(quartiles[1]),
        "slices": int(values.size),
    }


def _eroded(lesion: Mask) -> Mask:
    """Pixels further than 3 px from the nearest one that is no lesion."""
    if lesion.all():
        return lesion
    core: Mask = distance_transform_edt(lesion) > MARGIN
    return core


def _mirrored(place: Mask, ends: int) -> Mask:
    """Column c as column `ends` - c; `place` lies between the two columns of which `ends` is the sum."""
    rows, columns = np.nonzero(place)
    twin = np.zeros_like(place)
    twin[rows, ends - columns] = True
    return twin


def _energy(image: NDArray[Any]) -> Values:
    """Squared gradient at each pixel, (H, W)."""
    down, across = np.gradient(gaussian_filter(image.astype(np.float64), SIGMA))
    return np.asarray(down**2 + across**2, dtype=np.float64)


def _ratio(energy: Values, place: Mask, twin: Mask) -> float:
    here, there = float(energy[place].mean()), float(energy[twin].mean())
    if there == 0:
        return 0.0 if here == 0 else float("nan")
    return here / there


def _median(values: Values) -> float:
    measured = values[~np.isnan(values)]
    return float(np.median(measured)) if measured.size else float("nan")


def _interval(groups: list[Values], seed: int) -> tuple[float, float]:
    """95 % of the medians of resampled groups, one a volume."""
    if len(groups) < 2:
        return float("nan"), float("nan")
    draws = np.random.default_rng(seed).integers(0, len(groups), (RESAMPLES, len(groups)))
    medians = [np.median(np.concatenate([groups[i] for i in draw])) for draw in draws]
    low, high = np.percentile(medians, [2.5, 97.5])
    return float(low), float(high)
