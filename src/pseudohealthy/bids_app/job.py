"""What is the same for every subject of a run: the folders, the weights and the options."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pseudohealthy.errors import InputError
from pseudohealthy.synthesis.bundled_weights import describe_weights
from pseudohealthy.synthesis.calibration import expect_calibrated

if TYPE_CHECKING:  # torch takes seconds to import
    from pseudohealthy.synthesis.backends import Choice


@dataclass(frozen=True)
class Job:
    """What is done for every subject of a run, and with which weights. `checked` makes it ready.

    Attributes:
        bids: the data set, which is only read.
        out: the folder of derivatives.
        weights: a weights folder.
        device: "cpu", "cuda" or "auto".
        backend: what runs the networks, as `Model.load` takes it.
        blend: also make the image in which only the lesion is replaced.
        uncertainty: also estimate the uncertainty of the healthy image and of the lesion's volume.
        overwrite: process finished images again.
        keep_header_text: let the outputs hold the texts and extensions of the inputs' headers.
        brain_masks: derivatives with a brain mask for each image; None: the brain is detected.
        lesion_masks: derivatives with a lesion mask for each image, for the blend; None: the segmentor's.
        sha256: of the weights; `checked` reads it.
    """

    bids: Path
    out: Path
    weights: Path
    device: str = "auto"
    backend: Choice = "auto"
    blend: bool = False
    uncertainty: bool = False
    overwrite: bool = False
    keep_header_text: bool = False
    brain_masks: Path | None = None
    lesion_masks: Path | None = None
    sha256: str = ""

    def checked(self) -> Job:
        """The job with the digest of its weights and absolute paths, so that other machines can do it.

        Raises:
            InputError: `weights` is not a weights folder, or not calibrated where the uncertainty is
                requested; there is no folder of masks, or lesion masks are given without the blend that they
                are for.
        """
        for option, folder in (("--brain-masks", self.brain_masks), ("--lesion-masks", self.lesion_masks)):
            if folder is not None and not folder.is_dir():
                raise InputError(f"{option} {folder}: no such folder; expected BIDS derivatives")
        if self.lesion_masks is not None and not self.blend:
            raise InputError(
                "--lesion-masks without the blend that they are for; add --blend, or leave it out"
            )
        weights = describe_weights(self.weights)
        if self.uncertainty:
            expect_calibrated(weights)
        return replace(
            self,
            bids=self.bids.resolve(),
            out=self.out.resolve(),
            weights=self.weights.resolve(),
            brain_masks=self.brain_masks and self.brain_masks.resolve(),
            lesion_masks=self.lesion_masks and self.lesion_masks.resolve(),
            sha256=weights["sha256"],
        )
