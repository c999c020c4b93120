"""What surrounds the brain or head in an image: one value, what resampling left around it, or neither.

A stripped brain lies on one value. Splines, Lanczos and sinc kernels leave small values of both signs around
it (of one sign where a program clipped the others), far into the background. They are no brain.

Measured on two stripped volumes (BraTS, ISLES; also at 2 mm) and three of LGG, each shifted by parts of a
voxel with splines of order 3 and 5, Lanczos and Fourier interpolation, and zoomed by 0.7 and 1.4; with and
without clipping at 0, also rounded to whole numbers. `> 0` then gives 2 to 48 % too much brain where clipped
and rounded, and 6 to 87 % too much where not. What is left with the rule of `outside`:

| limit, of P99 | brain's volume against that before   | voxels more than 5 mm from the brain |
|---------------|--------------------------------------|--------------------------------------|
| 0.02          | +0.6 to +4.7 %                       | none; Fourier up to 3090             |
| 0.04          | +0.1 to +2.5 %                       | none; Fourier up to 97               |
| 0.06          | -0.2 to +1.7 %                       | none; Fourier up to 4                |
| 0.10          | -1.2 to +0.7 %, dark rims are lost   | none                                 |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]

BORDER = 0.5  # least share that one value has of the slices' borders. Stripped: 0.96 up; noise: under 0.1
BRIGHT = 0.1  # of P99 above the background: what is brighter is tissue
SMALL = 0.05  # of P99 above the background: the limit, see above
# Small values 2 to 4 voxels from the tissue, over the tissue's voxels. LGG (110), SOOP (241), BraTS, ISLES,
# OpenMS as they are: up to 0.0016; linear interpolation: 0.0008; the kernels above: from 0.0025 (8 bits,
# zoomed by 0.7, which is harmless), else from 0.005.
SPREAD = 0.004
# Their median size around the brain, of P99. Splines, Lanczos: 0.00001; Fourier: up to 0.0037. Noise in a
# head's air is larger: 0.0043 where its deviation is a 290th of P99.
FAINT = 0.004
NEGATIVE = 0.05  # of what is not background, below it: more than that is no image above a background,
DEEP, DEEPEST = 0.15, 0.02  # unless at most so many of them are this far (of P99) below, as overshoot is not
TOUCHED, LEAST = 0.9, 0.05  # of the border: tissue and background together; the background alone
FILLED = 0.75  # of the border: tissue, some of which is dark, where there is no background
LAYER = 0.2  # of what is not background: a second value that surrounds the rest
_IN_SLICE = ndimage.generate_binary_structure(3, 1)
_IN_SLICE[[0, 2]] = False
_CLOSE = np.ones((1, 3, 3), dtype=np.bool_)


@dataclass(frozen=True)
class Background:
    """What surrounds the brain or head.

    Attributes:
        value: in the file's units; None: there is none, or noise.
        small: how far above it, in the file's units, what resampling left around the brain may be; 0 where
            nothing is left around it.
        fault: why no brain can be found, even by stripping the image, and what to do;
            empty where nothing is wrong.
    """

    value: float | None
    small: float = 0.0
    fault: str = ""

    @classmethod
    def of(cls, x: NDArray[Any], coarse: NDArray[Any]) -> Background:
        """Of upright slices (Z, H, W); `coarse` holds every so many of their voxels, to detect faults by."""
        value = _value(x)
        if value is None:
            return cls(None, fault=_fault_without(coarse))
        if fault := _fault(coarse - value, value):
            return cls(value, fault=fault)
        above = x - np.float32(value) if value else x
        small = SMALL * _brightness(above)
        around = _left_around(above, small)
        if around is None:
            return cls(value)
        return cls(None) if np.median(np.abs(above[around])) > FAINT / SMALL * small else cls(value, small)


def outside(above: NDArray[Any], small: float) -> Mask:
    """(Z, H, W): what is less than `small` above the background and reaches the border of its slice so.

    Dark liquid within the brain does not reach it, and so is none of it.
    """
    pieces, count = ndimage.label(above < small, _IN_SLICE)
    at_border = np.zeros(count + 1, dtype=np.bool_)
    at_border[np.concatenate([pieces[:, [0, -1]].ravel(), pieces[:, :, [0, -1]].ravel()])] = True
    at_border[0] = False
    reached: Mask = at_border[pieces]
    return reached


def share_below(above: NDArray[Any]) -> float:
    """Share below the background of what is clearly not background; 0 where that is mere overshoot."""
    if not (above < 0).any():
        return 0.0
    size = np.abs(above[above != 0])
    scale = _brightness(size)
    clear = max(int(np.count_nonzero(size > SMALL * scale)), 1)
    deep = np.count_nonzero(above < -DEEP * scale) / clear
    return np.count_nonzero(above < -SMALL * scale) / clear if deep > DEEPEST else 0.0


def _left_around(above: NDArray[Any], small: float) -> Mask | None:
    """`outside`, where small values lie around the tissue, not only at its edge; else None."""
    tissue = above >= small
    far = (above != 0) & ~tissue
    least = max(SPREAD * np.count_nonzero(tissue), 1)
    if small == 0 or np.count_nonzero(far) <= least:
        return None
    edge = ndimage.binary_dilation(tissue, _CLOSE)
    far &= ~edge
    if np.count_nonzero(far) <= least:
        return None
    far &= ndimage.binary_dilation(edge, _CLOSE, iterations=3)
    around = outside(above, small)
    return around if np.count_nonzero(far & around) > least else None


def _border(x: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([x[:, [0, -1]].ravel(), x[:, :, [0, -1]].ravel()])


def _most(values: NDArray[Any]) -> tuple[float, float]:
    """The most frequent value, and its share."""
    each, counts = np.unique(values, return_counts=True)
    return float(each[counts.argmax()]), float(counts.max() / values.size)


def _brightness(above: NDArray[Any]) -> float:
    """P99 of what is above 0; 0 where nothing is."""
    bright = above[above > 0]
    return float(np.percentile(bright, 99)) if bright.size else 0.0


def _value(x: NDArray[Any]) -> float | None:
    """The value that most of the slices' borders have; else one near all that is no tissue there."""
    border = _border(x)
    most, share = _most(border)
    if share >= BORDER:
        return most + 0.0  # no negative zero
    for value in (*([most] if share >= LEAST else []), 0.0, float(np.median(border))):
        limit = SMALL * _brightness(np.abs(x - value))
        near, bright = border - value <= limit, border - value > limit / SMALL * BRIGHT
        lowest = value == 0 or np.mean(x < value - limit) <= 1 - TOUCHED
        if near.mean() >= LEAST and np.mean(near | bright) >= TOUCHED and lowest:
            return value + 0.0
    return None


