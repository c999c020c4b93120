"""Images and masks: NIfTI."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from fixtures.brains import LPS, brain, diseased, fractional
from fixtures.models import saved
from pseudohealthy.data.volume import read_labels, read_volume, write_volume
from torture.fuzzing import mutations as m
from torture.fuzzing.targets.target import Target, changed_file, run_pseudohealthy


def _small_brain() -> Any:
    return fractional(brain())[12:36, 16:48, 7:13].astype(np.float32)


def _nifti(kind: type[Any], name: str) -> Callable[[Path], object]:
    def build(folder: Path) -> None:
        image = kind(_small_brain(), LPS)
        image.set_sform(LPS, 1)
        image.set_qform(LPS, 1)
        if name == "extended.nii":
            image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"a scanner's words"))
        nib.save(image, folder / name)

    return build


def _niftis(folder: Path) -> None:
    _nifti(nib.Nifti1Image, "plain.nii")(folder)
    _nifti(nib.Nifti1Image, "packed.nii.gz")(folder)
    _nifti(nib.Nifti2Image, "second.nii")(folder)
    _nifti(nib.Nifti1Image, "extended.nii")(folder)
    _nifti(nib.Nifti1Pair, "pair.hdr")(folder)


def _read_changed(folder: Path, out: Path) -> None:
    """The one that was changed, and some of those that can be read written again."""
    volume = read_volume(changed_file(folder))
    if volume.data.flat[0] == 0:  # some of them: it takes longer than reading
        write_volume(out / "copy.nii", volume.data, volume, keep_header_text=True)


def _read_mask(folder: Path, out: Path) -> None:
    read_labels(folder / "plain.nii")


def build_synthesis(folder: Path) -> None:
    """Weights, and an image for `synthesize`."""
    saved(folder / "weights", finds=None)
    nib.save(nib.Nifti1Image(fractional(diseased())[:, :, 8:11].astype(np.float32), LPS), folder / "x.nii.gz")


def _synthesize(folder: Path, out: Path) -> None:
    run_pseudohealthy(
        "synthesize", folder / "x.nii.gz", "-o", out / "made", "--weights", folder / "weights", "--blend"
    )


def _synthesize_with_mask(folder: Path, out: Path) -> None:
    options = ("--weights", folder / "weights", "--brain-mask", folder / "mask.nii")
    run_pseudohealthy("synthesize", folder / "x.nii.gz", "-o", out / "made", *options)


def _with_mask(folder: Path) -> None:
    build_synthesis(folder)
    mask = (diseased()[:, :, 8:11] > 0).astype(np.float32)
    nib.save(nib.Nifti1Image(mask, LPS), folder / "mask.nii")


TARGETS = (
    Target(
        "nifti_image",
        "NIfTI",
        22,
        _niftis,
        _read_changed,
        {
            "plain.nii": m.IMAGE,
            "packed.nii.gz": m.PACKED,
            "second.nii": m.any_of(m.nifti_changed, m.bytes_changed),
            "extended.nii": m.any_of(m.nifti_changed, m.bytes_changed),
            "pair.hdr": m.any_of(m.nifti_changed, m.bytes_changed),
            "pair.img": m.bytes_changed,
        },
    ),
    Target(
        "nifti_mask", "NIfTI", 4, _nifti(nib.Nifti1Image, "plain.nii"), _read_mask, {"plain.nii": m.IMAGE}
    ),
    Target("synthesize", "NIfTI", 0.5, build_synthesis, _synthesize, {"x.nii.gz": m.PACKED}),
    Target("synthesize_mask", "NIfTI", 0.5, _with_mask, _synthesize_with_mask, {"mask.nii": m.IMAGE}),
)
