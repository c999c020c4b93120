"""Whether an image still has its skull, and the brain alone of one whose brain is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import NDArray
from scipy import ndimage

from pseudohealthy.data.volume import Volume

# Measured on 115 stripped volumes (all of LGG, BraTS, ISLES, OpenMS), some also cut, eroded and blurred; and
# on a whole head, also with noise, thick slices, suppressed fat, blurred, without neck, and as one slice.
BORDER = 0.5  # least share that one value has of the slices' borders. Stripped: 0.96 up; noise: under 0.1
BRIGHT = 0.1  # of P99 above the background: what is brighter is tissue
DARKEST = (
    0.65  # of deep tissue: a darker ring is a skull. Stripped: 0.79 up; head: to 0.36, with black fat 0.55
)
LITRES = 2.3  # Stripped: up to 1.9; head with its neck: 3.0 and more
AROUND = 0.6  # voxels around the tissue and not background, over the tissue's. Stripped: 0 (blurred: 0.44)
RINGS_MM = (6, 9, 12, 15, 18)  # below the surface: skull of a head, but not liquid around a shrunken brain
DEEP_MM = 25
COARSE_MM = (4.0, 2.0)  # between and within the slices looked at: a skull is thicker


@dataclass(frozen=True)
class Look:
    """What an image shows of skull and background.

    Attributes:
        background: the one value around the brain or head, in the file's units; None: there is none.
        ring: median intensity above the background of the darkest ring 6 to 18 mm below the surface, over
            that of tissue more than 25 mm below it; NaN where nothing is so deep.
        litres: size of the tissue, with what it encloses.
        around: voxels that are neither tissue nor background, over those of the tissue.
    """

    background: float | None
    ring: float
    litres: float
    around: float

    @classmethod
    def at(cls, volume: Volume) -> Look:
        """Look at a volume in its axial slices, 2 mm in them and 4 mm between them."""
        x, mm = _coarse(upright(volume.data, volume), upright_mm(volume))
        background = _background(x)
        if background is None:
            return cls(None, float("nan"), float("nan"), float("nan"))
        above = x - background
        tissue = _tissue(above, mm)
        close = ndimage.binary_dilation(tissue, np.ones((1, 5, 5), dtype=np.bool_))
        voxels = int(np.count_nonzero(tissue))
        around = int(np.count_nonzero((above > 0) & ~close)) / max(voxels, 1)
        return cls(background, _darkest_ring(above, tissue, mm), voxels * float(np.prod(mm)) / 1e6, around)

    @property
    def skull(self) -> str:
        """What speaks for a skull, in words; empty where nothing does."""
        if self.background is None or self.around > AROUND:
            return "what surrounds it is not one value, as around a stripped brain"
        if self.ring < DARKEST:
            return f"a ring below its surface has {self.ring:.0%} of the intensity inside, as a skull has"
        if self.litres > LITRES:
            return f"its tissue takes {self.litres:.1f} l, more than a brain does"
        return ""


def brain_alone(volume: Volume, look: Look, mask: NDArray[np.bool_] | None = None) -> Volume:
    """The brain above a background of 0, on the same grid; what the networks were trained for.

    Args:
        volume: stripped, or not where a mask is given.
        look: at it. A background other than 0 is taken off every voxel.
        mask: (I, J, K), the brain; None: all that is not background.
    """
    data = volume.data - np.float32(look.background or 0)
    return replace(volume, data=data if mask is None else np.where(mask, data, np.float32(0)))


def upright(data: NDArray[Any], volume: Volume) -> NDArray[Any]:
    """`data` (I, J, K) as (Z, H, W): slices upwards, rows to the front, columns to the patient's right."""
    return np.asarray(apply_orientation(data, _turn(volume)))


def stored(data: NDArray[Any], volume: Volume) -> NDArray[Any]:
    """What `upright` did, undone."""
    back = ornt_transform(axcodes2ornt("SAR"), io_orientation(volume.affine))
    return np.asarray(apply_orientation(data, back))


def _turn(volume: Volume) -> NDArray[np.float64]:
    return np.asarray(ornt_transform(io_orientation(volume.affine), axcodes2ornt("SAR")))


def upright_mm(volume: Volume) -> tuple[float, float, float]:
    """Voxel size in mm along the axes of `upright`."""
    z, rows, columns = (volume.spacing[int(axis)] for axis in np.argsort(_turn(volume)[:, 0]))
    return z, rows, columns


def _coarse(x: NDArray[Any], mm: tuple[float, float, float]) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Every so many voxels of `x`, and their distance in mm: enough to see a skull by, and quick."""
    least = np.array([COARSE_MM[0], COARSE_MM[1], COARSE_MM[1]])
    step = np.maximum(np.rint(least / mm), 1).astype(int)
    return x[:: step[0], :: step[1], :: step[2]], step * np.array(mm)


def _background(x: NDArray[Any]) -> float | None:
    """The value that most of the slices' borders have."""
    border = np.concatenate([x[:, [0, -1]].ravel(), x[:, :, [0, -1]].ravel()])
    values, counts = np.unique(border, return_counts=True)
    most = counts.argmax()
    return float(values[most]) if counts[most] >= BORDER * border.size else None


def _tissue(above: NDArray[Any], mm: NDArray[np.float64]) -> NDArray[np.bool_]:
    """What is clearly brighter than the background, slice by slice with the gaps and holes in it closed."""
    bright = above[above > 0]
    tissue = above > BRIGHT * np.percentile(bright, 99) if bright.size else above > 0
    reach = max(round(4 / mm[1]), 1)
    closed = [ndimage.binary_closing(np.pad(one, reach), iterations=reach) for one in tissue]
    return np.stack([ndimage.binary_fill_holes(one)[reach:-reach, reach:-reach] for one in closed])


def _darkest_ring(above: NDArray[Any], tissue: NDArray[np.bool_], mm: NDArray[np.float64]) -> float:
    """Median of the darkest ring over that of deep tissue, in slices half as large as the largest or more."""
    area: NDArray[np.intp] = np.count_nonzero(tissue, axis=(1, 2))
    if not area.any():
        return float("nan")
    used = 2 * area >= area.max()
    depth = np.stack(
        [ndimage.distance_transform_edt(np.pad(one, 1), mm[1:])[1:-1, 1:-1] for one in tissue[used]]
    )
    above = above[used]
    deep = above[depth > DEEP_MM]
    rings = [above[(depth > low) & (depth <= high)] for low, high in pairwise(RINGS_MM)]
    medians = [float(np.median(ring)) for ring in rings if ring.size]
    inside = float(np.median(deep)) if deep.size else 0.0
    return min(medians) / inside if inside > 0 else float("nan")