def _fault_without(x: NDArray[Any]) -> str:
    """What is wrong with an image that has no background; nothing where noise surrounds a head."""
    size = _brightness(np.abs(x))
    if (negative := share_below(x)) > NEGATIVE:
        return _z_scored(negative, 0)
    if np.mean(_border(x) > BRIGHT * size) >= FILLED:
        return (
            "its brain reaches every border of the image; expected background around it, so give the image "
            "as it was before it was cropped (to `synthesize`, the brain's mask will do)"
        )
    return ""


def _fault(above: NDArray[Any], value: float) -> str:
    """What is wrong with an image that has a background of `value`."""
    limit = SMALL * _brightness(np.abs(above))
    if (share := share_below(above)) > NEGATIVE:
        second, frequent = _most(above[above < -limit])
        if frequent >= LAYER:
            return _two(value, second + value)
        if share > 1 - NEGATIVE:
            return (
                f"its tissue is darker than its background of {value:g} (inverted?); expected a brain above "
                "a background of one value, so give the image as it was before"
            )
        return _z_scored(share, value)
    layer = _layer(above, limit)
    return "" if layer is None else _two(value, layer + value)


def _layer(above: NDArray[Any], limit: float) -> float | None:
    """A second value that lies around all the rest, is darker, and not within `limit` of the background."""
    padding = above == 0
    beside = above[ndimage.binary_dilation(padding, _IN_SLICE) & ~padding]
    if not beside.size:
        return None
    second, share = _most(beside)
    rest = above[~padding & (above != second)]
    layer = above.size - np.count_nonzero(padding) - rest.size
    if (
        abs(second) <= limit
        or share < BORDER
        or layer < LAYER * (layer + rest.size)
        or rest.size < LEAST * layer
    ):
        return None
    return second if np.mean(rest > second) > 1 - NEGATIVE else None


def _z_scored(share: float, value: float) -> str:
    below = "negative" if value == 0 else f"below its background of {value:g}"
    return (
        f"{share:.0%} of its voxels that are not {value:g} are {below} (z-scored?); expected a brain above a "
        "background of one value, so give the image as it was before that normalisation"
    )


def _two(one: float, other: float) -> str:
    return (
        f"two values, {one:g} and {other:g}, surround its brain (padded?); expected one, so set both to the "
        "same"
    )
