"""What the program reads, each with sound files to begin with, ways to change them, and its own reader."""

from torture.fuzzing.targets import bids, dicom, nifti, records, settings, training, transplant, weights
from torture.fuzzing.targets.target import Target

__all__ = ["BY_NAME", "Target"]

BY_NAME: dict[str, Target] = {
    target.name: target
    for kind in (nifti, transplant, dicom, settings, bids, records, weights, training)
    for target in kind.TARGETS
}
