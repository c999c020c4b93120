"""Which lesions are found, by size, and what is marked where there is none; docs/method.md, 6."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from pseudohealthy.evaluation.by_volume import Rows, by_volume

LEAST_SHARE = 0.1
AREAS = (50.0, 200.0, 1000.0)  # mm2, where one bin ends and the next begins
BINS = ("<50", "50-200", "200-1000", ">=1000")
TOUCHING = np.ones((3, 3), dtype=np.bool_)  # 8-connected


def lesions(
    detected: NDArray[Any],
    masks: NDArray[Any],
    volumes: ArrayLike,
    spacing: tuple[float, float],
    least_share: float = LEAST_SHARE,
) -> pd.DataFrame:
    """Each lesion, an 8-connected component of a slice's true mask, and whether it is found.

    Args:
        detected: what is marked, (N, H, W), > 0.
        masks: true lesions, as `detected`.
        volumes: labels, (N,).
        spacing: of rows and of columns, in mm.
        least_share: of a lesion's pixels that must be marked for it to be found.

    Returns:
        A row a lesion: `volume`, `slice` (its place in the stack), `area_mm2`, `detected`.
    """
    sizes, hits = zip(*(_sizes(*pair) for pair in zip(detected, masks, strict=True)), strict=True)
    size, hit = np.concatenate(sizes), np.concatenate(hits)
    place = np.repeat(np.arange(len(sizes)), [len(each) for each in sizes])
    columns = {"area_mm2": size * spacing[0] * spacing[1], "detected": hit / size >= least_share}
    return pd.DataFrame({"volume": np.asarray(volumes)[place], "slice": place, **columns})


def by_size(lesions: pd.DataFrame) -> pd.DataFrame:
    """Detection by the lesion's area, of what `lesions` gives for any number of volumes.

    Returns:
        A row a bin of area in mm2 (under 50, 50 to 200, 200 to 1000, from 1000), indexed by `area_mm2`:
        `lesions` and `detected`, numbers of, and `rate`, NaN in an empty bin.
    """
    place = np.digitize(lesions["area_mm2"], AREAS)
    count = np.bincount(place, minlength=len(BINS))
    detected = np.bincount(place[lesions["detected"].to_numpy(dtype=bool)], minlength=len(BINS))
    rate = np.divide(detected, count, out=np.full(len(BINS), np.nan), where=count > 0)
    table = {"lesions": count, "detected": detected, "rate": rate}
    return pd.DataFrame(table, index=pd.Index(BINS, name="area_mm2"))


def false_alarms(detected: NDArray[Any], masks: NDArray[Any], volumes: ArrayLike) -> pd.Series[float]:
    """Marked 8-connected components that have no pixel in common with a lesion; arguments as in `lesions`.

    Returns:
        Their mean number a slice, by volume, in order of first appearance.
    """
    alarms = [_false_components(*pair) for pair in zip(detected, masks, strict=True)]
    return pd.Series(alarms, dtype=np.float64).groupby(np.asarray(volumes), sort=False).mean()


def detection(
    detected: NDArray[Any], masks: NDArray[Any], volumes: ArrayLike, spacing: tuple[float, float]
) -> pd.DataFrame:
    """Lesion-wise detection by volume; arguments as in `lesions`.

    Returns:
        `detection.rate`, the share of the volume's lesions that are found, NaN without any, and
        `detection.false_alarms_per_slice`.
    """

    def measure(rows: Rows) -> dict[str, float]:
        marked, true, one = detected[rows], masks[rows], np.zeros(len(rows), dtype=np.int8)
        return {
            "detection.rate": float(lesions(marked, true, one, spacing)["detected"].mean()),
            "detection.false_alarms_per_slice": float(false_alarms(marked, true, one).iloc[0]),
        }

    return by_volume(volumes, measure)


def _sizes(marked: NDArray[Any], mask: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pixels of each lesion of a slice, and how many of them are marked."""
    component, count = ndimage.label(mask > 0, TOUCHING)
    size, hit = (
        np.bincount(each, minlength=count + 1) for each in (component.ravel(), component[marked > 0])
    )
    return size[1:], hit[1:]


def _false_components(marked: NDArray[Any], mask: NDArray[Any]) -> int:
    component, count = ndimage.label(marked > 0, TOUCHING)
    true = np.unique(component[mask > 0])
    return int(count - np.count_nonzero(true))
