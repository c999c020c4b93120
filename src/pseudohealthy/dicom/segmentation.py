"""The lesion map as a DICOM segmentation of the input's images."""

from __future__ import annotations

from collections.abc import Sequence

import highdicom
import numpy as np
from numpy.typing import NDArray
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from pseudohealthy import __version__
from pseudohealthy.dicom.derived_series import PROGRAM
from pseudohealthy.dicom.slices import Slice
from pseudohealthy.errors import RESEARCH_USE

DESCRIPTION = "Lesion map, NOT FOR DIAGNOSIS"


def lesion_segmentation(
    sources: Sequence[Slice], mask: NDArray[np.bool_], *, number_of: int
) -> highdicom.seg.Segmentation:
    """A segmentation of one segment, the lesion.

    Args:
        sources: the slices of the input.
        mask: (slice, row, column), True in the lesion; it may be empty.
        number_of: the series' number.
    """
    files = {each.file: each.header for each in sources}
    if len(files) == 1:  # all frames of one file, in the file's order
        mask = mask[np.argsort([each.frame for each in sources])]
    segmentation = highdicom.seg.Segmentation(
        source_images=list(files.values()),
        pixel_array=mask.astype(np.uint8),
        segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[_lesion()],
        series_instance_uid=generate_uid(prefix=None),
        series_number=number_of,
        sop_instance_uid=generate_uid(prefix=None),
        instance_number=1,
        manufacturer=PROGRAM,
        manufacturer_model_name=PROGRAM,
        software_versions=__version__,
        device_serial_number="none",
        content_label="LESION",
        content_description=DESCRIPTION,
        series_description=DESCRIPTION,
        content_qualification="RESEARCH",
        omit_empty_frames=bool(mask.any()),
        specific_character_set=None,  # highdicom knows some of them alone
    )
    if "SpecificCharacterSet" in sources[0].header:
        segmentation.SpecificCharacterSet = sources[0].header.SpecificCharacterSet
    segmentation.ImageComments = RESEARCH_USE
    return segmentation


def _lesion() -> highdicom.seg.SegmentDescription:
    return highdicom.seg.SegmentDescription(
        segment_number=1,
        segment_label="Lesion",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=PROGRAM, version=__version__, family=codes.DCM.ArtificialIntelligence
        ),
    )
