"""BIDS data sets for whole runs of the program: few slices each, and images that cannot be used."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from cohorts import brain, lesion, touch, write

SLICES = slice(8, 11)
SKIPPED = "sub-none"  # has another contrast only


def study(root: Path, subjects: int) -> Path:
    """A valid data set of patients sub-01, sub-02 ... with a bright lesion in each of three slices."""
    root.mkdir(parents=True)
    facts = {"Name": "Study", "BIDSVersion": "1.11.1", "DatasetType": "raw", "License": "CC0"}
    (root / "dataset_description.json").write_text(json.dumps(facts))
    for number in range(1, subjects + 1):
        image(root, f"sub-{number:02d}/anat/sub-{number:02d}_FLAIR.nii.gz", number)
    return root


def image(root: Path, name: str, seed: int) -> Path:
    """One image of a study."""
    data = np.where(lesion() > 0, 300, brain(seed)).astype(np.int16)
    return write(root / name, data[:, :, SLICES])


def break_images(root: Path) -> dict[str, str]:
    """Add `SKIPPED`, and subjects that cannot be healed; returns a part of what is to be said of these."""
    whole = brain()[:, :, SLICES]
    truncated = write(root / "sub-truncated/anat/sub-truncated_FLAIR.nii.gz", whole)
    truncated.write_bytes(truncated.read_bytes()[:-2000])
    nan = whole.astype(np.float32)
    nan[0, 0, 0] = np.nan
    write(root / "sub-nan/anat/sub-nan_FLAIR.nii.gz", nan)
    write(root / "sub-4d/anat/sub-4d_FLAIR.nii.gz", np.stack([whole] * 2, axis=3))
    write(root / "sub-black/anat/sub-black_FLAIR.nii.gz", 0 * whole)
    touch(root, f"{SKIPPED}/anat/{SKIPPED}_T1w.nii.gz")
    return {
        "sub-truncated": "truncated gzip",
        "sub-nan": "NaN or infinite",
        "sub-4d": "expected one 3-D volume",
        "sub-black": "every voxel is 0",
    }


def tree(root: Path, leaving_out: Path | None = None) -> dict[str, str]:
    """The digest and time of every file under a folder, and every folder."""
    paths = [
        path for path in sorted(root.rglob("*")) if not (leaving_out and path.is_relative_to(leaving_out))
    ]
    return {
        str(path.relative_to(root)): f"{_digest(path)} {path.stat().st_mtime_ns}"
        if path.is_file()
        else "folder"
        for path in paths
    }


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
