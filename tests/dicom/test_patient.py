"""Texts are shown without what tells the patient, whatever its spelling."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any, Literal

import pytest
from pydicom.dataset import Dataset

from fixtures.scans import BIRTH, ID, NAME, flair, write
from pseudohealthy.dicom.headers import silent
from pseudohealthy.dicom.patient import anonymous, shown
from pseudohealthy.dicom.read import NEUTRAL, read_scan


def test_a_description_is_one_short_line_without_the_patient() -> None:
    header = Dataset()
    header.PatientName, header.PatientID = NAME, ID
    for given, expected in {
        "AX  FLAIR\n\x1b[31m\x07post": "AX FLAIR post",
        "FLAIR quackenbush": "FLAIR ***",
        f"FLAIR {ID}-2": "FLAIR ***-2",
        "FLAIR OttolineQ": "FLAIR ***Q",
        "FLAIR " + "x" * 100: "FLAIR " + "x" * 51 + "...",
    }.items():
        with silent():
            header.SeriesDescription = given
        assert shown(header, "SeriesDescription") == expected


def test_short_names_are_found_as_words_alone() -> None:
    header = Dataset()
    header.PatientName = "Ana^Li"
    assert anonymous("ana_FLAIR of Ana, Li", header) == "***_FLAIR of ***"
    assert anonymous("anatomy", header) == "anatomy"


def header_of(**values: str) -> Dataset:
    header = Dataset()
    for keyword, given in values.items():
        setattr(header, keyword, given)
    return header


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("Li^Na", "Li_Na", "***"),
        ("Li^Na", "x_na, li FLAIR", "x_*** FLAIR"),
        ("Li^Na", "LiNa2 linalool li", "LiNa2 linalool li"),
        ("Müller^Jürgen", "MUELLER", "***"),
        ("Müller^Jürgen", "JuergenMüller_1", "***_1"),
        ("Mueller^Juergen", "Mülleriana", "***iana"),
        ("Sørensen^Łucja", "SOERENSEN of lucja", "*** of ***"),
        ("Strauß^Ida", "strauss", "***"),
        ("Strauß^Ida", "ida Idar", "*** Idar"),
        ("Eva^Emil", "EvaEmil or eva-emil", "*** or ***"),
        ("Schmidt^Emil", "Anna_Emil", "Anna_***"),
        ("Meyer-Schulze^Kim", "MeyerSchulze", "***"),
        ("Yamada^Taro=山田^太郎", "山田_FLAIR 山田太郎", "***_FLAIR ***"),
        ("Noë^X", "NOE noex", "*** ***"),
        ("^", "a ^ b", "a ^ b"),
    ],
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_name_is_found_in_other_spellings(
    name: str, text: str, expected: str, form: Literal["NFC", "NFD"]
) -> None:
    assert anonymous(unicodedata.normalize(form, text), header_of(PatientName=name)) == expected


@pytest.mark.parametrize(
    ("values", "text", "expected"),
    [
        ({"PatientID": "4711-08"}, "471108 4711_08", "*** ***"),
        ({"PatientID": "4711-08"}, "x471108y", "x***y"),
        ({"PatientID": "007"}, "scan_007 1007", "scan_*** 1007"),
        ({"AccessionNumber": "ACC-99123"}, "acc99123_FLAIR", "***_FLAIR"),
        ({"PatientBirthDate": "19700131"}, "x19700131 or 1970-01-31", "x*** or ***"),
        ({"PatientBirthDate": "19700131"}, "31.01.1970 or 01/31/1970", "*** or ***"),
        ({"PatientBirthDate": "1970.01.31"}, "born1970_01_31", "born***"),
        ({"PatientBirthDate": "19700131"}, "1970", "1970"),
        ({"PatientBirthDate": "unknown"}, "unknown", "unknown"),
    ],
)
def test_ids_and_the_date_of_birth_are_found_with_and_without_separators(
    values: dict[str, str], text: str, expected: str
) -> None:
    with silent():
        assert anonymous(text, header_of(**values)) == expected


@pytest.mark.parametrize(
    ("folder", "values"),
    [
        ("Li_Na", {"PatientName": "Li^Na"}),
        ("471108", {"PatientID": "4711-08"}),
        (
            unicodedata.normalize("NFD", "Müller_Jürgen"),
            {"PatientName": "Müller^Jürgen", "SpecificCharacterSet": "ISO_IR 192"},
        ),
        (f"{BIRTH[6:]}.{BIRTH[4:6]}.{BIRTH[:4]}", {}),
        ("acc-99123", {"AccessionNumber": "ACC99123"}),
    ],
)
def test_a_folder_named_after_the_patient_gives_its_name_to_nothing(
    tmp_path: Path, folder: str, values: dict[str, Any]
) -> None:
    scan = read_scan(write(tmp_path / folder, flair(SeriesDescription=f"FLAIR {folder}", **values)[:3]))
    assert scan.name == NEUTRAL
    assert scan.report["description"] == "FLAIR ***"
