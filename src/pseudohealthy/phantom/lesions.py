"""Lesions for phantoms: irregular, bright in FLAIR, with core, oedema and mass effect."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pseudohealthy.phantom.anatomy import Anatomy
from pseudohealthy.phantom.fields import Array, Axes, Frame, smooth_field

_HALF_HEIGHT = 22.0  # mm: beyond it a lesion tapers off, so that every patient keeps slices without one
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


@dataclass(frozen=True, eq=False)
class Site:
    """The part of the frame that one lesion may change.

    Attributes:
        box: its voxels.
        axes: their mm coordinates.
        offset: (3, ...), mm from the lesion's centre.
        radius: about that of the lesion's core, mm.
    """

    box: tuple[slice, slice, slice]
    axes: Axes
    offset: Array
    radius: float

    @classmethod
    def around(cls, frame: Frame, centre: Array, radius: float) -> Site:
        """All that lies within 2.4 radii and 6 mm of `centre` (mm), along each axis."""
        half = 2.4 * radius + 6
        bounds = [
            np.searchsorted(axis, [c - half, c + half]) for axis, c in zip(frame.axes, centre, strict=True)
        ]
        i, j, k = (slice(int(begin), int(end)) for begin, end in bounds)
        x, y, z = frame.axes
        axes = (x[i], y[j], z[k])
        offset = np.stack(np.meshgrid(*axes, indexing="ij")) - centre.reshape(3, 1, 1, 1)
        return cls((i, j, k), axes, offset, radius)

    @property
    def distance(self) -> Array:
        """From the lesion's centre, mm."""
        distance: Array = np.sqrt((self.offset**2).sum(axis=0))
        return distance


def diseased(rng: np.random.Generator, frame: Frame, brain: Anatomy) -> Diseased:
    """One large lesion, at times with mass effect, and up to three smaller ones, in a healthy brain."""
    radius = float(np.clip(rng.lognormal(np.log(15.5), 0.35), 9, 27))
    small = rng.uniform(3.5, 8.0, rng.choice(4, p=[0.45, 0.25, 0.18, 0.12]))
    site = Site.around(frame, _place(rng, brain, frame), radius)
    pushes = bool(rng.random() < 0.6) and radius > 12
    if pushes:
        brain = _pushed(brain, site, frame.spacing, rng.uniform(0.15, 0.3) * radius)
    signal, mask = _add_lesion(rng, brain, site, frame.spacing)
    count = 1
    for size in small:
        site = Site.around(frame, _place(rng, brain, frame), float(size))
        with_lesion, one = _add_lesion(rng, replace(brain, signal=signal), site, frame.spacing)
        if one.any() and not (one & mask).any() and _leaves_free_slices(one | mask, brain.brain):
            signal, mask, count = with_lesion, one | mask, count + 1
    return Diseased(signal, mask, count, pushes)


def _place(rng: np.random.Generator, brain: Anatomy, frame: Frame) -> Array:
    """A lesion's centre in mm: deep white matter, beside the ventricles, or in the cortex of the cerebrum."""
    x, y, z = brain.position
    cerebrum = brain.brain & (z > np.where(y < -35, 4, -22)) & (z < 62) & (np.abs(x) > 12)
    kind = rng.choice(3, p=[0.5, 0.2, 0.3])
    likely = (
        cerebrum & (brain.white > 0.6) & (brain.depth > 12),
        cerebrum & (brain.white > 0.5) & (brain.ventricle > 0.08),
        cerebrum & (brain.grey > 0.5) & (brain.depth > 4) & (brain.depth < 14),
    )[kind]
    voxels = np.argwhere(likely if likely.any() else cerebrum)
    chosen = voxels[int(rng.random() * len(voxels))]
    return np.array([axis[i] for axis, i in zip(frame.axes, chosen, strict=True)], dtype=np.float32)


def _add_lesion(
    rng: np.random.Generator, brain: Anatomy, site: Site, spacing: float
) -> tuple[Array, NDArray[np.bool_]]:
    """The signal with a lesion at the site, and the lesion's mask, both (I, J, K)."""
    core, whole = _shares(rng, brain, site)
    texture = 1 + 0.06 * smooth_field(rng, site.axes, 4.5) + 0.08 * smooth_field(rng, site.axes, 13.0)
    bright = rng.uniform(1.7, 2.25)
    healthy = brain.signal[site.box]
    below = 0.2 * (healthy - 1)  # some of the anatomy shows through
    part = healthy + whole * (np.maximum(bright * rng.uniform(0.75, 0.95) * texture + below, 1.45) - healthy)
    part = part + core * (np.maximum(bright * texture + below, 1.55) - part)
    signal, mask = brain.signal.copy(), np.zeros_like(brain.brain)
    signal[site.box] = part * _core_factor(rng, core, site.radius, spacing)
    mask[site.box] = whole > _VISIBLE
    return signal, mask


