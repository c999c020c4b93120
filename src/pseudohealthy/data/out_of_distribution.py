"""Whether an image is out of distribution: six figures of its contrast against those of the training data.

`python -m pseudohealthy.data.out_of_distribution PREPARED WEIGHTS` writes the figures of a prepared cohort's
training volumes beside the weights trained on them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage

from pseudohealthy.config import Frozen
from pseudohealthy.errors import InputError
from pseudohealthy.files import write_json
from pseudohealthy.json_files import read_json
from pseudohealthy.settings_files import validated

if TYPE_CHECKING:  # comparing needs no cohort
    from pseudohealthy.data.prepared import Prepared

FILE, FORMAT = "training_distribution.json", 1
SLICES = 24  # of a volume, at most
RIM_MM, CORTEX_MM, WHITE_MM = (0, 3), (3, 8), (15, 25)  # below the brain's surface, within the slice
FINE, COARSE = 1.5, 4.0  # pixels: standard deviations of the blurs that detail is what is left of
# An image so many times farther than the farthest training volume is out of distribution. LGG's 68 reach
# 4.8, so the limit is 5.9; its 42 others reach 5.1; BraTS, ISLES, OpenMS 4.1; T1, T2, PD, CT-like, inverted:
# from 6.8.
MARGIN = 1.25
# Of the brightness of the brain's surface over its median, in a single slice, whose other figures vary much.
# A FLAIR's surface is dark, as the fluid around it is: above this are 1 % of 211 slices of stroke patients
# (none of them test patients), and 96 % of their negatives.
SURFACE = 0.9
# Of the brightness of the cortex over that of white matter, in a volume. A FLAIR's cortex is the brighter,
# a T1's the darker: of 80 volumes of LGG's training and validation patients the lowest has 0.97, of 10
# phantoms as T1 the highest 0.95. Slices vary too much alone: of stroke patients' 5 % are below 0.92.
CORTEX = 0.96
RIBBON_MM = (3, 6)  # below the brain's surface, where its upper quartile is cortex: the rest is fluid
WHITE_LEVEL = 0.5  # of the median tissue: what is darker deep inside is a ventricle

# What a figure above the training data's shows; one below it is no sign of another contrast.
SIGNS = {
    "level": "most of its tissue is about as bright as its brightest",
    "rim": "the surface of its brain is not dark",
    "white": "it is brighter deep inside than at the cortex",
    "flatness": "its tissue has little contrast",
    "noise": "its detail is as strong as its coarse contrast",
    "sulci": "its fine structures are bright, not dark",
}

# What no training data come to, so that a stranger's file with more is damaged
LARGEST_FIGURE, LARGEST_DISTANCE = 1e6, 1e15

Array = NDArray[np.float32]


class Spread(Frozen):
    """One figure over the training volumes, and the standard deviation of that of their middle slices alone.

    The latter is 0 where it is not known, and counts where it is the larger one.
    """

    median: float = Field(ge=-LARGEST_FIGURE, le=LARGEST_FIGURE)
    deviation: float = Field(ge=0, le=LARGEST_FIGURE)
    slice_deviation: float = Field(0.0, ge=0, le=LARGEST_FIGURE)

    def of(self, slices: int) -> float:
        """The standard deviation to be expected of a figure of so many slices."""
        more = max(self.slice_deviation**2 - self.deviation**2, 0.0)
        return max(float(np.sqrt(self.deviation**2 + more / slices)), 1e-6)


class Reference(Frozen):
    """The training volumes' figures.

    Attributes:
        format: of the file.
        data: the prepared cohort's key.
        volumes: how many of them.
        figures: by name, as in `SIGNS`.
        farthest: the largest distance of one of them from the others.
        limit: the distance above which an image is out of distribution.
    """

    format: int
    data: str
    volumes: int
    figures: dict[str, Spread]
    farthest: float = Field(ge=0, le=LARGEST_DISTANCE)
    limit: float = Field(ge=0, le=LARGEST_DISTANCE)

    @classmethod
    def of(cls, prepared: Prepared) -> Self:
        """From the training volumes of a prepared cohort, each left out once."""
        table, spacing = prepared.slices, prepared.preprocessing.spacing
        train = table[(table["split"] == "train") & (table["label"] != "edge")].groupby(
            ["source", "subject", "session"]
        )
        numbers = [rows["row"].to_numpy() for _, rows in train]
        values = _table(figures(prepared.images[rows], spacing) for rows in numbers)
        middle = _table(figures(prepared.images[rows[[len(rows) // 2]]], spacing) for rows in numbers)
        if len(values) < 3:
            raise InputError(f"{len(values)} training volumes have a brain large enough; expected 3 or more")
        farthest = max(
            _distance(one, _spread(np.delete(values, nth, axis=0))) for nth, one in enumerate(values)
        )
        return cls(
            format=FORMAT,
            data=prepared.manifest["key"],
            volumes=len(values),
            figures=_spread(values, middle.std(axis=0) if len(middle) else None),
            farthest=round(farthest, 3),
            limit=round(MARGIN * farthest, 3),
        )

    def write(self, folder: Path) -> None:
        """Put it beside the weights in a folder."""
        write_json(folder / FILE, self.model_dump(mode="json"))

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The reference beside the weights in `folder`; None where there is none, as beside older weights.

        Raises:
            InputError: the file cannot be read or is no such reference.
        """
        path = folder / FILE
        if not path.exists():
            return None
        values = read_json(path, remedy="remove it, or write it again")
        reference = validated(cls, values, str(path))
        if reference.format != FORMAT or list(reference.figures) != list(SIGNS):
            raise InputError(f"{path}: of another version; remove it, or write it again")
        if not 0 < (level := reference.figures["level"].median) <= 1:  # images are in [0, 1]
            raise InputError(
                f"{path}: figures.level.median is {level:g}, expected more than 0, at most 1; remove it, or "
                "write it again"
            )
        return reference


