"""Names of files from a browser: what is shown of them, and the names that files get."""

from __future__ import annotations

import importlib.util
import re
import unicodedata
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pseudohealthy.serve.inputs import MOST_CHARACTERS, kinds, shown_name, stored_name


@pytest.mark.parametrize(
    "name", ["sub-01_FLAIR.nii.gz", "sub-01_ses-1_acq-3D_run-2_FLAIR.nii", "Brats18_x.hdr"]
)
def test_names_of_data_sets_stay_what_they_are(name: str) -> None:
    assert (shown_name(name), stored_name(name)) == (name, name)


@pytest.mark.parametrize("name", ["", ".", "..", "/", "\x00", "--", "\u202e"])
def test_no_name_becomes_one(name: str) -> None:
    assert stored_name(name) == "image"


@given(st.text())
def test_whatever_the_name_a_plain_one_is_stored_and_one_line_is_shown(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", stored_name(name))
    assert len(stored_name(name)) <= MOST_CHARACTERS
    assert shown_name(name).isprintable()
    assert 0 < len(shown_name(name)) <= MOST_CHARACTERS + 1


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_letters_lose_their_accents_alone(form: Literal["NFC", "NFD"]) -> None:
    name = unicodedata.normalize(form, "Müller_Jürgen Østergård-Łoś.zip")
    assert stored_name(name) == "Muller_Jurgen_Ostergard-Los.zip"


def test_a_long_name_keeps_its_extension() -> None:
    name = "a" * 5000 + ".nii.gz"
    assert stored_name(name).endswith("a.nii.gz")
    assert shown_name(name).endswith("a.nii.gz")


def test_the_page_offers_dicom_only_where_its_extra_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(kinds()) == ["NIfTI (.nii, .nii.gz)", "DICOM files in a zip (.zip)"]
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "highdicom" else find(name))
    assert list(kinds()) == ["NIfTI (.nii, .nii.gz)"]
