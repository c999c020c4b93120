"""Lesions for phantoms: irregular, bright in FLAIR, with core, oedema and mass effect."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pseudohealthy.data.phantom_anatomy import Anatomy
from pseudohealthy.data.phantom_fields import Array, Frame, smooth_field

Box = tuple[slice, slice, slice]

_HALF_HEIGHT = 24.0  # mm: beyond it a lesion tapers off, so that every patient keeps slices without one
_FREE_SHARE = 0.3  # of the slices with at least half of the largest brain area
_VISIBLE = 0.2  # share of lesion in a voxel from which it counts as lesion


@dataclass(frozen=True, eq=False)
class Diseased:
    """A brain with lesions.

    Attributes:
        signal: FLAIR signal (I, J, K); the healthy one wherever no lesion reaches.
        mask: whole lesions, core and oedema (I, J, K).
        lesions: how many.
        mass_effect: whether tissue was pushed away.
    """

    signal: Array
    mask: NDArray[np.bool_]
    lesions: int
    mass_effect: bool


def diseased(rng: np.random.Generator, frame: Frame, brain: Anatomy) -> Diseased:
    """One large lesion, at times with mass effect, and up to three smaller ones, in a healthy brain."""
    radius = float(np.clip(rng.lognormal(np.log(15), 0.35), 9, 27))
    first, *others = (radius, *(rng.uniform(3.5, 8.0, rng.choice(4, p=[0.45, 0.25, 0.18, 0.12]))))
    pushes = bool(rng.random() < 0.6) and radius > 12
    push = rng.uniform(2.5, 5.5)
    centre = _place(rng, brain, frame)
    if pushes:
        brain = _pushed(brain, frame, centre, radius, push)
    signal, mask = _painted(rng, frame, brain, centre, first)
    count = 1
    for small in others:
        painted, one = _painted(rng, frame, replace(brain, signal=signal), _place(rng, brain, frame), small)
        if one.any() and not (one & mask).any() and _leaves_free_slices(one | mask, brain.brain):
            signal, mask, count = painted, one | mask, count + 1
    return Diseased(signal, mask, count, pushes)


def _place(rng: np.random.Generator, brain: Anatomy, frame: Frame) -> Array:
    """A lesion's centre in mm: deep white matter, beside the ventricles, or in the cortex of the cerebrum."""
    x, y, z = brain.position
    cerebrum = brain.brain & (z > np.where(y < -35, 4.0, -22.0)) & (z < 62) & (np.abs(x) > 12)
    kind = rng.choice(3, p=[0.5, 0.2, 0.3])
    likely = (
        cerebrum & (brain.white > 0.6) & (brain.depth > 12),
        cerebrum & (brain.white > 0.5) & (brain.ventricle > 0.08),
        cerebrum & (brain.grey > 0.5) & (brain.depth > 4) & (brain.depth < 14),
    )[kind]
    voxels = np.argwhere(likely if likely.any() else cerebrum)
    chosen = voxels[int(rng.random() * len(voxels))]
    return np.array([axis[i] for axis, i in zip(frame.axes, chosen, strict=True)], dtype=np.float32)


def _painted(
    rng: np.random.Generator, frame: Frame, brain: Anatomy, centre: Array, radius: float
) -> tuple[Array, NDArray[np.bool_]]:
    """The signal with a lesion of about `radius` mm at `centre` (mm), and the lesion's mask."""
    box = _box(frame, centre, 2.2 * radius + 6)
    axes = tuple(axis[side] for axis, side in zip(frame.axes, box, strict=True))
    offset = np.stack(np.meshgrid(*axes, indexing="ij")) - centre.reshape(3, 1, 1, 1)
    core, oedema = _shares(rng, brain, box, axes, offset, radius)
    texture = 1 + 0.07 * smooth_field(rng, axes, 5.0)
    bright = rng.uniform(1.75, 2.3)
    anatomy = 0.2 * (brain.signal[box] - 1)
    part = brain.signal[box]
    part = part + oedema * (np.maximum(bright * rng.uniform(0.8, 0.95) * texture + anatomy, 1.5) - part)
    part = part + core * (np.maximum(bright * texture + anatomy, 1.6) - part)
    signal = brain.signal.copy()
    signal[box] = _hollowed(rng, part, core, radius)
    mask = np.zeros(frame.shape, bool)
    mask[box] = np.maximum(core, oedema) > _VISIBLE
    return signal, mask