@dataclass(frozen=True)
class Comparison:
    """How far an image is from the training data.

    Attributes:
        distance: sum over the figures of the deviations by which it lies above their median; or, where that
            is larger, the limit times the brightness of a single slice's surface over `SURFACE`, or times
            `CORTEX` over that of a volume's cortex.
        limit: the distance above which it is out of distribution.
        signs: what speaks for another contrast, the clearest first; empty within the limit.
    """

    distance: float
    limit: float
    signs: tuple[str, ...]


def compare(
    x: Array, spacing: float, reference: Reference, brain: NDArray[np.bool_] | None = None
) -> Comparison | None:
    """Compare the slices of a volume, `(N, H, W)` in [0, 1] and 0 around the brain, with the training data.

    Args:
        x: slices as trained on.
        spacing: pixel size in mm.
        reference: of the training data.
        brain: of the slices, without the half-empty pixels that resampling leaves around it: the figures
            are of it, the brightness of its surface is with them. None: where `x` is above 0.

    Returns:
        None where the brain is too small to be measured.
    """
    used = _used(len(x))
    x = np.asarray(x[used], dtype=np.float32)
    inner = x if brain is None else x * brain[used]
    depth = _depth(inner, spacing)
    values = np.array(list(_figures(inner, depth).values()))
    if not np.isfinite(values).all():
        return None
    above = _above(values, reference.figures, len(x))
    if not np.array_equal(inner > 0, x > 0):
        depth = _depth(x, spacing)
    sign, excess = (
        ("rim", _surface(x, depth) / SURFACE) if len(x) == 1 else ("white", CORTEX / _cortex(x, depth))
    )
    distance = max(float(above.sum()), reference.limit * excess)
    by_size = sorted(zip(SIGNS, above, strict=True), key=lambda pair: -pair[1])
    far = [name for name, value in by_size if value > 1 or (name == sign and excess > 1)]
    signs = tuple(SIGNS[name] for name in far) if distance > reference.limit else ()
    return Comparison(round(distance, 3), reference.limit, signs)


def figures(x: Array, spacing: float) -> dict[str, float]:
    """The figures `SIGNS` of slices `(N, H, W)` in [0, 1], 0 around the brain; NaN where it is too small.

    Args:
        x: training slices of one volume, of which 24 evenly spread ones are used.
        spacing: pixel size in mm.
    """
    x = np.asarray(x[_used(len(x))], dtype=np.float32)
    return _figures(x, _depth(x, spacing))


