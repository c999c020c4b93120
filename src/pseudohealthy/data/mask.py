"""Masks that a user gives: which of their voxels are inside, and where these lie in an image."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pseudohealthy.data.alignment import expect_in_order_of, in_order_of
from pseudohealthy.data.volume import Volume, read_labels
from pseudohealthy.errors import InputError, printable

# Measured on lesion and brain masks of LGG, SOOP, ISLES and OpenMS, shifted, zoomed and turned with linear,
# cubic and quintic splines; on labels of tissues, regions and single lesions; and on FLAIR images.
WHOLE = 0.01  # from a whole number: labels that were stored with a scale are off by half a step of it
SCALES = {1: 0.0, 100: 98.0, 255: 250.0}  # what probabilities go up to, and the least maximum for that
SMALL = 20  # labels up to here may be as thin as they like, such as BraTS' 1, 2, 4
# Of voxels between 0 and the maximum, those with a lower and a higher neighbour. Labels: to 0.46;
# interpolated masks: 0.50 up, most 0.9; probabilities and images: 0.86 up.
SLOPE = 0.5
RINGING = 0.25  # of the scale. Splines go beyond 0 and 1 by 0.9, but in few voxels by more than this:
RINGING_SHARE = 0.3  # of those above one half. Splines: up to 0.08, and 0.25 in lesions of a few voxels
UNSURE = 0.3  # of the scale: networks that are nowhere quite sure stay below
UNDECIDED = 0.9  # of voxels above that, those that are not near it. FLAIR: 0.91 up; masks: to
IMAGE_SHARE = 0.08  # 0.7, but for smoothed and small lesions, up to 0.05 of all voxels. FLAIR: 0.12 up
MANY = 32  # distinct values: fewer are no image
LEAST_IN_BRAIN = 0.5  # share of a lesion's voxels
LEAST_IN_VIEW = 0.99  # likewise
EXPECTED = (
    "expected a mask: 0 and one value above it, labels in whole numbers from 0, or probabilities from 0 to 1 "
    "(or to 100, or 255), so make it 0 and 1, or give the right file"
)


@dataclass(frozen=True, eq=False)
class Mask:
    """A mask on an image's grid.

    Attributes:
        voxels: (I, J, K) of the image, in its stored order.
        marked: number of voxels inside as the mask itself is stored.
        place: (x, y, z) of the middle of these, in mm (RAS+), of a mask from another grid; else None.
        called: such as "the lesion mask lesion.nii.gz", for messages.
        warnings: what its header leaves in doubt, that it was cut at one half, or taken from another grid.
    """

    voxels: NDArray[np.bool_]
    marked: int
    place: tuple[float, ...] | None
    called: str
    warnings: tuple[str, ...] = ()


def read_mask(path: Path, like: Volume, *, what: str = "lesion", resample: bool = False) -> Mask:
    """The mask in a NIfTI file, on the grid of `like`; it may be empty.

    Args:
        path: NIfTI file; see `marked_voxels` for the values that it may hold.
        like: the image that the mask belongs to.
        what: "lesion" or "brain", for warnings.
        resample: take a mask on another grid too, by the nearest of its voxels in mm. Axes in another order
            are no other grid.

    Raises:
        InputError: as for `read_volume`; values that are no mask's; another grid without `resample`.
    """
    mask = read_labels(path)
    if not resample:
        expect_in_order_of(like, mask)
    return mask_on(mask, like, what)


def mask_on(mask: Volume, like: Volume, what: str) -> Mask:
    """A mask on the grid of `like`: of another grid, the nearest of its voxels in mm.

    Raises:
        InputError: values that are no mask's.
    """
    stored, cut = marked_voxels(mask, what)
    called = _called(mask, what)
    # What the image's header leaves in doubt, too, is reported for the image
    doubts = (f"{called}: {doubt}" for doubt in mask.warnings if doubt not in like.warnings)
    warnings = (*doubts, *cut)
    marked = int(np.count_nonzero(stored))
    voxels = in_order_of(like, stored, mask.affine)
    if voxels is not None:
        return Mask(voxels, marked, None, called, warnings)
    warnings += (f"{called} was on another grid: its nearest voxels were taken",)
    mm = np.argwhere(stored) @ mask.affine[:3, :3].T + mask.affine[:3, 3]
    voxels, seen = _nearest(stored, mask.affine, mm, like)
    if 0 < seen < LEAST_IN_VIEW:
        warnings += (f"{1 - seen:.0%} of {called} lies outside the image",)
    return Mask(voxels, marked, tuple(mm.mean(axis=0).tolist()) if marked else None, called, warnings)


def marked_voxels(mask: Volume, what: str) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """Which voxels of a mask are inside, by what its values show it to be.

    - 0 and one value above it: above 0.
    - Labels, whole numbers from 0: every label above 0. Up to 20 they are always labels; beyond, they are
      where most voxels lie inside a region of one value. In an interpolated mask, a map of probabilities or
      an image, most voxels (but the lowest and highest) have a lower and a higher neighbour.
    - Probabilities, or an interpolated mask, from 0 to 1, 0 to 100 or 0 to 255: above one half. A few voxels
      may lie beyond that range, as splines overshoot. A warning says where it was cut.

    Args:
        mask: in stored order.
        what: "lesion" or "brain", for the warning.

    Returns:
        (I, J, K), and the warnings.

    Raises:
        InputError: anything else, such as an image, a map of z-values, or labels without a background of 0.
    """
    values = np.unique(mask.data[mask.data != 0])
    if not values.size or (values.size == 1 and values[0] > 0):
        return mask.data > 0, ()
    whole = bool(values[-1] >= 0.5 and np.abs(values - np.rint(values)).max() <= WHOLE)
    if whole and _are_labels(mask):
        return np.rint(mask.data) > 0, ()
    scale, high = _scale(mask, values, whole=whole), float(values[-1])
    above = mask.data > scale / 2
    none = "" if above.any() else f", which leaves nothing (its highest value is {high:.3g})"
    said = f"holds values between 0 and {scale}: cut at {scale / 2:g}{none}"
    return above, (f"{_called(mask, what)} {said}",)


def _are_labels(mask: Volume) -> bool:
    """Whether whole numbers are labels.

    Raises:
        InputError: none of them is 0.
    """
    data = np.rint(mask.data)
    low, high = data.min(), data.max()
    if low > 0:
        raise _no_mask(mask, f"has no voxel of 0 (whole numbers from {low:g} to {high:g})")
    return bool(low == 0 and (high <= SMALL or _slope(data) < SLOPE))


def _scale(mask: Volume, values: NDArray[np.float32], *, whole: bool) -> int:
    """What the probabilities, or the interpolated mask, go up to: 1, 100 or 255.

    Args:
        mask: whose values are not all 0.
        values: all but 0, sorted.
        whole: they are whole numbers, which go up to 100 or 255.

    Raises:
        InputError: the values are other ones.
    """
    low, high = float(values[0]), float(values[-1])
    most = 1 + RINGING if whole else 2
    fitting = [s for s, least in SCALES.items() if least <= high <= most * s and not (whole and s == 1)]
    scale = fitting[0] if fitting else None
    if scale is None or _beyond(mask.data, scale):
        if values.size == 1:
            raise _no_mask(mask, f"holds no values but 0 and {low:.4g}")
        negative = ", some of them negative" if low < 0 else ""
        raise _no_mask(mask, f"holds {values.size} values from {low:.4g} to {high:.4g}{negative}")
    if values.size > MANY and _is_image(mask.data, scale):
        raise _no_mask(mask, f"holds {values.size} values, hardly any near 0 or {scale}, as an image does")
    return scale


def in_brain(mask: Mask, brain: NDArray[np.bool_]) -> tuple[str, ...]:
    """A warning where most of the voxels of a lesion's mask are not in `brain`, (I, J, K)."""
    voxels = int(np.count_nonzero(mask.voxels))
    share = np.count_nonzero(mask.voxels & brain) / max(voxels, 1)
    if not voxels or share >= LEAST_IN_BRAIN:
        return ()
    found = f"only {share:.0%} of its" if share else "none of its"
    return (f"{mask.called} has {found} {voxels} voxels in the brain; check that it belongs to this image",)


