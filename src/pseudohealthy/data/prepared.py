"""A prepared cohort on disk: memory-mapped slices, their table, and the manifest of how they came about.

A folder holds `images.npy` and `masks.npy`, (N, H, W), and `truth.npy` where every image has a truth;
`slices.tsv`, a row for each slice; `library.npy` and `library.tsv`, masks without image, where there are any;
and `manifest.json`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudohealthy.config import Preprocessing
from pseudohealthy.data.manifest import FILE, Manifest, read_manifest
from pseudohealthy.errors import InputError
from pseudohealthy.files import open_file
from pseudohealthy.settings_files import validated

ARRAYS = {"images": np.float32, "masks": np.uint8, "truth": np.float32, "library": np.uint8}

COLUMNS = {
    "row": int,  # of the slice in the arrays
    "subject": str,
    "session": str,  # n/a where there is only one
    "source": str,
    "group": str,
    "split": str,
    "z": int,  # canonical slice index, from inferior
    "height": float,  # 0 at the brain's lowest slice, 1 at its highest; a library's: of the volume's slices
    "label": str,  # unlabelled: of a patient without a mask; edge: too small to be measured, without lesion
    "lesion_voxels": int,  # inside the field
    "brain_voxels": int,  # inside the field; 0 in a library
    "has_mask": bool,  # whether a mask was given; a control without one has black masks all the same
}


@dataclass(frozen=True, eq=False)
class Prepared:
    """A prepared cohort, open for reading.

    Attributes:
        images: `(N, H, W)` float32 in [0, 1]; row 0 anterior, column 0 the patient's right; a memory map.
        masks: `(N, H, W)` uint8, 1 is lesion; black for healthy and for unlabelled slices.
        truth: `(N, H, W)` float32, the images without their lesions; None unless every image has one.
        mask_library: `(M, H, W)` uint8, lesion masks without image; None where there are none.
        slices: N rows, the columns `COLUMNS`.
        mask_library_slices: M rows of the same columns, or None.
        manifest: how all this came about.
    """

    images: NDArray[np.float32]
    masks: NDArray[np.uint8]
    truth: NDArray[np.float32] | None
    mask_library: NDArray[np.uint8] | None
    slices: pd.DataFrame
    mask_library_slices: pd.DataFrame | None
    manifest: Manifest

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open the prepared cohort in `folder`.

        Raises:
            InputError: not a prepared cohort, another version of it, or files that are missing or do not fit.
        """
        manifest = read_manifest(folder)
        shapes = manifest["arrays"]
        if not {"images", "masks"} <= shapes.keys() <= ARRAYS.keys():
            raise InputError(
                f"{folder}: {FILE} names the arrays {', '.join(shapes)}; prepare the cohort again"
            )
        arrays = {name: _array(folder, name, shape) for name, shape in shapes.items()}
        return cls(
            images=arrays["images"],
            masks=arrays["masks"],
            truth=arrays.get("truth"),
            mask_library=arrays.get("library"),
            slices=_table(folder / "slices.tsv", shapes["images"][0]),
            mask_library_slices=_table(folder / "library.tsv", shapes["library"][0])
            if "library" in shapes
            else None,
            manifest=manifest,
        )

    @property
    def preprocessing(self) -> Preprocessing:
        """How the volumes became slices."""
        return validated(Preprocessing, self.manifest["settings"], FILE)


def _array(folder: Path, name: str, shape: list[int]) -> NDArray[Any]:
    path = folder / f"{name}.npy"
    try:
        open_file(path).close()
        with np.errstate(all="raise"):  # a shape beyond all measure
            array = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:  # numpy reads the header as Python
        raise InputError(f"{path}: cannot be opened ({error}); prepare the cohort again") from error
    if list(array.shape) != shape or array.dtype != ARRAYS[name]:
        found, expected = f"{array.dtype} {list(array.shape)}", f"{np.dtype(ARRAYS[name])} {shape}"
        raise InputError(f"{path}: {found}, expected {expected}; prepare the cohort again")
    return array


def _table(path: Path, rows: int) -> pd.DataFrame:
    try:
        with open_file(path) as file:
            table = pd.read_csv(file, sep="\t", dtype=COLUMNS, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); prepare the cohort again") from error
    if list(table.columns) != list(COLUMNS) or len(table) != rows:
        raise InputError(f"{path}: expected {rows} rows of {', '.join(COLUMNS)}; prepare the cohort again")
    return table