def _shares(
    rng: np.random.Generator, brain: Anatomy, box: Box, axes: tuple[Array, ...], offset: Array, radius: float
) -> tuple[Array, Array]:
    """Share of core and of core or oedema in each voxel of the box, 0 to 1, with soft borders."""
    rotation = np.linalg.qr(rng.standard_normal((3, 3)))[0] / rng.uniform(0.8, 1.25, (3, 1))
    distance = np.sqrt((np.tensordot(rotation.astype(np.float32), offset, axes=1) ** 2).sum(axis=0))
    rough = 0.22 * smooth_field(rng, axes, max(0.9 * radius, 5.0)) + 0.1 * smooth_field(rng, axes, 5.0)
    taper = np.clip(np.abs(offset[2]) - _HALF_HEIGHT, 0, None) / 8
    other_side = np.sign(brain.position[0][box]) * np.sign(brain.position[0][box][_middle(offset)]) < 0
    barrier = taper + np.where(other_side, np.where(brain.white[box] > 0.7, 0.5, 1.5), 0.0)
    wet = brain.brain[box] * (1 - brain.csf[box])
    level = 1 - distance / radius + rough - barrier
    spread = rng.choice([1.0, rng.uniform(1.25, 1.6)], p=[0.35, 0.65])
    fingers = 0.35 * (brain.white[box] - 0.65) + 0.12 * smooth_field(rng, axes, 8.0)
    wide = 1 - distance / (spread * radius) + rough + (fingers if spread > 1 else 0.0) - barrier
    soft = 2.0 / radius
    core = wet * _step(level / soft)
    return core, np.maximum(core, wet * _step(wide / (1.3 * soft)))


def _hollowed(rng: np.random.Generator, part: Array, core: Array, radius: float) -> Array:
    """Some large lesions have a dark centre (necrosis, cyst), some a brighter one."""
    kind = rng.choice(3, p=[0.55, 0.25, 0.2])
    factor = (1.0, rng.uniform(0.35, 0.65), rng.uniform(1.12, 1.25))[kind]
    if radius < 10 or factor == 1.0:
        return part
    inner = ndimage.gaussian_filter(core, 0.22 * radius * part.shape[0] / (4.4 * radius + 12))
    return part * (1 + (factor - 1) * _step((inner - 0.8) / 0.15))


def _pushed(brain: Anatomy, frame: Frame, centre: Array, radius: float, push: float) -> Anatomy:
    """The brain with tissue moved away from `centre` by up to `push` mm; nothing moves at the skull or far away."""
    reach = max(2.4 * radius, 7.5 * push)
    box = _box(frame, centre, reach)
    axes = [axis[side] for axis, side in zip(frame.axes, box, strict=True)]
    offset = np.stack(np.meshgrid(*axes, indexing="ij")) - centre.reshape(3, 1, 1, 1)
    distance = np.maximum(np.sqrt((offset**2).sum(axis=0)), 1e-3)
    near = np.clip(1 - distance / reach, 0, 1)
    size = push * 6.75 * (1 - near) * near**2 * np.clip(brain.depth[box] / 12, 0, 1)
    source = np.indices(distance.shape) - size / distance * offset / frame.spacing

    def moved(m: Array) -> Array:
        out = m.copy()
        there = ndimage.map_coordinates(m[box], source, order=3, mode="nearest")
        out[box] = np.where(size > 0, np.clip(there, 0, m[box].max()), m[box])
        return out

    return replace(
        brain,
        csf=moved(brain.csf),
        grey=moved(brain.grey),
        white=moved(brain.white),
        signal=moved(brain.signal),
    )


def _leaves_free_slices(mask: NDArray[np.bool_], brain: NDArray[np.bool_]) -> bool:
    area = brain.sum(axis=(0, 1))
    middle = area >= area.max() / 2
    return bool((~mask.any(axis=(0, 1)))[middle].mean() >= _FREE_SHARE)


def _box(frame: Frame, centre: Array, half: float) -> Box:
    """The voxels within `half` mm of `centre` along each axis."""

    def sides() -> Iterator[slice]:
        for axis, middle in zip(frame.axes, centre, strict=True):
            begin, end = np.searchsorted(axis, [middle - half, middle + half])
            yield slice(int(begin), int(end))

    i, j, k = sides()
    return i, j, k


def _middle(offset: Array) -> tuple[int, ...]:
    """Index of the voxel at the lesion's centre."""
    return tuple(int(i) for i in np.unravel_index((offset**2).sum(axis=0).argmin(), offset.shape[1:]))


def _step(x: Array) -> Array:
    """0 below -1, 1 above 1, smooth between."""
    t = np.clip((x + 1) / 2, 0, 1)
    return t * t * (3 - 2 * t)
