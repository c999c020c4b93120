"""Controls: what a score is worth is seen from what needs no learning; see section 6 of docs/method.md.

Each takes images `(N, H, W)` in [0, 1] and gives outputs like them. A control that works inside a mask
(pixels > 0) leaves every other pixel bit for bit as it was, and all of a slice whose mask is empty.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter
from scipy.sparse.linalg import LaplacianNd, spsolve

from pseudohealthy.errors import InputError
from pseudohealthy.evaluation.by_volume import rows_of

Images = NDArray[Any]
Mask = NDArray[np.bool_]

THRESHOLDS = np.linspace(0, 1, 257)  # of 1/256: finer than a stored image of 8 bits


def blur(
    images: Images, spacing: tuple[float, float], sigma: float = 4.0, brains: NDArray[Any] | None = None
) -> Images:
    """Each slice blurred, then kept inside the brain.

    The Gaussian is the plain one, not normalised by the brain: the black background takes part, and the
    brain's rim darkens.

    Args:
        images: (N, H, W) in [0, 1].
        spacing: of rows and of columns, in mm.
        sigma: in mm.
        brains: (N, H, W), > 0; None: pixels > 0 of `images`.
    """
    pixels = (0.0, sigma / spacing[0], sigma / spacing[1])
    blurred = gaussian_filter(images.astype(np.float64), pixels, mode="constant")
    return np.where((images if brains is None else brains) > 0, blurred, 0).astype(images.dtype)


def constant(images: Images, brains: NDArray[Any], volumes: ArrayLike) -> Images:
    """The median of the volume's brain (over the slices given) inside the brain, 0 outside.

    Args:
        images: (N, H, W) in [0, 1].
        brains: (N, H, W), > 0.
        volumes: labels, (N,).
    """
    outputs = np.zeros_like(images)
    for rows in rows_of(volumes).values():
        inside = brains[rows] > 0
        if inside.any():
            outputs[rows] = np.where(inside, np.median(images[rows][inside]), 0)
    return outputs


def mirror(images: Images, masks: NDArray[Any], brains: NDArray[Any], volumes: ArrayLike) -> Images:
    """Inside the mask, the same place of the other hemisphere.

    The mirror stands in the middle column of the box around the volume's brain (over the slices given). A
    pixel whose mirror image lies beside the brain takes the brain's nearest pixel; one outside the brain
    stays. A lesion that crosses the middle, or has a twin, is in part replaced by lesion.

    Args:
        images: (N, H, W) in [0, 1].
        masks: (N, H, W), > 0.
        brains: (N, H, W), > 0.
        volumes: labels, (N,).
    """
    outputs, inside = images.copy(), brains > 0
    lesions = (masks > 0) & inside
    for rows in rows_of(volumes).values():
        ends = brain_columns(inside[rows])
        for z in rows[lesions[rows].any(axis=(1, 2))]:
            at, columns = np.nonzero(lesions[z])
            nearest = distance_transform_edt(~inside[z], return_distances=False, return_indices=True)
            source = nearest[:, at, sum(ends) - columns]
            outputs[z, at, columns] = images[z, source[0], source[1]]
    return outputs


def fill(images: Images, masks: NDArray[Any]) -> Images:
    """Biharmonic inpainting inside the mask (Damelin and Hoang 2018), slice by slice.

    Everything outside the mask is known, the black background too: a lesion at the brain's border darkens
    towards it. No value leaves the range of what is known of the slice. A slice that is all mask stays as it
    is.

    Args:
        images: (N, H, W) in [0, 1].
        masks: (N, H, W), > 0.
    """
    outputs, lesions = images.copy(), masks > 0
    for z in np.flatnonzero(lesions.any(axis=(1, 2)) & ~lesions.all(axis=(1, 2))):
        outputs[z][lesions[z]] = _biharmonic(images[z], lesions[z])
    return outputs


def _biharmonic(image: Images, lesion: Mask) -> NDArray[np.float64]:
    """Values of the lesion's pixels where the Laplacian's Laplacian is 0; the slice reflects at its border.

    In float32 the equations of a large lesion, whose condition grows with its width to the power of four,
    would lose all their digits.
    """
    laplacian = LaplacianNd(image.shape, boundary_conditions="neumann", dtype=np.float64).tosparse().tocsr()
    lesion = lesion.ravel()
    equations, known = (laplacian @ laplacian)[lesion], image.ravel()[~lesion].astype(np.float64)
    # This order of columns keeps the factors of a symmetric matrix sparse.
    values = spsolve(equations[:, lesion], -(equations[:, ~lesion] @ known), permc_spec="MMD_AT_PLUS_A")
    clipped: NDArray[np.float64] = np.clip(np.asarray(values), known.min(), known.max())
    return clipped


def threshold_masks(images: Images, brains: NDArray[Any], threshold: float) -> Mask:
    """Pixels of the brain at least as bright as the threshold, (N, H, W)."""
    bright: Mask = (images >= threshold) & (brains > 0)
    return bright


def best_threshold(images: Images, masks: NDArray[Any], brains: NDArray[Any]) -> float:
    """The multiple of 1/256 whose `threshold_masks` has the greatest Dice, pooled over all slices.

    To be called on slices of validation. Of equal ones the lowest.

    Args:
        images: (N, H, W) in [0, 1].
        masks: true lesions, (N, H, W), > 0.
        brains: (N, H, W), > 0.

    Raises:
        InputError: no slice has a lesion.
    """
    lesions, inside = masks > 0, brains > 0
    if not lesions.any():
        raise InputError("best_threshold: all masks are empty; give slices with lesions")
    marked = _at_least(images[inside])
    hit = _at_least(images[inside & lesions])
    dice = 2 * hit / (marked + np.count_nonzero(lesions))
    return float(THRESHOLDS[dice.argmax()])


def blend(images: Images, outputs: Images, masks: NDArray[Any]) -> Images:
    """Only the lesion changes: `m x~ + (1 - m) x`.

    Args:
        images: x, (N, H, W) in [0, 1].
        outputs: x~, as `images`.
        masks: m, (N, H, W): floating point is a weight in [0, 1], anything else a mask, > 0.

    Raises:
        InputError: weights outside [0, 1].
    """
    m = (masks if np.issubdtype(masks.dtype, np.floating) else masks > 0).astype(images.dtype)
    low, high = m.min(initial=0), m.max(initial=0)
    if not (low >= 0 and high <= 1):
        raise InputError(f"blend: weights run from {low:.4g} to {high:.4g}, expected [0, 1]; scale them so")
    blended: Images = (m * outputs + (1 - m) * images).astype(images.dtype)
    return blended


def brain_columns(brains: NDArray[Any]) -> tuple[int, int]:
    """First and last column of the box around the brain of slices (N, H, W), which is not empty.

    The mirror of column c about the box's middle is first + last - c.
    """
    columns = np.flatnonzero((brains > 0).any(axis=(0, 1)))
    return int(columns[0]), int(columns[-1])


def _at_least(values: NDArray[Any]) -> NDArray[np.int64]:
    """How many values reach each of `THRESHOLDS`."""
    reached: NDArray[np.int64] = len(values) - np.searchsorted(np.sort(values), THRESHOLDS)
    return reached
