"""Pseudo-healthy synthesis of brain MRI: the same person's image as if healthy, and a map of the disease."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pseudohealthy.synthesis.backends import Choice
    from pseudohealthy.synthesis.inputs import Source
    from pseudohealthy.synthesis.result import Synthesis

__version__ = "0.2.0"


def synthesize(
    image: Source,
    weights: str | Path | None = None,
    *,
    spacing: Iterable[float] | None = None,
    device: str = "auto",
    backend: Choice = "auto",
    brain_mask: Source | None = None,
    blend: bool = False,
    lesion_mask: Source | None = None,
    uncertainty: bool = False,
) -> Synthesis:
    """A volume or slice as if healthy, and where its disease is; as the command of the same name.

    Args:
        image: the path of a NIfTI file; a NIfTI image that nibabel has opened or made; or numbers (an array,
            tensor or list) `(H, W)` or `(Z, H, W)`: rows anterior to posterior, columns patient's right to
            left, slices inferior to superior. FLAIR, in any intensity units; with its skull only where the
            extra `skullstrip` is installed, or with a `brain_mask`.
        weights: a weights folder; None: those in the package.
        spacing: mm, in the order of the array's axes; for arrays only.
        device: "cpu", "cuda" or "auto".
        backend: "torch", "onnxruntime" or "openvino" (extras of those names), or "auto": on a CPU, and for
            enough slices to be worth the conversion, the fastest that is installed.
        brain_mask: above 0 in the brain; all else stays as it is. A path, an image of nibabel's, or numbers
            that lie as the image's do.
        blend: also make `blended`, in which only the lesion is replaced.
        lesion_mask: above 0 in the lesion, for the blend, given likewise; None: the model's.
        uncertainty: also make `uncertainty`, how far `healthy` may be off, and intervals of the lesion's
            volume in the report; three times the time.

    Returns:
        `healthy`, `probability`, `mask` and `difference` on the image's own grid, `warnings` and a `report`;
        `save(folder, name)` writes them. To process many images, load a `Model` once and use
        `pseudohealthy.synthesis.synthesize.synthesize`.

    Raises:
        InputError: the image, a mask or the weights cannot be used.
    """
    from pathlib import Path  # noqa: PLC0415  (the programs handle Ctrl-C once this package is imported)

    from pseudohealthy.synthesis.bundled_weights import bundled_weights  # noqa: PLC0415
    from pseudohealthy.synthesis.model import Model  # noqa: PLC0415
    from pseudohealthy.synthesis.synthesize import (  # noqa: PLC0415
        synthesize as synthesize_volume,
    )

    model = Model.load(Path(weights) if weights is not None else bundled_weights(), device, backend)
    return synthesize_volume(
        image,
        model,
        spacing=spacing,
        brain_mask=brain_mask,
        blend=blend,
        lesion_mask=lesion_mask,
        uncertainty=uncertainty,
    )
