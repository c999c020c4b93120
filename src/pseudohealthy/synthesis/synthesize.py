"""One volume in, its images out on the same grid: healthy image, difference, lesion, and the blend."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pseudohealthy import __version__
from pseudohealthy.data.nifti_file import nibabel_silent, opens_by_name
from pseudohealthy.data.volume import Volume, write_volume
from pseudohealthy.errors import RESEARCH_USE, InputError, printable
from pseudohealthy.files import folder_beside, locked, make_folder, replace, write_json
from pseudohealthy.report.figures import panel
from pseudohealthy.report.viewer.subject_page import viewer_html
from pseudohealthy.synthesis import run_report
from pseudohealthy.synthesis.blend import DILATION_MM, EDGE_MM, blended, soft_mask
from pseudohealthy.synthesis.model import THRESHOLD, Model
from pseudohealthy.synthesis.naming import not_made_again, output_files, output_stem, refuse_existing
from pseudohealthy.synthesis.sidecars import DESCRIPTIONS, beside, sidecar
from pseudohealthy.synthesis.skull_stripping import find_brain
from pseudohealthy.synthesis.slice_inference import SliceInference
from pseudohealthy.synthesis.sources import Source, image_volume, mask_source
from pseudohealthy.synthesis.user_mask import UserMask, on_grid

PANEL_ROWS = 3

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Synthesis:
    """What a model makes of one volume; arrays lie as the input's do, `(I, J, K)` as stored or as given.

    "Bit for bit the input" means its intensities as 32-bit floating-point numbers, which the files hold. Such
    numbers, and unscaled integers to 16 million, are themselves; 64-bit numbers, and integers scaled by the
    header, become the nearest of them.

    Attributes:
        volume: the input.
        healthy: the image as if healthy, in the input's intensity units; outside the brain and in slices
            not processed bit for bit the input.
        blended: the input, in which only the lesion is replaced; all else is bit for bit the input. None
            where it was not asked for.
        probability: of disease, in [0, 1].
        mask: probability above 1/2, inside the brain.
        difference: healthy minus input, in the input's intensity units.
        report: versions, weights, device, backend, seconds, slices, skull, sizes of lesion and brain in ml,
            `anomaly`, `through_plane_inconsistency`, `brightness_inconsistency`, `out_of_distribution`, and
            the warnings.
        warnings: what a person should know before using the images.
        slices: canonical stacks `(Z, H, W)` in [0, 1] for pictures, by column name.
        inputs: names of the files used: image, and where given brain_mask and lesion_mask.
        given_shape: of the numbers given, as which the arrays lie; None where they lie as stored.
        input_file: that the page can show as it is; None where none of this content and of a fitting name is.
    """

    volume: Volume
    healthy: Array
    blended: Array | None
    probability: Array
    mask: NDArray[np.bool_]
    difference: Array
    report: dict[str, Any]
    warnings: tuple[str, ...]
    slices: dict[str, Array]
    inputs: dict[str, str]
    given_shape: tuple[int, ...] | None
    input_file: Path | None

    def save(
        self,
        out: str | Path,
        name: str,
        *,
        overwrite: bool = False,
        sources: Mapping[str, str] | None = None,
        title: str | None = None,
    ) -> dict[str, Path]:
        """Write the volumes (NIfTI, JSON), a panel (PNG), the run report (JSON) and a page to look at (HTML).

        Args:
            out: made if absent.
            name: the input's, such as `sub-01_FLAIR.nii.gz`; the files are named after it as BIDS
                derivatives are.
            overwrite: replace files of the same names, and remove the blend of an earlier run where none is
                made now.
            sources: BIDS URIs of `image`, `brain_mask` and `lesion_mask` for the sidecars; default: the names
                of the files.
            title: of the panel and the page, and the `input` of the report, where a name alone does not tell
                images apart; default: the name.

        Returns:
            The files, by what they are; each volume's sidecar lies beside it, with the ending .json.

        Raises:
            InputError: a file is there already, or is the input, or a name would be too long.
            PseudohealthyError: the disk is full; none of the files has been written then.
        """
        out, blend = Path(out), self.blended is not None
        files = output_files(out, name, blend=blend)
        refuse_existing(out, name, overwrite=overwrite, inputs=(self.volume.path,))
        named = {**self.inputs, "image": self.inputs.get("image", printable(name)), **(sources or {})}
        make_folder(out)
        lock = locked(out / f".{output_stem(name)}.lock", f"{out / name}")
        with lock, folder_beside(out) as part, nibabel_silent():  # the output's header is the input's
            refuse_existing(out, name, overwrite=overwrite)  # another run may have written them meanwhile
            self._write({kind: part / path.name for kind, path in files.items()}, title, name, named)
            for old in not_made_again(out, name, blend=blend):
                old.unlink()
            for path in sorted(part.iterdir()):
                path.replace(out / path.name)
        return files

    def _write(
        self, files: dict[str, Path], title: str | None, name: str, sources: Mapping[str, str]
    ) -> None:
        shown = printable(title or name)
        stripped = self.report["skull"] == "absent"

        def write(kind: str) -> None:
            write_volume(files[kind], self._stored(getattr(self, kind)), self.volume, mask=kind == "mask")
            write_json(beside(files[kind]), sidecar(kind, sources, stripped=stripped))

        with ThreadPoolExecutor(torch.get_num_threads()) as pool:  # gzip leaves the other threads free
            list(pool.map(write, [kind for kind in DESCRIPTIONS if kind in files]))
        replace(files["panel"], lambda part: self.draw(part, shown))
        names = {kind: printable(path.name) for kind, path in files.items()}
        write_json(files["report"], {**self.report, **({"input": shown} if title else {}), "files": names})
        self._write_page(files, shown)

    def _write_page(self, files: dict[str, Path], title: str) -> None:
        given = self.input_file or files["page"].with_name("input.nii.gz")
        if self.input_file is None:
            write_volume(given, self.volume.data, self.volume)
        viewer_html(
            files["page"],
            title,
            {
                "input": given,
                "healthy": files["healthy"],
                "difference": files["difference"],
                "probability": files["probability"],
            },
            self.report,
            files["panel"],
        )
        if self.input_file is None:
            given.unlink()

    def _stored(self, array: NDArray[Any]) -> NDArray[Any]:
        """`array` as `(I, J, K)`: what `_as_given` did, undone."""
        return array if self.given_shape is None else array.T.reshape(self.volume.data.shape)

    def draw(self, path: Path, title: str) -> None:
        """Draw input, healthy image, difference and probability of a few slices into a PNG."""
        shown = _telling(self.slices["lesion probability"], self.slices["input"])
        rows = [[stack[z] for stack in self.slices.values()] for z in shown]
        panel(path, list(self.slices), rows, names=[f"slice {z}" for z in shown], title=title)


def synthesize(
    source: Source,
    model: Model,
    *,
    spacing: Iterable[float] | None = None,
    brain_mask: Source | None = None,
    blend: bool = False,
    lesion_mask: Source | None = None,
) -> Synthesis:
    """A volume or slice as if healthy, and where its disease is (section 5).

    Args:
        source: a NIfTI file, a NIfTI image of nibabel's, an opened volume, or numbers (an array, tensor or
            list) `(H, W)` or `(Z, H, W)`: rows anterior to posterior, columns patient's right to left, slices
            inferior to superior. Any intensity units, and one value around the brain. A head with its skull
            is stripped by HD-BET, where that is installed.
        model: see `Model.load`.
        spacing: mm, in the order of the array's axes; for arrays only.
        brain_mask: the brain, given in any of these ways, numbers on the image's own grid, and read as
            `data.mask.inside` does; all outside it stays as it is. Default: the image is looked at.
        blend: make the blend too, in which only the lesion that the model finds is replaced.
        lesion_mask: the lesion for the blend, given and read likewise; an empty one says that there is none.
            Default: the model's.

    Raises:
        InputError: the source or a mask cannot be read, or the brain cannot be found.
    """
    began = time.perf_counter()
    if lesion_mask is not None and not blend:
        raise InputError(
            "a lesion mask without the blend that it is for; add --blend (blend=True), or leave it out"
        )
    volume, shape = image_volume(source, spacing)
    brain_mask, lesion_mask = (mask_source(mask, volume, shape) for mask in (brain_mask, lesion_mask))
    lesion = None if lesion_mask is None else on_grid(lesion_mask, volume, "lesion")
    brain = find_brain(volume, brain_mask, model.device)
    healed = SliceInference.of(brain.alone, model)
    healthy, probability = healed.on_grid_of(volume, brain)
    mask = probability > THRESHOLD
    weight = soft_mask(mask if lesion is None else lesion.voxels, volume.spacing) if blend else None
    familiar, unlike = run_report.out_of_distribution(
        healed.x, healed.brain, model.preprocessing, model.provenance.get("training_distribution")
    )
    found = healed.facts()
    unsteady = run_report.unsteady(found["brightness_inconsistency"])
    of_lesion = (*lesion.warnings, *lesion.beside(brain.alone.brain)) if lesion else ()
    warnings = (*volume.warnings, *brain.warnings, *of_lesion, *unlike, *unsteady)
    report = {
        **_provenance(volume, model, slices=int(healed.done.sum())),
        "skull": brain.skull,
        "slices": {"all": len(healed.x), "processed": int(healed.done.sum())},
        "ceiling": healed.intensity.ceiling,
        "lesion_ml": _ml(mask, volume),
        "brain_ml": _ml(brain.alone.brain, volume),
        **found,
        "out_of_distribution": familiar,
        **({} if weight is None else {"blend": _blend_facts(weight, lesion, volume)}),
        "warnings": list(warnings),
        "seconds": {"networks": healed.seconds, "all": round(time.perf_counter() - began, 3)},
        "research_use": RESEARCH_USE,
    }
    return Synthesis(
        volume,
        healthy=_as_given(healthy, shape),
        blended=None if weight is None else _as_given(blended(volume.data, healthy, weight), shape),
        probability=_as_given(probability, shape),
        mask=_as_given(mask, shape),
        difference=_as_given(healthy - volume.data, shape),
        report=report,
        warnings=warnings,
        slices=healed.pictures(weight),
        inputs=_names(image=volume, brain_mask=brain_mask, lesion_mask=lesion_mask),
        given_shape=shape,
        input_file=_input_file(source, volume),
    )


def _provenance(volume: Volume, model: Model, *, slices: int) -> dict[str, Any]:
    weights = {key: value for key, value in model.provenance.items() if key != "training_distribution"}
    return {
        "version": __version__,
        "input": printable(volume.path.name) if volume.path else "array",
        "weights": weights,
        "device": str(model.device),
        "backend": model.running(slices),
        "torch": torch.__version__,
        "machine": platform.processor() or platform.machine(),
    }


def _blend_facts(weight: Array, lesion: UserMask | None, volume: Volume) -> dict[str, Any]:
    return {
        "mask": lesion.name if lesion else "the model's",
        "dilation_mm": DILATION_MM,
        "edge_mm": EDGE_MM,
        "touched_ml": _ml(weight > 0, volume),
    }


def _ml(where: NDArray[np.bool_], volume: Volume) -> float:
    return round(float(np.count_nonzero(where) * np.prod(volume.spacing) / 1000), 3)


def _names(**given: Path | Volume | None) -> dict[str, str]:
    """Names of the files among what was given."""
    paths = {name: each.path if isinstance(each, Volume) else each for name, each in given.items()}
    return {name: printable(path.name) for name, path in paths.items() if path}


def _input_file(source: Source, volume: Volume) -> Path | None:
    """The file that holds what was given: an image of nibabel's may have been changed since it was opened."""
    of_file = isinstance(source, str | os.PathLike | Volume) and volume.path
    return volume.path if of_file and opens_by_name(of_file) else None


def _as_given(stored: NDArray[Any], shape: tuple[int, ...] | None) -> NDArray[Any]:
    """`(I, J, K)` turned back to an array's own `(H, W)` or `(Z, H, W)`."""
    return stored if shape is None else stored.T.reshape(shape)


def _telling(probability: Array, x: Array) -> list[int]:
    """Slices that show most: spread over those with a lesion, else over those with a brain."""
    for stack, threshold in ((probability, THRESHOLD), (x, 0.0)):
        found = np.flatnonzero((stack > threshold).any(axis=(1, 2)))
        if found.size:
            places = np.linspace(0, found.size - 1, PANEL_ROWS + 2)[1:-1].round().astype(int)
            return [int(z) for z in dict.fromkeys(found[places])]
    return [0]
