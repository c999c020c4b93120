"""The healthy image as a derived MR series of the same patient and study, a file a slice."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import highdicom
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from pydicom.valuerep import DA, TM

from pseudohealthy import __version__
from pseudohealthy.dicom.headers import FUNCTIONAL_GROUPS, number, numbers, value
from pseudohealthy.dicom.scale import Scale
from pseudohealthy.dicom.slices import Slice
from pseudohealthy.errors import RESEARCH_USE

MR_IMAGE = "1.2.840.10008.5.1.4.1.1.4"
PROGRAM = "pseudohealthy"
DESCRIPTION = "PSEUDO-HEALTHY, NOT FOR DIAGNOSIS"
SEXES = ("M", "F", "O")
KIND = ["DERIVED", "SECONDARY", "OTHER"]
_EMPTY = (  # which an MR image has, known or not
    *("PatientPosition", "PositionReferenceIndicator", "SliceThickness", "ScanOptions", "MRAcquisitionType"),
    *("RepetitionTime", "EchoTrainLength"),
)
_COPIED = (
    *("FrameOfReferenceUID", "SliceLocation", "SpacingBetweenSlices", "FlipAngle"),
    *("MagneticFieldStrength", "ImagingFrequency", "AcquisitionNumber", "AcquisitionDate", "AcquisitionTime"),
    *("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"),
)
_PATIENT_AND_STUDY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID"),
    *("StudyDate", "StudyTime", "ReferringPhysicianName"),
)
_PULSES = {"SPIN": ["SE"], "GRADIENT": ["GR"], "BOTH": ["SE", "GR"]}  # of an enhanced image


def derived_series(
    sources: Sequence[Slice], voxels: NDArray[np.float32], scale: Scale, *, number_of: int, weights: str
) -> Iterator[Dataset]:
    """A derived MR image of each slice, in the order of the slices.

    Args:
        sources: the slices of the input, whose patient, study and place the images have.
        voxels: (slice, row, column), in the units of the input.
        scale: how they are stored.
        number_of: the series' number.
        weights: what made them, in words.
    """
    series, now = generate_uid(prefix=None), datetime.now()
    instances = _instance_numbers(sources)
    for source, instance, pixels in zip(sources, instances, scale.stored(voxels), strict=True):
        image = _DerivedImage(source, instance, series, number_of, now)
        image.add_derivation(source, weights)
        image.add_place(source)
        image.add_acquisition(source)
        image.add_pixels(pixels, scale, source, voxels)
        yield image


def series_number(source: Dataset, which: int) -> int:
    """A number for what is made of a series: of series 5 the first is 5001."""
    return 1000 * (int(number(source, "SeriesNumber") or 0) % 1_000_000) + which


def complete(sources: Sequence[Slice]) -> None:
    """Mend in the headers what an export has left out, or filled with what cannot be, and DICOM must have."""
    apart = f"{np.linalg.norm(sources[1].position - sources[0].position):.10g}"
    for header in (each.header for each in sources):
        for name in _PATIENT_AND_STUDY:
            if name not in header:
                setattr(header, name, "")
        if str(header.PatientSex) not in SEXES:
            header.PatientSex = ""
        for name, kind in (("PatientBirthDate", DA), ("StudyDate", DA), ("StudyTime", TM)):
            try:
                kind(str(header[name].value or ""))
            except ValueError:
                setattr(header, name, "")
        if FUNCTIONAL_GROUPS[0] not in header:
            for name in ("SliceThickness", "SpacingBetweenSlices"):
                if (number(header, name) or 0) <= 0:
                    setattr(header, name, apart)


def _instance_numbers(sources: Sequence[Slice]) -> list[int]:
    """The input's own, so that slices side by side have one number; else 1, 2, 3 ... along the stack."""
    own = [int(number(each.header, "InstanceNumber") or 0) for each in sources]
    return own if len(set(own)) == len(own) and min(own) > 0 else list(range(1, len(own) + 1))


