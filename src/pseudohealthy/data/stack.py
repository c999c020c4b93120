"""The slices that are kept of one volume of a cohort, in canonical order (section 5 of docs/method.md)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudohealthy.config import Preprocessing
from pseudohealthy.data.grid import Grid, kept_slices
from pseudohealthy.data.intensity import Intensity, saturated_share
from pseudohealthy.data.layouts import CohortVolume
from pseudohealthy.data.manifest import LABELS, Facts, Label
from pseudohealthy.data.volume import Volume, read_mask, read_volume
from pseudohealthy.errors import InputError


@dataclass(frozen=True, eq=False)
class Stack:
    """The kept slices of one volume; row 0 anterior, column 0 the patient's right.

    Attributes:
        arrays: (K, H, W) by name: `images` and `truth`, float32 in [0, 1] on the image's own scale; `masks`,
            True is lesion; a mask without image is the only one, `bank`.
        table: K rows of z, height, label, lesion_voxels, brain_voxels, has_mask.
        facts: what was measured of the whole volume.
    """

    arrays: dict[str, NDArray[Any]]
    table: pd.DataFrame
    facts: Facts

    @classmethod
    def of(cls, volume: CohortVolume, settings: Preprocessing) -> Self:
        """Read and preprocess one volume.

        Raises:
            InputError: a file that cannot be used, files on different grids, a control with a lesion, or a
                brain beside the field.
        """
        if volume.image is None:
            return cls._of_bank(volume, settings)
        image = read_volume(volume.image)
        lesion = _lesion(volume, image)
        grid = Grid.of(image, settings, image.brain)
        brain = grid.to_canonical(image.brain, order=0) > 0
        if not brain.any():
            raise InputError(
                f"{volume.image}: no brain within the field; expected centre=brain, or a larger field"
            )
        intensity = Intensity.of(image.data, settings, name=str(volume.image))
        keep = kept_slices(brain, settings.slices)
        masks = (grid.to_canonical(lesion, order=0) > 0)[keep]
        arrays = {"images": grid.to_canonical(intensity.normalised(image.data))[keep], "masks": masks}
        if volume.truth is not None:
            arrays["truth"] = grid.to_canonical(intensity.normalised(_truth(volume.truth, image)))[keep]
        known = volume.mask is not None or volume.group == "control"
        table = _table(keep, masks, brain, known=known, has_mask=volume.mask is not None)
        facts: Facts = {
            "ceiling": intensity.ceiling,
            "lesion_voxels": int(lesion.sum()),
            "saturated_lesion_share": saturated_share(image.data, lesion, intensity.ceiling)
            if lesion.any()
            else None,
            "brain_voxels_outside_field": grid.outside,
            "slices": _counts(table),
        }
        return cls(arrays, table, facts)

    @classmethod
    def _of_bank(cls, volume: CohortVolume, settings: Preprocessing) -> Self:
        """Every slice with lesion; a mask does not say where the brain is, so the field lies around its centre."""
        file = read_volume(cast(Path, volume.mask))
        grid = Grid.of(file, settings.model_copy(update={"centre": "image"}), file.brain)
        masks = grid.to_canonical(file.brain, order=0) > 0
        keep = masks.any(axis=(1, 2))
        table = _table(keep, masks[keep], np.zeros_like(masks), known=True, has_mask=True)
        facts: Facts = {
            "ceiling": None,
            "lesion_voxels": int(file.brain.sum()),
            "saturated_lesion_share": None,
            "brain_voxels_outside_field": 0,
            "slices": _counts(table),
        }
        return cls({"bank": masks[keep]}, table, facts)


def _lesion(volume: CohortVolume, image: Volume) -> NDArray[np.bool_]:
    """The lesion on the image's grid; black where no mask was given."""
    if volume.mask is None:
        return np.zeros(image.data.shape, dtype=np.bool_)
    lesion = read_mask(volume.mask, image)
    if volume.group == "control" and lesion.any():
        raise InputError(
            f"{volume.mask}: marks {int(lesion.sum())} lesion voxels in a control, expected none; "
            "make the subject a patient, or remove the mask"
        )
    return lesion


def _truth(path: Path, image: Volume) -> NDArray[np.float32]:
    """The intensities of the image's truth, which lies on the image's grid."""
    truth = read_volume(path)
    if truth.data.shape != image.data.shape or not np.allclose(truth.affine, image.affine, rtol=0, atol=1e-3):
        raise InputError(f"{path}: not on the grid of {image.path}; expected the same shape and affine")
    return truth.data


def _table(
    keep: NDArray[np.bool_],
    masks: NDArray[np.bool_],
    brain: NDArray[np.bool_],
    *,
    known: bool,
    has_mask: bool,
) -> pd.DataFrame:
    """A row for each kept slice; `known` says whether a black mask means a healthy slice."""
    area = brain.sum(axis=(1, 2))
    levels = np.flatnonzero(area) if area.any() else np.arange(len(area))
    z, lesion = np.flatnonzero(keep), masks.sum(axis=(1, 2))
    return pd.DataFrame(
        {
            "z": z,
            "height": np.clip((z - levels[0]) / max(levels[-1] - levels[0], 1), 0, 1),
            "label": np.where(lesion > 0, "pathological", "healthy" if known else "unlabelled"),
            "lesion_voxels": lesion,
            "brain_voxels": area[keep],
            "has_mask": has_mask,
        }
    )


def _counts(table: pd.DataFrame) -> dict[Label, int]:
    return {label: int((table["label"] == label).sum()) for label in LABELS}
