"""Pseudo-healthy synthesis of brain MRI: the same person's image as if healthy, and a map of the disease."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pseudohealthy.synthesis.backends import Choice
    from pseudohealthy.synthesis.volume import Synthesis

__version__ = "0.1.0"


def synthesize(
    image: str | Path | NDArray[Any],
    weights: str | Path | None = None,
    *,
    spacing: tuple[float, ...] | None = None,
    device: str = "auto",
    backend: Choice = "auto",
    brain_mask: str | Path | None = None,
    blend: bool = False,
    lesion_mask: str | Path | None = None,
) -> Synthesis:
    """A volume or slice as if healthy, and where its disease is; as the command of the same name.

    Args:
        image: a NIfTI file, or an array `(H, W)` or `(Z, H, W)`: rows anterior to posterior, columns
            patient's right to left, slices inferior to superior. FLAIR, in any intensity units; with its
            skull only where the extra `skullstrip` is installed, or with a `brain_mask`.
        weights: a weights folder; None: those in the package.
        spacing: mm, in the order of the array's axes; for arrays only.
        device: "cpu", "cuda" or "auto".
        backend: "torch", "onnxruntime" or "openvino" (extras of those names), or "auto": on a CPU, and for
            slices enough to be worth the conversion, the fastest that is installed.
        brain_mask: NIfTI file, above 0 in the brain; all else stays as it is.
        blend: also make `blended`, in which only the lesion is replaced.
        lesion_mask: NIfTI file of the lesion, for the blend; None: the model's.

    Returns:
        `healthy`, `probability`, `mask` and `difference` on the image's own grid, `warnings` and a `report`;
        `save(folder, name)` writes them. To heal many images, load a `Model` once and use
        `pseudohealthy.synthesis.volume.synthesize`.

    Raises:
        InputError: the image or the weights cannot be used.
    """
    from pseudohealthy.synthesis import volume  # noqa: PLC0415  (torch takes seconds to import)
    from pseudohealthy.synthesis.default import default_weights  # noqa: PLC0415
    from pseudohealthy.synthesis.model import Model  # noqa: PLC0415

    model = Model.load(Path(weights) if weights is not None else default_weights(), device, backend)
    source = Path(image) if isinstance(image, str) else image
    brain, lesion = (None if mask is None else Path(mask) for mask in (brain_mask, lesion_mask))
    return volume.synthesize(
        source, model, spacing=spacing, brain_mask=brain, blend=blend, lesion_mask=lesion
    )