class _DerivedImage(highdicom.SOPClass):
    """One slice; patient and study are those of its source."""

    def __init__(self, source: Slice, instance: int, series: str, number_of: int, now: datetime) -> None:
        header = source.header
        super().__init__(
            study_instance_uid=header.StudyInstanceUID,
            series_instance_uid=series,
            series_number=number_of,
            sop_instance_uid=generate_uid(prefix=None),
            sop_class_uid=MR_IMAGE,
            instance_number=instance,
            modality="MR",
            manufacturer=PROGRAM,
            manufacturer_model_name=PROGRAM,
            software_versions=__version__,
            device_serial_number="none",
            transfer_syntax_uid=ExplicitVRLittleEndian,
            series_description=DESCRIPTION,
            content_qualification="RESEARCH",
        )
        self.SeriesDate = self.ContentDate = DA(now.date())
        self.SeriesTime = self.ContentTime = TM(now.time())
        if "SpecificCharacterSet" in header:
            self.SpecificCharacterSet = header.SpecificCharacterSet
        self.copy_patient_and_study_information(header)
        with contextlib.suppress(AttributeError, TypeError, ValueError):  # nothing that could be said of it
            scanner = highdicom.ContributingEquipment.for_image_acquisition(header)
            self.ContributingEquipmentSequence = [scanner]

    def add_derivation(self, source: Slice, weights: str) -> None:
        """That it was generated, of which image, by what, and what it must not be used for."""
        self.ImageType = KIND
        made_by = f"{PROGRAM} {__version__} ({weights})"
        self.DerivationDescription = f"Generated by {made_by}: the source image as if healthy. {RESEARCH_USE}"
        self.ImageComments = RESEARCH_USE
        self.BurnedInAnnotation = "NO"
        item = Dataset()
        item.ReferencedSOPClassUID = source.header.SOPClassUID
        item.ReferencedSOPInstanceUID = source.header.SOPInstanceUID
        if "NumberOfFrames" in source.header:
            item.ReferencedFrameNumber = source.frame + 1
        purpose = codes.DCM.SourceImageForImageProcessingOperation
        item.PurposeOfReferenceCodeSequence = [highdicom.sr.CodedConcept.from_code(purpose)]
        self.SourceImageSequence = [item]

    def add_place(self, source: Slice) -> None:
        """Where it lies: exactly where its source does."""
        self.ImagePositionPatient = value(source.header, "ImagePositionPatient", source.frame)
        self.ImageOrientationPatient = value(source.header, "ImageOrientationPatient", source.frame)
        self.PixelSpacing = value(source.header, "PixelSpacing", source.frame)

    def add_acquisition(self, source: Slice) -> None:
        """How its source was acquired."""
        header, frame = source.header, source.frame
        for name in _EMPTY:
            setattr(self, name, value(header, name, frame))
        for name in _COPIED:
            if (found := value(header, name, frame)) is not None:
                setattr(self, name, found)
        for name, of_enhanced in (("EchoTime", "EffectiveEchoTime"), ("InversionTime", "InversionTimes")):
            times = numbers(header, name, frame) or numbers(header, of_enhanced, frame)
            setattr(self, name, _decimal(max(times)) if times else None)
        self.BodyPartExamined = value(header, "BodyPartExamined") or "BRAIN"
        pulses = _PULSES.get(str(value(header, "EchoPulseSequence", frame)), ["SE"])
        self.ScanningSequence = value(header, "ScanningSequence", frame) or [*pulses, "IR"]
        self.SequenceVariant = value(header, "SequenceVariant", frame) or "NONE"

    def add_pixels(
        self, pixels: NDArray[Any], scale: Scale, source: Slice, voxels: NDArray[np.float32]
    ) -> None:
        """Its pixels, what they mean, and a window to show them in: the source's, where it has one."""
        self.Rows, self.Columns = pixels.shape
        self.SamplesPerPixel = 1
        self.PhotometricInterpretation = value(source.header, "PhotometricInterpretation") or "MONOCHROME2"
        self.BitsAllocated, self.BitsStored, self.HighBit = 16, 16, 15
        self.PixelRepresentation = int(pixels.dtype.kind == "i")
        if (scale.slope, scale.intercept) != (1.0, 0.0):
            self.RescaleSlope, self.RescaleIntercept = _decimal(scale.slope), _decimal(scale.intercept)
            self.RescaleType = "US"
        centre, width = (number(source.header, f"Window{name}", source.frame) for name in ("Center", "Width"))
        if centre is None or width is None or width < 1:
            low, high = np.percentile(voxels, (1, 99.5))
            centre, width = (low + high) / 2, max(high - low, 1.0)
        self.WindowCenter, self.WindowWidth = _decimal(centre), _decimal(width)
        self.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()


def _decimal(given: float) -> str:
    """A number in the 16 characters that DICOM has for one."""
    return next(text for digits in range(16, 0, -1) if len(text := f"{given:.{digits}g}") <= 16)
