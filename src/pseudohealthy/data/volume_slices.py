"""The selected slices of one volume of a cohort, in canonical order (section 5 of docs/method.md)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudohealthy.config import Preprocessing
from pseudohealthy.data.alignment import expect_in_order_of
from pseudohealthy.data.grid import Grid
from pseudohealthy.data.intensity import Intensity, saturated_share
from pseudohealthy.data.layouts import CohortVolume
from pseudohealthy.data.mask import in_brain, marked_voxels, read_mask
from pseudohealthy.data.prepared import LABELS, Facts
from pseudohealthy.data.skull_detection import SkullEvidence, brain_alone, stripped_brain, within
from pseudohealthy.data.slice_selection import Rule, Selection
from pseudohealthy.data.volume import Volume, expect_axial, read_labels, read_volume
from pseudohealthy.errors import InputError


@dataclass(frozen=True, eq=False)
class VolumeSlices:
    """The selected slices of one volume.

    Attributes:
        table: K rows of z, height, label, lesion_voxels, brain_voxels, has_mask.
        facts: what was measured of the whole volume.
        grid: from the stored grid to the canonical one.
        selected: (Z,), which slices.
        stored: (I, J, K) by name, in stored order: `images` and `truth`, in [0, 1] on the image's own scale;
            `masks`, True is lesion; of a mask without image only `library`.
    """

    table: pd.DataFrame
    facts: Facts
    grid: Grid
    selected: NDArray[np.bool_]
    stored: dict[str, NDArray[Any]]

    @classmethod
    def of(cls, volume: CohortVolume, settings: Preprocessing) -> Self:
        """Read one volume and choose its slices; one without brain is neither healthy nor pathological.

        Raises:
            InputError: a file that cannot be used, an image in which no stripped brain is found, files on
                different grids, a control with a lesion, or a brain beside the field.
        """
        if volume.image is None:
            return cls._of_library(volume, settings)
        file = read_volume(volume.image)
        image, evidence = stripped_brain(file)
        lesion, of_mask = _lesion(volume, image)
        intensity = Intensity.of(image.data, settings, name=str(volume.image))
        stored: dict[str, NDArray[Any]] = {"images": intensity.normalised(image.data), "masks": lesion}
        if volume.truth is not None:
            stored["truth"] = intensity.normalised(_truth(volume.truth, file, evidence))
        grid = Grid.of(image, settings, image.brain)
        if grid.outside == image.brain.sum():
            raise InputError(f"{volume.image}: its brain lies beside the field; set crop_centre=brain")
        known = volume.mask is not None or volume.group == "control"
        slices = _selection(grid, image.brain, lesion, settings.slice_selection, known=known)
        table = _table(grid, slices.selected, lesion, image.brain, known=known)
        label = table["label"].mask(slices.edge[slices.selected], "edge")
        table = table.assign(label=label, has_mask=volume.mask is not None)
        share = saturated_share(image.data, lesion, intensity.ceiling) if lesion.any() else None
        warnings = (*file.warnings, *evidence.warnings, *of_mask)
        facts = _facts(table, lesion, intensity.ceiling, share, grid.outside, warnings=warnings)
        return cls(table, facts, grid, slices.selected, stored)

    @classmethod
    def _of_library(cls, volume: CohortVolume, settings: Preprocessing) -> Self:
        """Every slice with lesion; as the brain is not known, the field lies around the image's centre.

        Raises:
            InputError: the file is no mask, no axial slice, or marks nothing or everything.
        """
        file = read_labels(cast(Path, volume.mask))
        expect_axial(file)
        lesion, of_values = marked_voxels(file, "lesion")
        if lesion.all() or not lesion.any():
            marked = "every" if lesion.any() else "no"
            raise InputError(f"{volume.mask}: marks {marked} voxel; expected a lesion, so leave the file out")
        brain = np.zeros(file.data.shape, dtype=np.bool_)
        grid = Grid.of(file, settings.model_copy(update={"crop_centre": "image"}), brain)
        selected = np.asarray(grid.to_canonical(lesion, order=0).any(axis=(1, 2)))
        table = _table(grid, selected, lesion, brain, known=True).assign(has_mask=True)
        facts = _facts(table, lesion, None, None, 0, warnings=(*file.warnings, *of_values))
        return cls(table, facts, grid, selected, {"library": lesion})

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """All that is `stored` as selected slices, by name."""
        return {name: self.array(name) for name in self.stored}

    def array(self, name: str) -> NDArray[np.float32]:
        """What is `stored` under a name as selected slices (K, H, W).

        Row 0 is anterior, column 0 the patient's right.
        """
        data = self.stored[name]
        return self.grid.to_canonical(data, order=0 if data.dtype == np.bool_ else 1)[self.selected]


def _lesion(volume: CohortVolume, image: Volume) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """The lesion on the image's grid, black where no mask was given; and warnings of its mask."""
    if volume.mask is None:
        return np.zeros(image.data.shape, dtype=np.bool_), ()
    mask = read_mask(volume.mask, image)
    if volume.group == "control" and mask.marked:
        raise InputError(
            f"{volume.mask}: marks {mask.marked} lesion voxels in a control, expected none; "
            "make the subject a patient, or remove the mask"
        )
    return mask.voxels, (*mask.warnings, *in_brain(mask, image.brain))