def name_of(mask: Volume) -> str:
    """The file's name, or what the mask is where it is none, for reports."""
    return printable(mask.path.name) if mask.path else "an array" if mask.header is None else "an image"


def _called(mask: Volume, what: str) -> str:
    """`the lesion mask lesion.nii.gz`, or `the lesion mask` of what is no file."""
    return f"the {what} mask {name_of(mask)}" if mask.path else f"the {what} mask"


def _no_mask(mask: Volume, found: str) -> InputError:
    return InputError(f"{mask.path or name_of(mask)}: {found}; {EXPECTED}")


def _slope(data: NDArray[np.float32]) -> float:
    """Of the voxels at 0.05 to 0.95 of the maximum, the share with a lower and a higher one around them."""
    box = ndimage.find_objects((data > 0).astype(np.uint8))[0]
    near = np.pad(data[box], 1)
    top = near.max()
    between = (near > 0.05 * top) & (near < 0.95 * top)  # beyond, a spline's ringing
    if not between.any():
        between = (near > 0) & (near < top)
    sloped = (ndimage.maximum_filter(near, 3) > near) & (ndimage.minimum_filter(near, 3) < near)
    return float(sloped[between].mean()) if between.any() else 0.0


def _beyond(data: NDArray[np.float32], scale: int) -> bool:
    """Whether more lies outside 0 to `scale` than interpolation leaves there."""
    beyond = np.count_nonzero((data < -RINGING * scale) | (data > (1 + RINGING) * scale))
    return bool(data.min() < -scale or beyond > RINGING_SHARE * np.count_nonzero(data > scale / 2))


def _is_image(data: NDArray[np.float32], scale: int) -> bool:
    """Whether much of the grid has values that hardly ever come near to 0 or the scale."""
    positive = np.count_nonzero(data > UNSURE * scale)
    decided = np.count_nonzero((data >= 0.9 * scale) & (data <= (1 + RINGING) * scale))
    return bool(positive > IMAGE_SHARE * data.size and decided < (1 - UNDECIDED) * positive)


def _nearest(
    stored: NDArray[np.bool_], affine: NDArray[np.float64], mm: NDArray[np.float64], like: Volume
) -> tuple[NDArray[np.bool_], float]:
    """The mask on the grid of `like`, and which share of its voxels (at `mm`) this grid holds.

    A mask so small that it falls between the voxels of `like` marks those that are nearest to it.
    """
    nearest: NDArray[np.uint8] = ndimage.affine_transform(
        stored.view(np.uint8),
        np.linalg.inv(affine) @ like.affine,
        output_shape=like.data.shape,
        order=0,
        mode="grid-constant",
    )
    inside_like = nearest > 0
    to_like = np.linalg.inv(like.affine)
    at = np.rint(mm @ to_like[:3, :3].T + to_like[:3, 3]).astype(int)
    at_seen = at[((at >= 0) & (at < like.data.shape)).all(axis=1)]
    if not inside_like.any():
        inside_like[tuple(at_seen.T)] = True
    return inside_like, len(at_seen) / max(len(at), 1)