def _figures(x: Array, depth: Array) -> dict[str, float]:
    brain, inside = x > 0, depth > COARSE
    rim, cortex, white = (x[(depth > low) & (depth <= high)] for low, high in (RIM_MM, CORTEX_MM, WHITE_MM))
    if min(rim.size, cortex.size, white.size) == 0:
        return dict.fromkeys(SIGNS, float("nan"))
    level = float(np.median(x[brain]))
    smooth = _blurred(x, brain, COARSE)[inside]
    fine, coarse = (x - _blurred(x, brain, FINE))[inside], x[inside] - smooth
    with np.errstate(divide="ignore", invalid="ignore"):  # an image without any contrast
        values = (
            level,
            np.median(rim) / level,
            np.log(np.median(white) / np.median(cortex)),
            -np.log(coarse.std() / level),
            np.log(coarse.std() / smooth.std()),
            ((fine - fine.mean()) ** 3).mean() / fine.std() ** 3,
        )
    return dict(zip(SIGNS, map(float, values), strict=True))


def _used(slices: int) -> NDArray[np.intp]:
    """Of so many slices, at most 24, evenly spread."""
    return np.unique(np.linspace(0, slices - 1, SLICES).round().astype(np.intp))


def _depth(x: Array, spacing: float) -> Array:
    """Distance in mm to the nearest pixel that is not above 0, within the slice."""
    return np.stack([ndimage.distance_transform_edt(np.pad(one, 1))[1:-1, 1:-1] * spacing for one in x > 0])


def _surface(x: Array, depth: Array) -> float:
    """Median of the pixels at the brain's surface, over that of all of it."""
    low, high = RIM_MM
    return float(np.median(x[(depth > low) & (depth <= high)]) / np.median(x[x > 0]))


def _cortex(x: Array, depth: Array) -> float:
    """Upper quartile below the brain's surface, over the median of the tissue deep inside."""
    ribbon, deep = (x[(depth > low) & (depth <= high)] for low, high in (RIBBON_MM, WHITE_MM))
    white = deep[deep > WHITE_LEVEL * np.median(x[x > 0])]
    return float(np.percentile(ribbon, 75) / np.median(white)) if ribbon.size and white.size else float("inf")


def _blurred(x: Array, brain: NDArray[np.bool_], deviation: float) -> Array:
    """Slices blurred by a Gaussian of so many pixels, from the brain alone."""
    sigma = (0, deviation, deviation)
    fraction = ndimage.gaussian_filter(brain.astype(np.float32), sigma)
    blurred = ndimage.gaussian_filter(x, sigma) / np.maximum(fraction, np.float32(1e-3))
    return np.asarray(blurred, dtype=np.float32)


def _table(measured: Iterable[Mapping[str, float]]) -> NDArray[np.float64]:
    """(N, 6): the figures of those whose brain is large enough."""
    rows = [list(each.values()) for each in measured]
    return np.array([row for row in rows if np.isfinite(row).all()])


def _spread(values: NDArray[np.float64], of_slices: NDArray[np.float64] | None = None) -> dict[str, Spread]:
    """Of the figures `(volumes, 6)`, and the deviations `(6,)` of those of single slices."""
    alone = np.zeros(len(SIGNS)) if of_slices is None else of_slices
    columns = zip(np.median(values, axis=0), values.std(axis=0), alone, strict=True)
    return {
        name: Spread(
            **{key: round(float(value), 4) for key, value in zip(Spread.model_fields, each, strict=True)}
        )
        for name, each in zip(SIGNS, columns, strict=True)
    }


def _above(
    values: NDArray[np.float64], spread: Mapping[str, Spread], slices: int = SLICES
) -> NDArray[np.float64]:
    median = np.array([spread[name].median for name in SIGNS])
    deviation = np.array([spread[name].of(slices) for name in SIGNS])
    above: NDArray[np.float64] = np.maximum((values - median) / deviation, 0)
    return above


def _distance(values: NDArray[np.float64], spread: Mapping[str, Spread]) -> float:
    return float(_above(values, spread).sum())


def write_reference(folder: Path, prepared: Prepared) -> Reference:
    """Put the reference of a prepared cohort beside the weights trained on it."""
    reference = Reference.of(prepared)
    reference.write(folder)
    return reference


if __name__ == "__main__":
    from pseudohealthy.data.prepared import Prepared

    cohort, weights = map(Path, sys.argv[1:])
    try:
        print(write_reference(weights, Prepared.open(cohort)).model_dump_json(indent=1))
    except InputError as error:
        sys.exit(f"pseudohealthy: {error}")
