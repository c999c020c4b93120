"""What a model makes of one volume: arrays on the input's own grid, and the files that hold them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

from pseudohealthy import cpu
from pseudohealthy.data.nifti_file import nibabel_silent
from pseudohealthy.data.volume import Volume, write_volume
from pseudohealthy.errors import printable
from pseudohealthy.files import folder_beside, make_folder, move_together, replace, write_json
from pseudohealthy.locks import locked
from pseudohealthy.report.viewer.subject_page import Kind, Volumes, viewer_html
from pseudohealthy.synthesis.model import THRESHOLD
from pseudohealthy.synthesis.output_files import (
    DESCRIPTIONS,
    dicom_folder,
    journal,
    not_made_again,
    output_files,
    output_stem,
    refuse_existing,
    sidecar,
    sidecar_path,
)
from pseudohealthy.synthesis.run_report import RunReport
from pseudohealthy.threads import in_threads

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
            where no blend was requested.
        probability: of disease, in [0, 1].
        mask: probability above 1/2, inside the brain.
        difference: healthy minus input, in the input's intensity units.
        uncertainty: half-width of the 68 % interval around `healthy`, in the input's intensity units; 0
            outside the brain and in slices not processed. None where it was not requested.
        report: how the images were made and what was measured; its keys are those of `RunReport`.
        warnings: what a person should know before using the images.
        slices: canonical slices `(Z, H, W)` for the panel, by the name of their column.
        inputs: names of the files used: image, and where given brain_mask and lesion_mask.
        given_shape: of an array given as input, which the arrays here have too; None for a file or image.
        input_file: the input, where a file holds it that the page can show; else None.
    """

    volume: Volume
    healthy: Array
    blended: Array | None
    probability: Array
    mask: NDArray[np.bool_]
    difference: Array
    uncertainty: Array | None
    report: RunReport
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
        keep_header_text: bool = False,
        sources: Mapping[str, str] | None = None,
        title: str | None = None,
        page: bool = True,
        dicom: Callable[[Path], object] | None = None,
    ) -> dict[str, Path]:
        """Write the volumes (NIfTI, JSON), a panel (PNG), the run report (JSON) and a page (HTML).

        Args:
            out: made if absent.
            name: the input's, such as `sub-01_FLAIR.nii.gz`; the files are named after it as BIDS
                derivatives are.
            overwrite: replace files of the same names, and remove blend, uncertainty, panel, page and DICOM
                of an earlier run where none is made now.
            keep_header_text: let the volumes hold the texts and extensions of the input's header, in which
                there may be names and dates; else they have its grid and units alone.
            sources: BIDS URIs of `image`, `brain_mask` and `lesion_mask` for the sidecars; default: the names
                of the files.
            title: of the panel and the page, and the `input` of the report, where a name alone does not tell
                images apart; default: the name.
            page: draw the panel and write the page, which take longer than to write the volumes.
            dicom: makes the folder at the path that it is called with, of DICOM files; see
                `dicom.output.write_dicom`. It becomes `dicom_folder`.

        Returns:
            The files, by what they are; each volume's sidecar lies beside it, with the ending .json.

        Raises:
            InputError: a file is there already, or is the input, or a name would be too long.
            PseudohealthyError: the disk is full; none of the files has been written then.
        """
        out = Path(out)
        requested = {
            "blend": self.blended is not None,
            "uncertainty": self.uncertainty is not None,
            "page": page,
        }
        files, folder = output_files(out, name, **requested), dicom_folder(out, name)
        refuse_existing(out, name, overwrite=overwrite, inputs=(self.volume.path,))
        named = {**self.inputs, "image": self.inputs.get("image", printable(name)), **(sources or {})}
        make_folder(out)
        lock = locked(out / f".{output_stem(name)}.lock", f"{out / name}")
        with lock, folder_beside(out, output_stem(name)) as part, nibabel_silent():  # of the input's header
            refuse_existing(out, name, overwrite=overwrite)  # another run may have written them meanwhile
            made = {kind: part / path.name for kind, path in files.items()}
            self._write(made, title, name, named, keep_header_text=keep_header_text)
            if dicom:
                dicom(part / folder.name)
            for old in not_made_again(out, name, **requested):  # DICOM too: it is replaced as a whole
                shutil.rmtree(old) if old.is_dir() else old.unlink()
            if dicom:
                files["report"].unlink(missing_ok=True)  # killed now, nothing says that all belongs together
                (part / folder.name).replace(folder)
            move_together(part, out, journal(out, name))
        return files

    def _write(
        self,
        files: dict[str, Path],
        title: str | None,
        name: str,
        sources: Mapping[str, str],
        *,
        keep_header_text: bool,
    ) -> None:
        heading = printable(title or name)
        stripped = self.report["skull"] == "absent"
        ratios = self.report["uncertainty"]["ratio_95"] if "uncertainty" in self.report else {}

        def write(kind: str) -> None:
            if kind == "panel":
                replace(files[kind], lambda part: self.draw(part, heading))
                return
            write_volume(
                files[kind],
                self._stored(getattr(self, kind)),
                self.volume,
                mask=kind == "mask",
                keep_header_text=keep_header_text,
            )
            write_json(sidecar_path(files[kind]), sidecar(kind, sources, ratios, stripped=stripped))

        kinds = [kind for kind in (*DESCRIPTIONS, "panel") if kind in files]
        in_threads(write, kinds, cpu.threads())  # gzip leaves the other threads free
        names = {kind: printable(path.name) for kind, path in files.items()}
        write_json(files["report"], {**self.report, **({"input": heading} if title else {}), "files": names})
        if "page" in files:
            self._write_page(files, heading)

    def _write_page(self, files: dict[str, Path], title: str) -> None:
        arrays: dict[Kind, Array | None] = {
            "healthy": self.healthy,
            "difference": self.difference,
            "probability": self.probability,
            "uncertainty": self.uncertainty,
        }
        volumes: Volumes = {
            "input": self.input_file or self._image(self.volume.data),
            **{kind: self._image(self._stored(array)) for kind, array in arrays.items() if array is not None},
        }
        viewer_html(files["page"], title, volumes, self.report, files["panel"])

    def _image(self, stored: Array) -> nibabel.Nifti1Image:
        return nibabel.Nifti1Image(stored, self.volume.affine)

    def _stored(self, array: NDArray[Any]) -> NDArray[Any]:
        """`array` as `(I, J, K)`: what `as_given` did, undone."""
        return array if self.given_shape is None else array.T.reshape(self.volume.data.shape)

    def draw(self, path: Path, title: str) -> None:
        """Draw the panel: a few slices of input, healthy image, difference and probability, as a PNG."""
        from pseudohealthy.report.figures import panel  # noqa: PLC0415  (brings PIL; not for --no-report)

        chosen = _slices_to_show(self.slices["lesion probability"], self.slices["input"])
        rows = [[images[z] for images in self.slices.values()] for z in chosen]
        panel(path, list(self.slices), rows, names=[f"slice {z}" for z in chosen], title=title)


def as_given(stored: NDArray[Any], shape: tuple[int, ...] | None) -> NDArray[Any]:
    """`(I, J, K)` as the input was given: an array's own `(H, W)` or `(Z, H, W)`; None: as it is."""
    return stored if shape is None else stored.T.reshape(shape)


def _slices_to_show(probability: Array, x: Array) -> list[int]:
    """A few indices, spread over the slices with a lesion, else over those with a brain."""
    for values, threshold in ((probability, THRESHOLD), (x, 0.0)):
        candidates = np.flatnonzero((values > threshold).any(axis=(1, 2)))
        if candidates.size:
            places = np.linspace(0, candidates.size - 1, PANEL_ROWS + 2)[1:-1].round().astype(int)
            return [int(z) for z in dict.fromkeys(candidates[places])]
    return [0]
