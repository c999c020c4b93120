"""How the uncertainty of weights follows from their runs on changed inputs: factors beside the weights.

They are measured by `scripts/calibrate_uncertainty.py`. docs/howto/uncertainty.md says how, and how well the
intervals hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field

from pseudohealthy.config import Frozen
from pseudohealthy.errors import InputError
from pseudohealthy.synthesis.measured_of_weights import MeasuredOfWeights

FILE, FORMAT = "uncertainty.json", 1
ZONES = ("elsewhere", "near", "lesion")  # of the lesion map
NEAR_MM, NEAR_PROBABILITY = 10.0, 0.1  # a voxel is near a lesion so far, in its slice, from so probable a one
SURE, POSSIBLE = 0.9, 0.1  # probabilities of disease, in the mean of the runs, for the lesion's volume

LARGEST_FACTOR = 1e6  # of a half-width of images in [0, 1], or of a volume: what none comes to


class Zone(Frozen):
    """Half-widths in one zone of the lesion map, for images in [0, 1].

    Attributes:
        constant: of the 68 % interval, where the runs agree.
        factor: of the 68 % interval, for each unit of the runs' spread.
        ratio_95: by which the 95 % interval is wider.
    """

    constant: float = Field(gt=0, le=1)
    factor: float = Field(ge=0, le=LARGEST_FACTOR)
    ratio_95: float = Field(ge=1, le=LARGEST_FACTOR)


class VolumeFactors(Frozen):
    """Of the interval of the lesion's volume.

    Attributes:
        low: of the volume that is sure in the mean of the runs, above a probability of `SURE`.
        high: of the volume that is possible, above `POSSIBLE`.
    """

    low: float = Field(ge=0, le=LARGEST_FACTOR)
    high: float = Field(ge=0, le=LARGEST_FACTOR)


class Calibration(MeasuredOfWeights):
    """What makes intervals of the runs on changed inputs.

    Attributes:
        format: of the file.
        sha256: of the weights that were calibrated.
        lesion: the zone that the segmentor marks.
        near: the zone around it, see `uncertainty.zones_of`.
        elsewhere: all other brain.
        volume_68: factors for the 68 % interval of the lesion's volume.
        volume_95: factors for the 95 % interval.
    """

    file: ClassVar[str] = FILE
    expected_format: ClassVar[int] = FORMAT
    again: ClassVar[str] = "calibrate again"

    lesion: Zone
    near: Zone
    elsewhere: Zone
    volume_68: VolumeFactors
    volume_95: VolumeFactors


def expect_calibrated(weights: Mapping[str, Any]) -> Calibration:
    """The calibration of weights.

    Args:
        weights: their description, as `describe_weights` gives it.

    Raises:
        InputError: they have none.
    """
    values = weights.get("uncertainty")
    if values is None:
        raise InputError(
            f"uncertainty: these weights are not calibrated (no {FILE} of theirs beside them); use those in "
            "the package, leave the uncertainty out, or calibrate them with scripts/calibrate_uncertainty.py"
        )
    return Calibration.model_validate(values)
