"""A healthy brain for each subject: the MNI152 template with shape, folds and contrast drawn at random."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pseudohealthy.errors import InputError, install_command
from pseudohealthy.phantom.fields import Array, Frame, smooth_field

CSF_SIGNAL = 0.26  # of white matter's: FLAIR suppresses fluid
_MARGIN = 8  # voxels around the template, which is cut below
_SHARPEN = 3.0  # the template averages 152 heads; its tissue odds to this power have edges like one head's


@dataclass(frozen=True, eq=False)
class Template:
    """The template's maps on its own 1 mm grid.

    Attributes:
        csf: log-odds of fluid against grey matter.
        white: log-odds of white against grey matter.
        t1: T1-weighted intensity, 0 to 1.
        brain: 1 inside the brain, else 0.
        depth: distance to the brain's surface, mm.
        ventricle: the ventricles' smoothed share, 0 to 1.
        inwards: its slope (3, ...), 1 where steepest: the way into the ventricles.
        origin: MNI coordinates of the first voxel, mm.
    """

    csf: Array
    white: Array
    t1: Array
    brain: Array
    depth: Array
    ventricle: Array
    inwards: Array
    origin: Array


@dataclass(frozen=True, eq=False)
class Anatomy:
    """One subject's healthy brain; maps (I, J, K) on the frame's grid, 0 outside the brain.

    Attributes:
        brain: where there is brain.
        csf: share of fluid, 0 to 1.
        grey: share of grey matter, 0 to 1.
        white: share of white matter, 0 to 1.
        depth: distance to the brain's surface in the template, mm.
        ventricle: nearness to the ventricles, 0 to 1.
        position: (3, I, J, K), the voxel's place in the template, MNI mm.
        signal: FLAIR signal; white matter is about 1.
    """

    brain: NDArray[np.bool_]
    csf: Array
    grey: Array
    white: Array
    depth: Array
    ventricle: Array
    position: Array
    signal: Array


@lru_cache(maxsize=2)
def template(spacing: float) -> Template:
    """The MNI152 maps from nilearn's wheel, smoothed for sampling at `spacing` mm.

    Raises:
        InputError: nilearn is not installed.
    """
    try:
        from nilearn import datasets  # noqa: PLC0415
    except ImportError as error:
        raise InputError(
            "phantoms are made of the MNI152 anatomy in nilearn, which is not installed: "
            f"{install_command('phantom')}"
        ) from error
    image = datasets.load_mni152_template(resolution=1)
    maps = (
        image,
        datasets.load_mni152_gm_template(resolution=1),
        datasets.load_mni152_wm_template(resolution=1),
    )
    t1, grey, white = (np.asarray(loaded.dataobj, dtype=np.float32) for loaded in maps)
    box = ndimage.find_objects((t1 > 0).astype(np.uint8))[0]
    origin = image.affine[:3, 3] + [side.start - _MARGIN for side in box]
    t1, grey, white = (np.pad(m[box], _MARGIN) for m in (t1, grey, white))
    return _maps(t1, grey, white, origin.astype(np.float32), 0.35 * spacing if spacing > 1 else 0.0)


def _maps(t1: Array, grey: Array, white: Array, origin: Array, smooth: float) -> Template:
    head = t1 > 0
    share = ndimage.gaussian_filter(head.astype(np.float32), 2.5)
    around = ndimage.gaussian_filter(t1, 2.5) / np.maximum(share, 0.1)
    furrow = np.clip(
        around - t1, -0.1, 0.15
    )  # sulci that averaging has blurred are still darker than what is around
    fluid = np.maximum(1 - grey - white, np.clip((0.6 - t1) / 0.3, 0, 1))
    csf_odds = _SHARPEN * (np.log(fluid + 0.01) - np.log(grey + 0.01)) + 14 * furrow
    white_odds = _SHARPEN * (np.log(white + 0.01) - np.log(grey + 0.01))
    tissue = ndimage.binary_closing(
        head & (fluid < 0.8), iterations=5
    )  # sulci stay, fluid around the brain goes
    brain = ndimage.binary_fill_holes(tissue)
    depth = ndimage.distance_transform_edt(brain).astype(np.float32)
    ventricle = ndimage.gaussian_filter(_cavity(fluid, depth, origin).astype(np.float32), 5.0)
    slopes = np.stack([np.gradient(ventricle, axis=axis) for axis in range(3)])
    inwards = slopes / np.sqrt((slopes**2).sum(axis=0)).max()

    def smoothed(m: Array) -> Array:
        return ndimage.gaussian_filter(m, smooth) if smooth else m

    return Template(
        csf=smoothed(csf_odds),
        white=smoothed(white_odds),
        t1=smoothed(t1),
        brain=smoothed(brain.astype(np.float32)),
        depth=depth,
        ventricle=ventricle,
        inwards=inwards,
        origin=origin,
    )


def _cavity(fluid: Array, depth: Array, origin: Array) -> NDArray[np.bool_]:
    """The lateral and third ventricles: fluid deep in the brain, without the cisterns behind them."""
    x, y, z = np.meshgrid(
        *(np.arange(n, dtype=np.float32) + begin for n, begin in zip(fluid.shape, origin, strict=True)),
        indexing="ij",
        sparse=True,
    )
    near = (np.abs(x) < 45) & (y > -60) & (y < 45) & (z > -20) & (z < 40)
    cistern = (np.abs(x) < 11) & (y < -8) & (z < 14)
    cavity: NDArray[np.bool_] = (fluid > 0.6) & (depth > 20) & near & ~cistern
    return cavity


def healthy(rng: np.random.Generator, frame: Frame) -> Anatomy:
    """A healthy brain: shape, ventricles, folding, contrast and texture are drawn from `rng`."""
    atlas = template(frame.spacing)
    grid = _warped(rng, frame)
    brain = sampled(atlas, atlas.brain, grid) > 0.5
    place = grid[:, brain]
    # Ventricles widen, more on one side than on the other: what lies outside them is read further inside.
    widening = rng.uniform(0.0, 4.0) + 0.8 * smooth_field(rng, frame.axes, 45.0)[brain]
    place = place + widening * np.stack([sampled(atlas, slope, place) for slope in atlas.inwards])

    def at(m: Array) -> Array:
        return sampled(atlas, m, place)

    def spread(values: Array) -> Array:
        out = np.zeros(frame.shape, np.float32)
        out[brain] = values
        return out

    fields = {step: smooth_field(rng, frame.axes, step)[brain] for step in (35.0, 14.0, 7.0)}
    furrowed = 2.0 + rng.uniform(-0.8, 0.8) + 0.7 * fields[35.0] + 0.9 * fields[7.0]
    odds = np.stack([at(atlas.csf) + furrowed, np.zeros_like(furrowed), at(atlas.white) + 1.2 * fields[14.0]])
    odds = np.exp(odds - odds.max(axis=0))
    csf, grey, white = odds / odds.sum(axis=0)
    signal = _contrast(rng, frame, brain, (csf, grey, white), at(atlas.t1))
    return Anatomy(
        brain=brain,
        csf=spread(csf),
        grey=spread(grey),
        white=spread(white),
        depth=spread(at(atlas.depth)),
        ventricle=spread(at(atlas.ventricle)),
        position=np.stack([spread(axis) for axis in place]),
        signal=spread(signal),
    )


def _warped(rng: np.random.Generator, frame: Frame) -> Array:
    """Template coordinates (3, I, J, K) of each voxel: size, pose, and a deformation at three scales."""
    grid = np.stack(np.meshgrid(*frame.axes, indexing="ij"))
    angles = rng.normal(0, 0.03, 3)
    skew = np.array([[0, -angles[2], angles[1]], [angles[2], 0, -angles[0]], [-angles[1], angles[0], 0]])
    linear = np.diag(1 / rng.normal(1.0, 0.025, 3)) + skew
    position = np.tensordot(linear.astype(np.float32), grid, axes=1)
    for step, size in ((45.0, 3.5), (22.0, 1.8), (11.0, 0.9)):
        for axis in range(3):
            position[axis] += np.float32(size) * smooth_field(rng, frame.axes, step)
    return position


def _contrast(
    rng: np.random.Generator,
    frame: Frame,
    brain: NDArray[np.bool_],
    tissue: tuple[Array, Array, Array],
    t1: Array,
) -> Array:
    """FLAIR signal of brain voxels (N,): fluid dark, grey above white matter, each with its texture."""
    csf, grey, white = tissue
    slow, fine = (smooth_field(rng, frame.axes, step)[brain] for step in (25.0, 3.5))
    grey_signal = rng.uniform(1.2, 1.36) * (1 + 0.03 * slow)
    # Densely myelinated tracts are bright in T1 and dark in FLAIR.
    white_signal = 1 - rng.uniform(0.8, 1.4) * (np.clip(t1, 0.75, 0.95) - 0.87) + 0.02 * fine
    return csf * CSF_SIGNAL + grey * (grey_signal + 0.02 * fine) + white * white_signal


def sampled(atlas: Template, m: Array, position: Array) -> Array:
    """A template map at MNI coordinates (3, ...), linearly; 0 outside the template."""
    index = position - atlas.origin.reshape(3, *[1] * (position.ndim - 1))
    return ndimage.map_coordinates(m, index, order=1, mode="constant")
