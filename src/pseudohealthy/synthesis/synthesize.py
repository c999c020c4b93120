"""One volume in, its images out on the same grid: healthy image, difference, lesion; blend, uncertainty."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pseudohealthy import cpu
from pseudohealthy.data.nifti_file import opens_by_name
from pseudohealthy.data.volume import Volume
from pseudohealthy.errors import InputError, printable
from pseudohealthy.synthesis.blend import Blend, blended
from pseudohealthy.synthesis.calibration import expect_calibrated
from pseudohealthy.synthesis.inputs import Source, image_volume, mask_source, on_grid
from pseudohealthy.synthesis.model import THRESHOLD, Model
from pseudohealthy.synthesis.result import Synthesis, as_given
from pseudohealthy.synthesis.run_report import SliceFigures, describe_run
from pseudohealthy.synthesis.skull_stripping import find_brain
from pseudohealthy.synthesis.slice_inference import Progress, SliceInference
from pseudohealthy.synthesis.uncertainty import Uncertainty, run_progress
from pseudohealthy.threads import in_threads


def synthesize(
    source: Source,
    model: Model,
    *,
    spacing: Iterable[float] | None = None,
    brain_mask: Source | None = None,
    blend: bool = False,
    lesion_mask: Source | None = None,
    uncertainty: bool = False,
    progress: Progress | None = None,
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
            `data.mask.inside` does; all outside it stays as it is. Default: it is found in the image.
        blend: make the blend too, in which only the lesion that the model finds is replaced.
        lesion_mask: the lesion for the blend, given and read likewise; an empty one says that there is none.
            Default: the model's.
        uncertainty: estimate how far the healthy image and the lesion's volume may be off, too, from two
            further runs of the networks.
        progress: called with steps done, steps in all and what is done now.

    Raises:
        InputError: the source or a mask cannot be read, the brain cannot be found, or the uncertainty was
            requested of weights that are not calibrated.
    """
    began = time.perf_counter()
    if lesion_mask is not None and not blend:
        raise InputError(
            "a lesion mask without the blend that it is for; add --blend (blend=True), or leave it out"
        )
    calibration = expect_calibrated(model.provenance) if uncertainty else None
    volume, shape = image_volume(source, spacing)
    brain_mask, lesion_mask = (mask_source(mask, volume, shape) for mask in (brain_mask, lesion_mask))
    lesion = None if lesion_mask is None else on_grid(lesion_mask, volume, "lesion")
    if progress:
        progress(0, 1, "finding the brain")
    brain = find_brain(volume, brain_mask, model.device)
    inference = SliceInference.of(brain.alone, model, run_progress(progress, 0) if calibration else progress)
    work: tuple[Callable[[], Any], ...] = (
        lambda: inference.on_grid_of(volume, brain),
        lambda: SliceFigures.of(inference, model),
    )
    (healthy, probability), figures = in_threads(lambda do: do(), work, cpu.threads())
    mask = probability > THRESHOLD
    fading = Blend.of(mask, lesion, brain.alone) if blend else None
    unsure = None
    if calibration:
        unsure = Uncertainty.of(inference, brain.alone, model, calibration, mask, progress=progress)
    report = describe_run(
        brain,
        model,
        inference,
        figures,
        mask=mask,
        blend=fading,
        began=began,
        uncertainty=unsure.report if unsure else None,
    )
    return Synthesis(
        volume,
        healthy=as_given(healthy, shape),
        blended=as_given(blended(volume.data, healthy, fading.weight), shape) if fading else None,
        probability=as_given(probability, shape),
        mask=as_given(mask, shape),
        difference=as_given(healthy - volume.data, shape),
        uncertainty=as_given(unsure.half_width, shape) if unsure else None,
        report=report,
        warnings=tuple(report["warnings"]),
        slices=inference.pictures(fading.weight if fading else None),
        inputs=_file_names(image=volume, brain_mask=brain_mask, lesion_mask=lesion_mask),
        given_shape=shape,
        input_file=_input_file(source, volume),
    )


def _file_names(**inputs: Path | Volume | None) -> dict[str, str]:
    """Names of the files among the inputs."""
    paths = {name: each.path if isinstance(each, Volume) else each for name, each in inputs.items()}
    return {name: printable(path.name) for name, path in paths.items() if path}


def _input_file(source: Source, volume: Volume) -> Path | None:
    """The file that holds the input; None for an image of nibabel's, which may be changed in memory."""
    of_file = isinstance(source, str | os.PathLike | Volume) and volume.path
    return volume.path if of_file and opens_by_name(of_file) else None
