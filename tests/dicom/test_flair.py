"""FLAIR is told from what lies around it, as scanners of several makers write it."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataset import Dataset

from fixtures.scans import FLAIR, MR, SECONDARY, enhanced, stack
from pseudohealthy.dicom.flair import is_flair, left_out

ORIGINAL = ["ORIGINAL", "PRIMARY", "M", "ND"]


def header(**values: Any) -> Dataset:
    made = Dataset()
    for keyword, given in {"SOPClassUID": MR, "ImageType": ORIGINAL, **values}.items():
        if given is not None:
            setattr(made, keyword, given)
    return made


def timed(ti: float | None, te: float | None, tr: float | None, name: str = "", **values: Any) -> Dataset:
    times = {"InversionTime": ti, "EchoTime": te, "RepetitionTime": tr}
    return header(**times, SeriesDescription=name, **values)


@pytest.mark.parametrize(
    "found",
    [
        timed(2500, 81, 9000, "t2_tirm_tra_dark-fluid"),
        timed(1800, 388, 5000, "t2_space_dark-fluid_sag_p2_iso", SequenceName="*spcir_278ns"),
        timed(2250, 120, 8002, "Ax T2 FLAIR", ImageType=["ORIGINAL", "PRIMARY", "OTHER"]),
        timed(
            1650, 340, 4800, "3D_Brain_VIEW_FLAIR_SHC", ImageType=["ORIGINAL", "PRIMARY", "M_IR", "M", "IR"]
        ),
        timed(1400, 140, 4000, "FLAIR (Gray/White Contrast)"),
        timed(2800, 125, 11000, "axial dunkle Fluessigkeit"),
        timed(None, 120, 9000, "AX FLAIR"),
        timed(None, None, None, "FLAIR"),
        timed(None, 388, 5000, "sag 3D", SequenceName="*spc_irR_278ns"),
        timed(0, 120, 9000, "sag", ProtocolName="T2W_FLAIR"),
        enhanced(stack(), 1),
    ],
    ids=lambda each: str(each.get("SeriesDescription", "")),
)
def test_a_flair_is_one_by_its_times_or_its_name(found: Dataset) -> None:
    assert left_out(found) == ""
    assert is_flair(found)


@pytest.mark.parametrize(
    "other",
    [
        timed(None, 12, 600, "AX T1 SE"),
        timed(860, 24, 2200, "AX T1 FLAIR"),
        timed(None, 9, 1900, "T1W FLAIR"),
        timed(None, None, None, "t1_tirm_dark-fluid FLAIR T1"),
        timed(180, 60, 5000, "STIR"),
        timed(None, 90, 5000, "COR STIR"),
        timed(None, 100, 6000, "AX T2 TSE"),
        timed(None, 70, 4000, "t2_tirm_cor"),
        timed(None, None, None, "AX T2"),
        timed(900, 3, 2300, "MPRAGE"),
        timed(3000, 320, 7500, "sag DIR 3D"),
        timed(2500, 20, 9000, "FLAIR EPI"),
        enhanced(stack(), 1, InversionTime=180),
    ],
    ids=lambda each: str(each.get("SeriesDescription", "")),
)
def test_other_contrasts_are_none(other: Dataset) -> None:
    assert not is_flair(other)


@pytest.mark.parametrize(
    ("why", "values"),
    [
        ("no MR image", {"SOPClassUID": SECONDARY}),
        ("no MR image", {"SOPClassUID": None}),
        ("colour", {"SamplesPerPixel": 3}),
        ("localiser", {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER", "M"]}),
        ("localiser", {"SeriesDescription": "3-plane loc FLAIR"}),
        ("localiser", {"SeriesDescription": "AAHead_Scout FLAIR"}),
        ("phase", {"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}),
        ("phase", {"ImageType": ["ORIGINAL", "PRIMARY", "PHASE MAP", "P", "IR"]}),
        ("phase", {"ComplexImageComponent": "PHASE"}),
        ("derived", {"ImageType": ["DERIVED", "SECONDARY", "REFORMATTED"]}),
        ("derived", {"ImageType": ["ORIGINAL", "PRIMARY", "PROJECTION IMAGE"]}),
    ],
)
def test_what_is_left_out_is_said(why: str, values: dict[str, Any]) -> None:
    made = header(**{**FLAIR, **values})
    assert left_out(made) == why
    assert not is_flair(made)
    assert is_flair(header(**FLAIR))
