"""Tiny cohorts on disk, in exactly the folders and names in which the official ones come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from pseudohealthy.config import Preprocessing

SHAPE = (48, 64, 20)  # columns, rows, slices: LPS, as BraTS and ISLES
LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
FITTING = Preprocessing(
    slice_shape=(64, 48), clip_region="brain", crop_centre="brain", slice_selection="half_area"
)
HALF = range(4, 16)  # slices with half of the brain's largest area: 1 - (dz / 9)^2 >= 1/2
KEPT = range(1, 19)  # and those with a tenth of it, where they are known to be healthy
LESION_SLICES = range(8, 12)


def brain(seed: int = 0) -> NDArray[np.int16]:
    """(48, 64, 20): an ellipsoid with noise above 0, on a background of 0; no two seeds are equal."""
    at = np.indices(SHAPE) - np.array([23.5, 31.5, 9.5])[:, None, None, None]
    inside = ((at / np.array([18.0, 26.0, 9.0])[:, None, None, None]) ** 2).sum(axis=0) <= 1
    noise = np.random.default_rng(seed).integers(100, 200, SHAPE)
    return np.where(inside, noise, 0).astype(np.int16)


def lesion(label: int = 1) -> NDArray[np.int16]:
    """(48, 64, 20): a box of 6 x 8 voxels in four slices, in the patient's right anterior quarter."""
    mask = np.zeros(SHAPE, dtype=np.int16)
    mask[14:20, 16:24, LESION_SLICES.start : LESION_SLICES.stop] = label
    return mask


def write(path: Path, data: NDArray[Any], affine: NDArray[np.float64] = LPS) -> Path:
    """`data` as a NIfTI file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, affine), path)
    return path


def touch(root: Path, *names: str) -> Path:
    """Empty files under `root`, for readers of names."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def bids(
    root: Path, subjects: int, *, masks: bool = True, truths: bool = False, first: int = 1, seed: int = 0
) -> Path:
    """Patients sub-01, sub-02 ... with a bright lesion each, and what belongs to them in derivatives."""
    for number in range(first, first + subjects):
        name = f"sub-{number:02d}/anat/sub-{number:02d}"
        healthy = brain(seed + number)
        write(root / f"{name}_FLAIR.nii.gz", np.where(lesion() > 0, 300, healthy).astype(np.int16))
        if masks:
            write(root / f"derivatives/lesions/{name}_label-lesion_mask.nii.gz", lesion().astype(np.uint8))
        if truths:
            write(root / f"derivatives/healthy/{name}_desc-healthy_FLAIR.nii.gz", healthy)
    return root


def one_slice(root: Path, ill: int, well: int, *, seed: int = 0) -> Path:
    """Patients of one axial slice each, with a lesion in it or a black mask: sub-01 ... in this order.

    Of each kind every other one is for training, the rest for validation and the test in turn.
    """
    middle, splits = slice(9, 10), []
    for number in range(1, ill + well + 1):
        name = f"sub-{number:02d}/anat/sub-{number:02d}"
        mask = lesion()[..., middle] * int(number <= ill)
        image = np.where(mask > 0, 300, brain(seed + number)[..., middle]).astype(np.int16)
        write(root / f"{name}_FLAIR.nii.gz", image)
        write(root / f"derivatives/lesions/{name}_label-lesion_mask.nii.gz", mask.astype(np.uint8))
        place = number - 1 if number <= ill else number - ill - 1
        splits.append(f"sub-{number:02d}\t{('train', 'val', 'train', 'test')[place % 4]}")
    participants(root, "participant_id\tsplit", *splits)
    return root


def controls(root: Path, subjects: int, *, seed: int = 100) -> Path:
    """Healthy controls sub-H01, sub-H02 ... with the table that says so."""
    names = [f"sub-H{number:02d}" for number in range(1, subjects + 1)]
    for number, name in enumerate(names):
        write(root / f"{name}/anat/{name}_FLAIR.nii", brain(seed + number))
    participants(root, "participant_id\tgroup", *(f"{name}\tcontrol" for name in names))
    return root


def library(root: Path, subjects: int) -> Path:
    """Lesion masks sub-B01, sub-B02 ... without images."""
    for number in range(1, subjects + 1):
        name = f"sub-B{number:02d}/anat/sub-B{number:02d}"
        write(root / f"derivatives/masks/{name}_label-L_mask.nii.gz", lesion().astype(np.uint8))
    return root


def participants(root: Path, *lines: str) -> Path:
    """`participants.tsv` of these lines."""
    path = root / "participants.tsv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def brats(root: Path, cases: int) -> Path:
    """BraTS 2018: HGG and LGG in turn; labels 1, 2 and 4 side by side make one lesion."""
    labels = lesion()
    labels[16:18] *= 2
    labels[18:20] *= 4
    for number in range(1, cases + 1):
        case = f"Brats18_TCIA_{number}_1"
        path = root / ("HGG", "LGG")[number % 2] / case / case
        for modality in ("flair", "t1", "t1ce", "t2"):
            write(path.with_name(f"{case}_{modality}.nii.gz"), brain(number))
        write(path.with_name(f"{case}_seg.nii.gz"), labels)
    return root


def isles(root: Path, cases: int) -> Path:
    """ISLES 2015 SISS, of which one case spells its mask another way."""
    for number in range(1, cases + 1):
        flair, other = f"VSD.Brain.XX.O.MR_Flair.{70600 + number}", f"VSD.Brain.XX.O.MR_DWI.{70500 + number}"
        mask = f"VSD.Brain.XX.O.OT.{70700 + number}" if number != 2 else "VSD.Brain_3more.XX.XX.OT.6560"
        for name, data in {flair: brain(number), other: brain(), mask: lesion()}.items():
            write(root / str(number) / name / f"{name}.nii", data)
    return root