def _truth(path: Path, image: Volume, evidence: SkullEvidence) -> NDArray[np.float32]:
    """The intensities of the image's truth above the image's background, of which it has as much.

    The same voxels in space, in whatever order the file has them.
    """
    there = replace(image, data=expect_in_order_of(image, read_volume(path)))
    return brain_alone(there, evidence, within(image, evidence)).data


def _slices(data: NDArray[np.bool_], grid: Grid) -> NDArray[np.bool_]:
    """(Z, voxels, voxels): the whole slices, not resampled and not cropped to the field."""
    return np.flip(data.transpose(grid.axes), grid.flipped)


def _selection(
    grid: Grid, brain: NDArray[np.bool_], lesion: NDArray[np.bool_], rule: Rule, *, known: bool
) -> Selection:
    in_field = np.asarray(grid.to_canonical(lesion, order=0).any(axis=(1, 2)))
    return Selection.of(_slices(brain, grid), _slices(lesion, grid), in_field, rule, known=known)


def _table(
    grid: Grid,
    selected: NDArray[np.bool_],
    lesion: NDArray[np.bool_],
    brain: NDArray[np.bool_],
    *,
    known: bool,
) -> pd.DataFrame:
    """A row for each selected slice; `known` says whether a slice without lesion is a healthy one."""
    lesion_area, brain_area = (
        np.count_nonzero(grid.to_canonical(data, order=0)[selected], axis=(1, 2)) for data in (lesion, brain)
    )
    in_brain = np.flatnonzero(_slices(brain, grid).any(axis=(1, 2)))
    low, high = (in_brain[0], in_brain[-1]) if in_brain.size else (0, len(selected) - 1)
    z = np.flatnonzero(selected)
    return pd.DataFrame(
        {
            "z": z,
            "height": (z - low) / max(high - low, 1),
            "label": np.where(lesion_area > 0, "pathological", "healthy" if known else "unlabelled"),
            "lesion_voxels": lesion_area,
            "brain_voxels": brain_area,
        }
    )


def _facts(
    table: pd.DataFrame,
    lesion: NDArray[np.bool_],
    ceiling: float | None,
    share: float | None,
    outside: int,
    *,
    warnings: tuple[str, ...],
) -> Facts:
    return {
        "ceiling": ceiling,
        "lesion_voxels": int(np.count_nonzero(lesion)),
        "saturated_lesion_share": share,
        "brain_voxels_outside_field": outside,
        "slices": {label: int((table["label"] == label).sum()) for label in LABELS},
        "warnings": list(warnings),
    }
