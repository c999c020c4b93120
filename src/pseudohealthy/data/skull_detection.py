"""Whether an image still has its skull, and the brain alone of one whose brain is known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from numpy.typing import NDArray
from scipy import ndimage

from pseudohealthy.data.background import BRIGHT, Background, outside
from pseudohealthy.data.volume import Volume
from pseudohealthy.errors import InputError

# Measured on 115 stripped volumes (all of LGG, BraTS, ISLES, OpenMS), some also cut, eroded and blurred; and
# on a whole head, also with noise, thick slices, suppressed fat, blurred, without neck, and as one slice.
DARKEST = (
    0.65  # of deep tissue: a darker ring is a skull. Stripped: 0.77 up; head: to 0.36, with black fat 0.55
)
LITRES = 2.3  # Stripped: up to 1.9; head with its neck: 3.0 and more
AROUND = 0.6  # voxels around the tissue and not background, over the tissue's. Stripped: 0 (blurred: 0.44)
RINGS_MM = (6, 9, 12, 15, 18)  # below the surface: skull of a head, but not liquid around a shrunken brain
DEEP_MM = 25
COARSE_MM = (4.0, 2.0)  # between and within the sampled slices: a skull is thicker


@dataclass(frozen=True)
class SkullEvidence:
    """What an image shows of skull and background.

    Attributes:
        background: the one value around the brain or head, in the file's units; None: there is none.
        ring: median intensity above the background of the darkest ring 6 to 18 mm below the surface, over
            that of tissue more than 25 mm below it; NaN where nothing is so deep.
        litres: size of the tissue, with what it encloses.
        around: voxels that are neither tissue nor background, over those of the tissue.
        small: how far above the background, in the file's units, what resampling left around the brain may
            be; 0 where nothing is left around it.
        fault: why no brain can be found, with or without a skull, and what to do; empty where it can.
    """

    background: float | None
    ring: float
    litres: float
    around: float
    small: float = 0.0
    fault: str = ""

    @classmethod
    def of(cls, volume: Volume) -> SkullEvidence:
        """Of a volume in its axial slices, sampled every 2 mm within and 4 mm between them for its skull."""
        whole = upright(volume.data, volume)
        x, mm = _coarse(whole, upright_mm(volume))
        background = Background.of(whole, x)
        if background.value is None:
            return cls(None, float("nan"), float("nan"), float("nan"), fault=background.fault)
        above, small = x - background.value, background.small
        tissue = _tissue(above, small, mm)
        close = ndimage.binary_dilation(tissue, np.ones((1, 5, 5), dtype=np.bool_))
        voxels = int(np.count_nonzero(tissue))
        around = int(np.count_nonzero((above > small) & ~close)) / max(voxels, 1)
        ring, litres = _darkest_ring(above, tissue, mm), voxels * float(np.prod(mm)) / 1e6
        return cls(background.value, ring, litres, around, small, background.fault)

    @property
    def skull(self) -> str:
        """What shows that there is a skull, in words; empty where nothing does."""
        if self.background is None or self.around > AROUND:
            return (
                "has its skull or noise around it (what surrounds it is not one value, as around a stripped "
                "brain)"
            )
        if self.ring < DARKEST:
            return (
                f"has its skull (a ring below its surface has {self.ring:.0%} of the intensity inside, as a "
                "skull has)"
            )
        if self.litres > LITRES:
            return f"has its skull (its tissue takes {self.litres:.1f} l, more than a brain does)"
        return ""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know of the background."""
        if not self.small:
            return ()
        return (
            f"small values around the brain (within {self.small:.3g} of its background of "
            f"{self.background:g}, as resampling leaves them) were taken for background and left as they are",
        )


def stripped_brain(volume: Volume) -> tuple[Volume, SkullEvidence]:
    """The brain of a stripped image, see `brain_alone`, and the evidence that it is one.

    Raises:
        InputError: the image has its skull, or no brain can be found in it.
    """
    evidence = SkullEvidence.of(volume)
    expect_no_fault(volume, evidence)
    if evidence.skull:
        raise InputError(
            f"{volume.name}: {evidence.skull}; expected the brain alone, so strip the image "
            "first, e.g. with HD-BET"
        )
    return brain_alone(volume, evidence), evidence


def expect_no_fault(volume: Volume, evidence: SkullEvidence) -> None:
    """Raise an `InputError` where no brain can be found, neither as it is nor by stripping it."""
    if evidence.fault:
        raise InputError(f"{volume.name}: {evidence.fault}")


def brain_alone(volume: Volume, evidence: SkullEvidence, mask: NDArray[np.bool_] | None = None) -> Volume:
    """The brain above a background of 0, on the same grid; what the networks were trained for.

    Where there is nothing to change its voxels are those of `volume`, not a copy.

    Args:
        volume: stripped, or not where a mask is given.
        evidence: of it. A background other than 0 is subtracted from every voxel.
        mask: (I, J, K), the brain; None: all that is not background, nor left around it by resampling.
    """
    mask = within(volume, evidence) if mask is None else mask
    data = volume.data - np.float32(evidence.background) if evidence.background else volume.data
    return replace(volume, data=data if mask is None else np.where(mask, data, np.float32(0)))


def within(volume: Volume, evidence: SkullEvidence) -> NDArray[np.bool_] | None:
    """(I, J, K): all but what resampling left around the brain; None where nothing is left around it."""
    if not evidence.small:
        return None
    above = upright(volume.data, volume) - np.float32(evidence.background or 0)
    inside: NDArray[np.bool_] = stored(~outside(above, evidence.small), volume)
    return inside


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


def _tissue(above: NDArray[Any], small: float, mm: NDArray[np.float64]) -> NDArray[np.bool_]:
    """What is clearly brighter than the background, slice by slice with the gaps and holes in it closed."""
    bright = above[above > small]
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
    depth = np.stack([_depth(one, mm) for one in tissue[used]])
    above = above[used]
    deep = above[depth > DEEP_MM]
    rings = [above[(depth > low) & (depth <= high)] for low, high in pairwise(RINGS_MM)]
    medians = [float(np.median(ring)) for ring in rings if ring.size]
    inside = float(np.median(deep)) if deep.size else 0.0
    return min(medians) / inside if medians and inside > 0 else float("nan")


def _depth(tissue: NDArray[np.bool_], mm: NDArray[np.float64]) -> NDArray[np.float64]:
    """(H, W): mm below the tissue's surface, which the image's border is only where there is no other."""
    wider = np.pad(tissue, 1, mode="constant" if tissue.all() else "edge")
    depth: NDArray[np.float64] = ndimage.distance_transform_edt(wider, mm[1:])[1:-1, 1:-1]
    return depth
