"""Which series is a FLAIR: by its times and kind of image, and by its description where times lack."""

from __future__ import annotations

import re

from pydicom.dataset import Dataset

from pseudohealthy.dicom.headers import number, numbers, value, words

MR_IMAGES = (  # one frame, enhanced, legacy converted enhanced
    "1.2.840.10008.5.1.4.1.1.4",
    "1.2.840.10008.5.1.4.1.1.4.1",
    "1.2.840.10008.5.1.4.1.1.4.4",
)
# ms; 0.5 to 7 T, in 2-D and 3-D. T1-weighted FLAIR and STIR have shorter TI and TE.
TI, TE, TR = (1200.0, 3500.0), (60.0, 1000.0), (3500.0, 30000.0)
_NAMES = re.compile(r"flair|dark.?fl(uid)?(?![a-z])|spc_?ir|space.?ir", re.IGNORECASE)
_OTHERS = re.compile(
    r"t1.?(w.?)?flair|flair.?t1|(?<![a-z])(dir|psir|stir)(?![a-z])|double.?inv|locali[sz]er|scout|survey|"
    r"(?<![a-z])(mpr|mip|adc|subtraction|synthetic|pseudo.?healthy)(?![a-z])",
    re.IGNORECASE,
)
_LOCALISER = re.compile(r"locali[sz]er|scout|survey|(?<![a-z])loc(?![a-z])", re.IGNORECASE)
# Values of ImageType of what was computed of a scanner's images, and of the parts of complex ones
_NOT_MAGNITUDE = {"P", "R", "I", "PHASE", "PHASE MAP", "PHASE_MAP", "REAL", "IMAGINARY"}
_COMPUTED = {"MPR", "PROJECTION IMAGE", "MIN IP", "MAX IP", "SUBTRACTION", "ADC", "FA", "SYNTHETIC"}


def left_out(header: Dataset) -> str:
    """Why images of this header are not looked at for a FLAIR, in a word or two; "" where they are."""
    kind = words(header, "ImageType")
    reasons = {
        "no MR image": not is_mr(header),
        "colour": (number(header, "SamplesPerPixel") or 1) > 1,
        "localiser": "LOCALIZER" in kind or bool(_LOCALISER.search(texts(header))),
        "phase": bool(_NOT_MAGNITUDE & {*kind[2:], *words(header, "ComplexImageComponent")}),
        "derived": kind[:1] == ("DERIVED",) or bool(_COMPUTED & set(kind)),
    }
    return next((reason for reason, true in reasons.items() if true), "")


def is_mr(header: Dataset) -> bool:
    """Whether it is an MR image's, of one frame or many."""
    return str(value(header, "SOPClassUID")) in MR_IMAGES


def is_flair(header: Dataset) -> bool:
    """Whether a header is a FLAIR's.

    TI, TE and TR must be a FLAIR's, as far as they are known. Where one of them lacks, the description, the
    protocol or the name of the sequence must say FLAIR, too.
    """
    text = texts(header)
    if left_out(header) or _OTHERS.search(text):
        return False
    times = (
        (_inversion(header), TI),
        (number(header, "EchoTime") or number(header, "EffectiveEchoTime"), TE),
        (number(header, "RepetitionTime"), TR),
    )
    known = [(ms, limits) for ms, limits in times if ms]
    if not all(low <= ms <= high for ms, (low, high) in known):
        return False
    return len(known) == len(times) or bool(_NAMES.search(text))


def texts(header: Dataset) -> str:
    """What the header says of the sequence in words."""
    keywords = ("SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName")
    return " | ".join(str(value(header, keyword) or "") for keyword in keywords)


def _inversion(header: Dataset) -> float | None:
    """The inversion time in ms; of several the longest."""
    return max((*numbers(header, "InversionTime"), *numbers(header, "InversionTimes")), default=None)
