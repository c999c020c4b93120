"""One volume in, four out on the same grid: healthy image, lesion probability, lesion mask, difference."""

from __future__ import annotations

import platform
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pseudohealthy import __version__
from pseudohealthy.data.grid import Grid
from pseudohealthy.data.intensity import Intensity
from pseudohealthy.data.volume import Volume, read_volume, volume_from_array, write_volume
from pseudohealthy.errors import RESEARCH_USE, InputError
from pseudohealthy.files import folder_beside, replace, write_json
from pseudohealthy.report.figures import panel
from pseudohealthy.synthesis.model import Model

THRESHOLD = 0.5
LEAST_AREA = 0.1  # of the largest brain area: a smaller slice is left as it is
PANEL_ROWS = 3

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Synthesis:
    """What a model makes of one volume; arrays lie as the input's do, `(I, J, K)` as stored or as given.

    Attributes:
        volume: the input.
        healthy: the image as if healthy, in the input's intensity units; outside the brain and in slices
            not processed bit for bit the input.
        probability: of disease, in [0, 1].
        mask: probability above 1/2, inside the brain.
        difference: healthy minus input, in the input's intensity units.
        report: versions, weights, device, seconds, slices, lesion volume.
        slices: canonical stacks `(Z, H, W)` in [0, 1] for pictures, by column name.
        of_array: whether the arrays lie as a given array does, and not as stored.
    """

    volume: Volume
    healthy: Array
    probability: Array
    mask: NDArray[np.bool_]
    difference: Array
    report: dict[str, Any]
    slices: dict[str, Array]
    of_array: bool

    def save(self, out: Path, name: str, *, overwrite: bool = False) -> dict[str, Path]:
        """Write the four volumes (NIfTI), a panel (PNG) and the run report (JSON) into a folder.

        Args:
            out: made if absent.
            name: the input's, such as `sub-01_FLAIR.nii.gz`; the files are named after it as BIDS
                derivatives are.
            overwrite: replace files of the same names.

        Returns:
            The files, by what they are.

        Raises:
            InputError: a file is there already.
            PseudohealthyError: the disk is full; none of the files has been written then.
        """
        files = output_files(out, name)
        refuse_existing(files, overwrite=overwrite)
        with folder_beside(out) as beside:
            self._write({kind: beside / path.name for kind, path in files.items()}, name)
            for path in files.values():
                (beside / path.name).replace(path)
        return files

    def _write(self, files: dict[str, Path], name: str) -> None:
        write_volume(files["healthy"], self._stored(self.healthy), self.volume)
        write_volume(files["difference"], self._stored(self.difference), self.volume)
        write_volume(files["probability"], self._stored(self.probability), self.volume)
        write_volume(files["mask"], self._stored(self.mask), self.volume, mask=True)
        replace(files["panel"], lambda part: self.draw(part, name))
        names = {kind: path.name for kind, path in files.items()}
        write_json(files["report"], {**self.report, "files": names})

    def _stored(self, array: NDArray[Any]) -> NDArray[Any]:
        """`array` as `(I, J, K)`: what `_as_given` did, undone."""
        return array.T.reshape(self.volume.data.shape) if self.of_array else array

    def draw(self, path: Path, title: str) -> None:
        """Draw input, healthy image, difference and probability of a few slices into a PNG."""
        shown = _telling(self.slices["lesion probability"], self.slices["input"])
        rows = [[stack[z] for stack in self.slices.values()] for z in shown]
        panel(path, list(self.slices), rows, names=[f"slice {z}" for z in shown], title=title)


