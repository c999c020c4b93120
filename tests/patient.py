"""A patient in a file, stored one way or another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, ornt_transform
from numpy.typing import NDArray

from cohorts import LPS, SHAPE, brain, lesion


def patient() -> NDArray[np.float32]:
    """(48, 64, 20), LPS: fractional intensities, some far above the ceiling, a few below 0 in the corner."""
    rng = np.random.default_rng(1)
    data = np.where(brain() > 0, brain() + rng.random(SHAPE), 0)
    data[lesion() > 0] *= 3
    data[22:26, 30:34, 0] = 120  # a slice with too little brain
    data[:3, :3] = -rng.random((3, 3, SHAPE[2]))
    return data.astype(np.float32)


def reoriented(data: NDArray[Any], affine: NDArray[np.float64], codes: str) -> Any:
    """An LPS image in another storage order, as nibabel does it."""
    turn = ornt_transform(axcodes2ornt("LPS"), axcodes2ornt(tuple(codes)))
    turned = nib.orientations.apply_orientation(data, turn)
    return nib.Nifti1Image(turned, affine @ inv_ornt_aff(turn, data.shape))


def flair(path: Path, codes: str = "LPS", affine: NDArray[np.float64] = LPS) -> Path:
    nib.save(reoriented(patient(), affine, codes), path)
    return path