def _shares(rng: np.random.Generator, brain: Anatomy, site: Site) -> tuple[Array, Array]:
    """Share of core, and of core or oedema, in each voxel of the site: 0 to 1, soft borders, one piece."""
    axes, radius = site.axes, site.radius
    stretch = np.linalg.qr(rng.standard_normal((3, 3)))[0] / rng.uniform(0.8, 1.25, (3, 1))
    distance = np.sqrt((np.tensordot(stretch.astype(np.float32), site.offset, axes=1) ** 2).sum(axis=0))
    rough = 0.22 * smooth_field(rng, axes, max(0.9 * radius, 5.0)) + 0.1 * smooth_field(rng, axes, 5.0)
    shape = rough - _barrier(brain, site)
    spread = rng.choice([1.0, rng.uniform(1.25, 1.6)], p=[0.35, 0.65])
    # Oedema runs along white matter.
    fingers = 0.35 * (brain.white[site.box] - 0.65) + 0.12 * smooth_field(rng, axes, 8.0)
    wide = 1 - distance / (spread * radius) + shape + (fingers if spread > 1 else 0.0)
    tissue = brain.brain[site.box] * (1 - brain.csf[site.box])
    core = tissue * _step((1 - distance / radius + shape) * radius / 2)
    whole = np.maximum(core, tissue * _step(wide * radius / 2.6))
    pieces, count = ndimage.label(whole > 0)
    largest = np.bincount(pieces.ravel(), minlength=count + 1)[1:].argmax() + 1 if count else 0
    return core * (pieces == largest), whole * (pieces == largest)


def _barrier(brain: Anatomy, site: Site) -> Array:
    """What keeps a lesion to its height and its hemisphere; the corpus callosum lets a little pass."""
    taper = np.maximum(np.abs(site.offset[2]) - np.float32(_HALF_HEIGHT), 0) / 8
    side = np.sign(brain.position[0][site.box])
    own = side.flat[int(site.distance.argmin())]
    across = np.where(brain.white[site.box] > 0.7, 0.5, 1.5)
    barrier: Array = np.where(side == own, taper, taper + across).astype(np.float32)
    return barrier


def _core_factor(rng: np.random.Generator, core: Array, radius: float, spacing: float) -> Array | float:
    """Some large lesions have a dark centre (necrosis, cyst), some a brighter one."""
    kind = rng.choice(3, p=[0.5, 0.3, 0.2])
    factor = (1.0, rng.uniform(0.35, 0.65), rng.uniform(1.12, 1.25))[kind]
    if radius < 10:
        return 1.0
    inner = ndimage.gaussian_filter(core, 0.22 * radius / spacing)
    return 1 + (factor - 1) * core * _step((inner - 0.8) / 0.15)


def _pushed(brain: Anatomy, site: Site, spacing: float, push: float) -> Anatomy:
    """The brain with tissue moved away from the site's centre by up to `push` mm.

    Nothing moves at the skull or beyond 2.4 radii; up to 0.3 radii the map does not fold.
    """
    distance = np.maximum(site.distance, 1e-3)
    near = np.clip(1 - distance / (2.4 * site.radius), 0, 1)
    size = push * 6.75 * (1 - near) * near**2 * np.clip(brain.depth[site.box] / 12, 0, 1)
    source = np.indices(distance.shape) - size / distance * site.offset / spacing

    def moved(m: Array) -> Array:
        out, there = m.copy(), m[site.box]
        new = ndimage.map_coordinates(there, source, order=3, mode="nearest")
        out[site.box] = np.where(size > 0, np.clip(new, 0, there.max()), there)
        return out

    return replace(
        brain,
        csf=moved(brain.csf),
        grey=moved(brain.grey),
        white=moved(brain.white),
        signal=moved(brain.signal),
    )


def _leaves_free_slices(mask: NDArray[np.bool_], brain: NDArray[np.bool_]) -> bool:
    area = np.count_nonzero(brain, axis=(0, 1))
    lesion = np.count_nonzero(mask, axis=(0, 1))
    return bool((lesion[area >= area.max() / 2] == 0).mean() >= _FREE_SHARE)


def _step(x: Array) -> Array:
    """0 below -1, 1 above 1, smooth between."""
    t = np.clip((x + 1) / 2, 0, 1).astype(np.float32)
    return t * t * (3 - 2 * t)
