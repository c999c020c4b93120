"""What is saved of a volume, and under which names."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from models import saved
from patient import flair
from pseudohealthy import __version__
from pseudohealthy.errors import RESEARCH_USE, InputError
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.sidecars import beside
from pseudohealthy.synthesis.volume import Synthesis, output_files, synthesize


def test_the_saved_volumes_lie_on_the_inputs_grid(tmp_path: Path, result: Synthesis) -> None:
    files = result.save(tmp_path / "new/out", "sub-01_ses-1_FLAIR.nii.gz")
    given = nib.load(tmp_path / "sub-01_ses-1_FLAIR.nii.gz")
    for kind in ("healthy", "difference", "probability", "mask"):
        written = nib.load(files[kind])
        for key in ("sform_code", "qform_code", "xyzt_units", "srow_x", "quatern_b", "pixdim"):
            np.testing.assert_array_equal(written.header[key], given.header[key])
        np.testing.assert_array_equal(written.affine, given.affine)
        np.testing.assert_array_equal(written.get_fdata(dtype=np.float32), getattr(result, kind))
        assert written.get_data_dtype() == (np.uint8 if kind == "mask" else np.float32)


def test_panel_and_report_are_saved_too(tmp_path: Path, result: Synthesis) -> None:
    files = result.save(tmp_path / "out", "sub-01_ses-1_FLAIR.nii.gz")
    images = [files[kind] for kind in ("healthy", "difference", "probability", "mask")]
    written = [*files.values(), *map(beside, images)]
    assert sorted(tmp_path.joinpath("out").iterdir()) == sorted(written)
    with Image.open(files["panel"]) as panel:
        assert panel.format == "PNG"
        assert panel.info["Description"] == RESEARCH_USE
    report = json.loads(files["report"].read_text())
    assert report == {**result.report, "files": {kind: path.name for kind, path in files.items()}}


def test_a_panel_is_drawn_of_an_image_without_lesion(tmp_path: Path) -> None:
    model = Model.load(saved(tmp_path / "m", finds=False), "cpu")
    found = synthesize(flair(tmp_path / "scan.nii"), model)
    assert not found.mask.any()
    found.draw(tmp_path / "panel.png", "scan")
    with Image.open(tmp_path / "panel.png") as panel:
        assert panel.height > panel.width / 4 * 3  # three rows of four upright slices


def test_files_that_are_there_are_replaced_only_on_request(tmp_path: Path, result: Synthesis) -> None:
    files = output_files(tmp_path, "scan.nii")
    files["report"].write_text("mine")
    with pytest.raises(InputError, match=r"report\.json: exists already; .* --overwrite"):
        result.save(tmp_path, "scan.nii")
    assert not files["healthy"].exists()
    assert files["report"].read_text() == "mine"
    result.save(str(tmp_path), "scan.nii", overwrite=True)
    assert json.loads(files["report"].read_text())["version"] == __version__
    with pytest.raises(InputError, match="exists already"):
        result.save(tmp_path, "scan.nii")
    result.save(tmp_path, "other.nii")


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("sub-01_ses-1_FLAIR.nii.gz", "sub-01_ses-1"),
        ("sub-01_FLAIR.nii", "sub-01"),
        ("scan.nii", "scan"),
        ("my.brain.nii.gz", "my.brain"),
        ("stack", "stack"),
    ],
)
def test_files_are_named_as_bids_derivatives(name: str, stem: str) -> None:
    files = {kind: path.as_posix() for kind, path in output_files(Path("out"), name).items()}
    assert files == {
        "healthy": f"out/{stem}_desc-pseudohealthy_FLAIR.nii.gz",
        "difference": f"out/{stem}_desc-difference_FLAIR.nii.gz",
        "probability": f"out/{stem}_space-orig_label-lesion_desc-pseudohealthy_probseg.nii.gz",
        "mask": f"out/{stem}_space-orig_label-lesion_desc-pseudohealthy_mask.nii.gz",
        "panel": f"out/{stem}_desc-pseudohealthy_panel.png",
        "report": f"out/{stem}_desc-pseudohealthy_report.json",
        "page": f"out/{stem}_desc-pseudohealthy_report.html",
    }
    more = set(output_files(Path("out"), name, blend=True).values()) - set(
        output_files(Path("out"), name).values()
    )
    assert more == {Path(f"out/{stem}_desc-blend_FLAIR.nii.gz")}


def test_the_sidecars_name_their_sources_as_asked(tmp_path: Path, result: Synthesis) -> None:
    files = result.save(tmp_path / "out", "sub-01_FLAIR.nii", sources={"image": "bids:raw:sub-01_FLAIR.nii"})
    for kind in ("healthy", "difference", "probability", "mask"):
        facts = json.loads(beside(files[kind]).read_text())
        assert facts["Sources"] == ["bids:raw:sub-01_FLAIR.nii"]
        assert facts.get("SkullStripped", True) is True
    beside(files["mask"]).unlink()
    for path in files.values():
        path.unlink()
    with pytest.raises(InputError, match=r"FLAIR\.json: exists already"):
        result.save(tmp_path / "out", "sub-01_FLAIR.nii")
