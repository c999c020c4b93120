"""Lesion masks for healthy brains: a shape drawn at random, or that of another patient's mask, and a place.

A place is plausible where the lesion lies in tissue, away from the brain's surface and outside the fluid, and
in slices as large as those that the networks learn from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray
from scipy import ndimage

from pseudohealthy.data.slice_selection import training_slices
from pseudohealthy.data.volume import Volume
from pseudohealthy.errors import InputError

# Of the lesions of LGG's 110 patients (with estimated voxel sizes) 1 % are smaller and 40 % are larger
VOLUMES_ML = (10.0, 100.0)  # of a drawn shape, log-uniform
LARGEST_SHARE = 0.1  # of the tissue: a small brain, or a single slice, gets smaller lesions
SURFACE_MM = 3.0  # between a lesion and the brain's surface
FLUID_LEVEL = 0.6  # of the median; blurred by 2 mm, ventricles are darker, and by 0.7 mm thin clefts are too
FLUID_BLUR_MM, CLEFT_BLUR_MM = 2.0, 0.7
CLEFT_MM = 2.0  # of a cleft, at most, belongs to the lesion on one of its sides
STRETCH = (0.75, 1.3)  # of a drawn shape along three axes of any direction
ROUGHNESS = ((0.5, 0.25), (0.2, 0.1))  # waves of its surface: their scale and size, of its radius
REACH = 2.2  # radii from its centre, within which it lies
LEAST_VOLUME = 0.9  # of the requested volume, in one piece
ATTEMPTS = 300  # places tried
FITS = 0.9  # share of a library's mask in the tissue: a place is taken at once
LEAST_INSIDE = 0.7  # the least share, at the best of the places tried

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Tissue:
    """Where lesions may lie in a brain.

    Attributes:
        inside: (I, J, K): brain, at least 3 mm below its surface, outside the fluid, in slices that have half
            of the largest brain area.
        solid: (I, J, K): of it, what does not lie in a cleft, across which no lesion grows.
        affine: (4, 4), of the volume.
        spacing: voxel size in mm along I, J, K.
        midline: x in mm (RAS+) of the middle between the brain's left and right end.
        name: of the image, for messages.
    """

    inside: Mask
    solid: Mask
    affine: NDArray[np.float64]
    spacing: tuple[float, ...]
    midline: float
    name: str

    @classmethod
    def of(cls, alone: Volume) -> Self:
        """The tissue of a brain on a background of 0.

        Raises:
            InputError: there is none.
        """
        brain, inside, solid = alone.brain, np.zeros_like(alone.brain), np.zeros_like(alone.brain)
        if boxes := ndimage.find_objects(brain.astype(np.uint8)):
            box = boxes[0]
            near, level = brain[box], FLUID_LEVEL * np.median(alone.data[brain])
            deep = _depth(near, alone.spacing) > SURFACE_MM
            deep &= _large_slices(near, alone.affine)
            fluid, cleft = (
                _blurred(alone.data[box], near, mm, alone.spacing) <= level
                for mm in (FLUID_BLUR_MM, CLEFT_BLUR_MM)
            )
            inside[box] = deep & ~fluid
            solid[box] = deep & ~fluid & ~cleft
        if not solid.any():
            raise InputError(f"{alone.name}: the brain is too small to hold a lesion; expected a whole slice")
        ends = _x_of(np.argwhere(brain), alone.affine)
        midline = (float(ends.min()) + float(ends.max())) / 2
        return cls(inside, solid, alone.affine, alone.spacing, midline, alone.name)

    @property
    def voxel_ml(self) -> float:
        """Of one voxel."""
        return float(np.prod(self.spacing)) / 1000

    @property
    def ml(self) -> float:
        """Of all of it."""
        return float(np.count_nonzero(self.inside)) * self.voxel_ml

    def voxels(self) -> NDArray[np.intp]:
        """(N, 3), the indices of the solid ones, among which a lesion's centre is drawn."""
        return np.argwhere(self.solid)

    def is_left(self, voxels: NDArray[np.intp]) -> Mask:
        """Of voxels (..., 3), whether they lie on the left of the midline."""
        return np.asarray(_x_of(voxels, self.affine) < self.midline)