def synthesize(
    source: Path | Volume | NDArray[Any], model: Model, *, spacing: tuple[float, ...] | None = None
) -> Synthesis:
    """A volume or slice as if healthy, and where its disease is (section 5).

    Args:
        source: a NIfTI file, an opened volume, or an array `(H, W)` or `(Z, H, W)`: rows anterior to
            posterior, columns patient's right to left, slices inferior to superior. Skull-stripped,
            background 0, any intensity units.
        model: see `Model.load`.
        spacing: mm, in the order of the array's axes; for arrays only.

    Raises:
        InputError: the source cannot be read, or its brain cannot be found.
    """
    began = time.perf_counter()
    volume = _opened(source, spacing)
    settings = model.preprocessing
    grid = Grid.of(volume, settings, volume.brain, cover=True)
    name = str(volume.path or "the array")
    intensity = Intensity.of(volume.data, settings, name=name)
    x = grid.to_canonical(intensity.normalised(volume.data))
    brain = grid.to_canonical(volume.brain, order=0) > 0
    area = np.count_nonzero(brain, axis=(1, 2))
    done = area > LEAST_AREA * area.max()
    if not done.any():
        raise InputError(f"{name}: no brain found; expected a skull-stripped image on a background of 0")
    networks = time.perf_counter()
    x_tilde, m_tilde = x.copy(), np.zeros_like(x)
    x_tilde[done], m_tilde[done] = model.healthy(x[done]), model.lesion(x[done])
    networks = time.perf_counter() - networks

    x_tilde, m_tilde = np.where(brain, x_tilde, x), m_tilde * brain
    healthy = intensity.restored(volume.data, np.where(volume.brain, grid.to_stored(x_tilde - x), 0))
    probability = np.clip(grid.to_stored(m_tilde), 0, 1) * volume.brain
    mask = probability > THRESHOLD
    report = {
        "version": __version__,
        "input": volume.path.name if volume.path else "array",
        "weights": model.provenance,
        "device": str(model.device),
        "torch": torch.__version__,
        "machine": platform.processor() or platform.machine(),
        "slices": {"all": len(x), "processed": int(done.sum())},
        "ceiling": intensity.ceiling,
        "lesion_ml": round(float(mask.sum() * np.prod(volume.spacing) / 1000), 3),
        "seconds": {"networks": round(networks, 3), "all": round(time.perf_counter() - began, 3)},
        "research_use": RESEARCH_USE,
    }
    slices = {"input": x, "healthy": x_tilde, "difference": x_tilde - x, "lesion probability": m_tilde}
    return Synthesis(
        volume,
        healthy=_as_given(healthy, source),
        probability=_as_given(probability, source),
        mask=_as_given(mask, source),
        difference=_as_given(healthy - volume.data, source),
        report=report,
        slices=slices,
        of_array=isinstance(source, np.ndarray),
    )


def output_files(out: Path, name: str) -> dict[str, Path]:
    """The files that `Synthesis.save` writes for an input of this name, by what they are."""
    stem = re.sub(r"(_flair)?(\.nii(\.gz)?|\.hdr|\.img)?$", "", name, flags=re.IGNORECASE)
    return {
        "healthy": out / f"{stem}_desc-pseudohealthy_FLAIR.nii.gz",
        "difference": out / f"{stem}_desc-difference_FLAIR.nii.gz",
        "probability": out / f"{stem}_space-orig_label-lesion_desc-pseudohealthy_probseg.nii.gz",
        "mask": out / f"{stem}_space-orig_label-lesion_desc-pseudohealthy_mask.nii.gz",
        "panel": out / f"{stem}_desc-pseudohealthy_panel.png",
        "report": out / f"{stem}_desc-pseudohealthy_report.json",
    }


def refuse_existing(files: dict[str, Path], *, overwrite: bool) -> None:
    """Raise an `InputError` if one of the files is there and must not be replaced."""
    there = [path for path in files.values() if path.exists()]
    if there and not overwrite:
        raise InputError(f"{there[0]}: exists already; choose another folder, or allow --overwrite")


def _opened(source: Path | Volume | NDArray[Any], spacing: tuple[float, ...] | None) -> Volume:
    if isinstance(source, np.ndarray):
        if spacing is None:
            raise InputError("an array needs its spacing in mm, one number for each axis")
        return volume_from_array(source, spacing)
    return source if isinstance(source, Volume) else read_volume(source)


def _as_given(stored: NDArray[Any], source: Path | Volume | NDArray[Any]) -> NDArray[Any]:
    """`(I, J, K)` turned back to an array's own `(H, W)` or `(Z, H, W)`."""
    return stored.T.reshape(source.shape) if isinstance(source, np.ndarray) else stored


def _telling(probability: Array, x: Array) -> list[int]:
    """Slices that show most: spread over those with a lesion, else over those with a brain."""
    for stack, threshold in ((probability, THRESHOLD), (x, 0.0)):
        found = np.flatnonzero((stack > threshold).any(axis=(1, 2)))
        if found.size:
            places = np.linspace(0, found.size - 1, PANEL_ROWS + 2)[1:-1].round().astype(int)
            return [int(z) for z in dict.fromkeys(found[places])]
    return [0]
