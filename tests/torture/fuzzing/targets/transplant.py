"""What `transplant` takes beside an image: a mask, or a folder of other patients' masks."""

from __future__ import annotations

from pathlib import Path
from random import Random

import nibabel as nib
import numpy as np

from fixtures.brains import LPS, brain, fractional, lesion, write
from fixtures.cohorts import library
from fixtures.models import saved
from torture.fuzzing import mutations as m
from torture.fuzzing.targets.bids import names_changed
from torture.fuzzing.targets.target import Target, run_pseudohealthy

MASKS = ("masks/a.nii.gz", "masks/b.nii")


def _build(folder: Path) -> None:
    """A healthy brain, weights, a mask on its grid, and masks of others on theirs."""
    saved(folder / "weights")
    nib.save(nib.Nifti1Image(fractional(brain()).astype(np.float32), LPS), folder / "x.nii.gz")
    for name in ("mask.nii.gz", *MASKS):
        write(folder / name, lesion().astype(np.float32))


def _build_data_set(folder: Path) -> None:
    _build(folder)
    library(folder / "study", 2)


def _transplant(folder: Path, out: Path, *options: object) -> None:
    weights = ("--weights", folder / "weights", "--device", "cpu")
    run_pseudohealthy("transplant", folder / "x.nii.gz", "-o", out / "made", *weights, *options)


def _with_mask(folder: Path, out: Path) -> None:
    _transplant(folder, out, "--lesion", folder / "mask.nii.gz")


def _with_masks(folder: Path, out: Path) -> None:
    _transplant(folder, out, "--masks", folder / "masks")


def _with_data_set(folder: Path, out: Path) -> None:
    _transplant(folder, out, "--masks", folder / "study", "--count", "2")


def _data_set_changed(random: Random, folder: Path) -> None:
    names_changed(random, folder / "study")


TARGETS = (
    Target("transplant_lesion", "NIfTI", 0.5, _build, _with_mask, {"mask.nii.gz": m.PACKED}),
    Target("transplant_masks", "NIfTI", 0.5, _build, _with_masks, {MASKS[0]: m.PACKED, MASKS[1]: m.IMAGE}),
    Target("transplant_library", "BIDS", 0.3, _build_data_set, _with_data_set, disturb=_data_set_changed),
)