def drawn_mask(tissue: Tissue, rng: np.random.Generator, volume_ml: float | None = None) -> Mask:
    """A smooth random shape, (I, J, K), in one piece, all of it in the tissue of one hemisphere.

    Where it meets the brain's surface, the ventricles, a cleft or the midline it grows on along them, as far
    as its volume asks.

    Args:
        tissue: where it may lie.
        rng: of the shape and the place.
        volume_ml: None: drawn between 10 and 100 ml, and at most a tenth of the tissue.

    Raises:
        InputError: the tissue cannot hold so large a lesion.
    """
    if volume_ml is None:
        most = min(VOLUMES_ML[1], LARGEST_SHARE * tissue.ml)
        volume_ml = float(np.exp(rng.uniform(np.log(min(VOLUMES_ML[0], most / 2)), np.log(most))))
    voxels, places = max(round(volume_ml / tissue.voxel_ml), 1), tissue.voxels()
    for _ in range(ATTEMPTS if voxels <= len(places) else 0):
        shape = _grown(tissue, places[rng.integers(len(places))], voxels, rng)
        if shape is not None:
            return shape
    raise InputError(
        f"{tissue.name}: no place for a lesion of {volume_ml:g} ml; its tissue is {tissue.ml:.0f} ml, so "
        "choose a smaller --volume"
    )


def _grown(tissue: Tissue, centre: NDArray[np.intp], voxels: int, rng: np.random.Generator) -> Mask | None:
    """About so many voxels of tissue around a centre; None where they do not hang together there."""
    if tissue.inside.shape[2] == 1:
        radius = math.sqrt(voxels * math.prod(tissue.spacing[:2]) / math.pi)
    else:
        radius = (voxels * math.prod(tissue.spacing) * 3 / (4 * math.pi)) ** (1 / 3)
    reach = [math.ceil(REACH * radius / mm) for mm in tissue.spacing]
    box = tuple(
        slice(max(c - r, 0), min(c + r + 1, n))
        for c, r, n in zip(centre, reach, tissue.inside.shape, strict=True)
    )
    at = tuple(int(c - side.start) for c, side in zip(centre, box, strict=True))
    same_side = tissue.is_left(np.moveaxis(np.mgrid[box], 0, -1)) == tissue.is_left(centre)
    inside, solid = tissue.inside[box] & same_side, tissue.solid[box] & same_side
    field = _distance(inside.shape, at, tissue, rng) / radius
    for scale, size in ROUGHNESS:
        field += size * _waves(inside.shape, [scale * radius / mm for mm in tissue.spacing], rng)
    values = np.sort(field[inside])
    count = voxels
    while count <= len(values):
        region = field <= values[count - 1]
        piece = _with_clefts(_piece_at(at, solid & region), inside & region, tissue.spacing)
        if np.count_nonzero(piece) >= LEAST_VOLUME * voxels:
            shape = np.zeros_like(tissue.inside)
            shape[box] = piece
            return shape
        count = math.ceil(1.1 * count)
    return None


def _piece_at(place: tuple[int, ...], mask: Mask) -> Mask:
    """The connected part of a mask that holds a voxel; empty where the mask does not hold it."""
    pieces, _ = ndimage.label(mask)
    piece: Mask = (pieces == pieces[place]) & mask[place]
    return piece


def _with_clefts(piece: Mask, within: Mask, spacing: tuple[float, ...]) -> Mask:
    """A part, and what of `within` is up to 2 mm from it."""
    if not piece.any():
        return piece
    near: Mask = ndimage.distance_transform_edt(~piece, sampling=spacing) <= CLEFT_MM
    return near & within


def _distance(
    shape: tuple[int, ...], centre: tuple[int, ...], tissue: Tissue, rng: np.random.Generator
) -> NDArray[np.float64]:
    """From the centre, in mm of a space that is stretched along three random axes."""
    turned = np.linalg.qr(rng.standard_normal((3, 3)))[0] / rng.uniform(*STRETCH, (3, 1))
    axes = [(np.arange(n) - c) * mm for n, c, mm in zip(shape, centre, tissue.spacing, strict=True)]
    offset = np.stack(np.meshgrid(*axes, indexing="ij"))
    away: NDArray[np.float64] = np.linalg.norm(np.tensordot(turned, offset, axes=1), axis=0)
    return away


def _waves(shape: tuple[int, ...], scales: list[float], rng: np.random.Generator) -> NDArray[np.float64]:
    """A smooth random field of standard deviation 1."""
    field = ndimage.gaussian_filter(rng.standard_normal(shape), scales, mode="wrap")
    return np.asarray(field / max(float(field.std()), 1e-12))


