"""Models, and what one of them makes of a file."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import pytest

from fixtures.brains import LPS, patient, reoriented
from fixtures.models import saved
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.result import Synthesis
from pseudohealthy.synthesis.synthesize import synthesize


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def fresh(folder: Path) -> Model:
    """Changes the image a little, and finds lesions here and there."""
    return Model.load(saved(folder / "fresh"), "cpu")


@pytest.fixture(scope="module")
def copying(folder: Path) -> Model:
    """Gives its input back, and finds a lesion in all of the brain."""
    return Model.load(saved(folder / "copying", copying=True, finds=True), "cpu")


@pytest.fixture
def result(tmp_path: Path, fresh: Model) -> Synthesis:
    """Of a file whose header holds more than a grid."""
    image = reoriented(patient(), LPS, "RAS")
    image.set_sform(image.affine, code="mni")
    image.set_qform(image.affine, code="scanner")
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, tmp_path / "sub-01_ses-1_FLAIR.nii.gz")
    return synthesize(tmp_path / "sub-01_ses-1_FLAIR.nii.gz", fresh)