def placed_mask(
    tissue: Tissue, given: Mask, affine: NDArray[np.float64], rng: np.random.Generator
) -> Mask | None:
    """The shape of another image's mask, (I, J, K), at a random place.

    What is not in the tissue, or lies beyond the midline, is cut off.

    It keeps its size in mm and its orientation, or is mirrored from left to right.

    Args:
        tissue: where it may lie.
        given: the mask on the grid of its own image.
        affine: of that image.
        rng: of the place, and whether it is mirrored.

    Returns:
        None where no place was found that holds most of it.
    """
    points = _shape_on(tissue, given, affine, mirrored=bool(rng.integers(2)))
    places, best, best_share = tissue.voxels(), None, 0.0
    fits = 0 < LEAST_INSIDE * len(points) <= np.count_nonzero(tissue.inside)
    for _ in range(ATTEMPTS if fits else 0):
        centre = places[rng.integers(len(places))]
        moved = points + centre
        there = ((moved >= 0) & (moved < tissue.inside.shape)).all(axis=1)
        moved = moved[there & (tissue.is_left(moved) == tissue.is_left(centre))]
        moved = moved[tissue.inside[tuple(moved.T)]]
        if len(moved) > best_share * len(points):
            best, best_share = moved, len(moved) / len(points)
        if best_share >= FITS:
            break
    if best is None or best_share < LEAST_INSIDE:
        return None
    mask = np.zeros_like(tissue.inside)
    mask[tuple(best.T)] = True
    return mask


def _shape_on(
    tissue: Tissue, given: Mask, affine: NDArray[np.float64], *, mirrored: bool
) -> NDArray[np.intp]:
    """(N, 3): the marked voxels of a mask as steps from its middle, on the tissue's grid."""
    given = np.pad(given, 1)  # so that what touches the border, and a single slice, have an edge
    marked = np.argwhere(given)
    if not len(marked):
        return marked
    # from the tissue's voxels to mm, perhaps mirrored, and from there to the mask's own voxels
    mirror = np.diag([-1.0 if mirrored else 1.0, 1.0, 1.0])
    to_given = np.linalg.inv(affine[:3, :3]) @ mirror @ tissue.affine[:3, :3]
    half = (np.ptp(marked, axis=0) + 2) / 2
    corners = np.array(list(np.ndindex(2, 2, 2))) * 2 - 1
    reach = np.ceil(np.abs((corners * half) @ np.linalg.inv(to_given).T).max(axis=0)).astype(int)
    if tissue.inside.shape[2] == 1:
        reach[2] = 0
    middle = marked.mean(axis=0)
    sampled = ndimage.affine_transform(
        given.astype(np.float32),
        to_given,
        offset=middle - to_given @ reach,
        output_shape=tuple(2 * reach + 1),
        order=1,
    )
    points: NDArray[np.intp] = np.argwhere(sampled >= 0.5) - reach
    return points


def _depth(brain: Mask, spacing: tuple[float, ...]) -> NDArray[np.float64]:
    """Of a brain (I, J, K), or one slice of it, that reaches the array's ends: mm to what is outside."""
    beyond = [int(n > 1) for n in brain.shape]
    padded = np.pad(brain, [(n, n) for n in beyond])
    depth: NDArray[np.float64] = ndimage.distance_transform_edt(padded, sampling=spacing)
    return depth[tuple(slice(n, n + size) for n, size in zip(beyond, brain.shape, strict=True))]


def _large_slices(brain: Mask, affine: NDArray[np.float64]) -> Mask:
    """Of a brain (I, J, K), as an array that fits it: the axial slices with half of the largest area."""
    axial = int(np.argmax(io_orientation(affine)[:, 0]))
    large = training_slices(np.moveaxis(brain, axial, 0), "half_area")
    shape = [1, 1, 1]
    shape[axial] = len(large)
    return large.reshape(shape)


def _blurred(
    data: NDArray[np.float32], brain: Mask, mm: float, spacing: tuple[float, ...]
) -> NDArray[np.float32]:
    """The brain, blurred without the background around it; 0 outside."""
    widths = [mm / each for each in spacing]
    total = ndimage.gaussian_filter(brain.astype(np.float32), widths)
    blurred = ndimage.gaussian_filter(np.where(brain, data, 0), widths)
    return np.divide(blurred, total, out=np.zeros_like(blurred), where=brain)


def _x_of(voxels: NDArray[np.intp], affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of voxels (..., 3): x in mm (RAS+)."""
    x: NDArray[np.float64] = voxels @ affine[0, :3] + affine[0, 3]
    return x
