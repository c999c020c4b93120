"""What is saved of a volume, and under which names."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from fixtures.brains import flair
from fixtures.models import calibrated, saved
from pseudohealthy import __version__
from pseudohealthy.dicom.folder import healthy_name
from pseudohealthy.errors import RESEARCH_USE, InputError
from pseudohealthy.files import sha256_of
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.output_files import (
    dicom_folder,
    output_files,
    refuse_existing,
    sidecar_path,
    with_sidecars,
)
from pseudohealthy.synthesis.result import Synthesis
from pseudohealthy.synthesis.synthesize import synthesize


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
    written = [*files.values(), *map(sidecar_path, images)]
    assert sorted(tmp_path.joinpath("out").iterdir()) == sorted(written)
    with Image.open(files["panel"]) as panel:
        assert panel.format == "PNG"
        assert panel.info["Description"] == RESEARCH_USE
    report = json.loads(files["report"].read_text())
    assert report == {**result.report, "files": {kind: path.name for kind, path in files.items()}}


def test_a_panel_is_drawn_of_an_image_without_lesion(tmp_path: Path) -> None:
    model = Model.load(saved(tmp_path / "m", finds=False), "cpu")
    result = synthesize(flair(tmp_path / "scan.nii"), model)
    assert not result.mask.any()
    result.draw(tmp_path / "panel.png", "scan")
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


def test_a_run_without_a_blend_leaves_none_of_an_earlier_run(tmp_path: Path, fresh: Model) -> None:
    image = flair(tmp_path / "scan_FLAIR.nii")
    with_blend = synthesize(image, fresh, blend=True)
    without = synthesize(image, fresh)
    first = with_blend.save(tmp_path / "out", image.name)
    with pytest.raises(InputError, match="exists already"):
        without.save(tmp_path / "out", image.name)
    assert first["blended"].exists()
    files = without.save(tmp_path / "out", image.name, overwrite=True)
    written = with_sidecars(files).values()
    assert sorted(tmp_path.joinpath("out").iterdir()) == sorted(written)
    for path in written:
        path.unlink()
    first["blended"].touch()
    with pytest.raises(InputError, match=r"desc-blend_FLAIR\.nii\.gz: exists already"):
        without.save(tmp_path / "out", image.name)


def test_the_uncertainty_is_a_file_in_the_inputs_units_and_a_view_of_the_page(
    tmp_path: Path, folder: Path
) -> None:
    model = Model.load(calibrated(saved(folder / "calibrated")), "cpu")
    image = flair(tmp_path / "scan_FLAIR.nii", "RAS")
    result = synthesize(image, model, uncertainty=True)
    files = result.save(tmp_path / "out", image.name)
    assert files["uncertainty"].name == "scan_desc-uncertainty_FLAIR.nii.gz"
    written, given = nib.load(files["uncertainty"]), nib.load(image)
    assert written.get_data_dtype() == np.float32
    np.testing.assert_array_equal(written.affine, given.affine)
    np.testing.assert_array_equal(written.get_fdata(dtype=np.float32), result.uncertainty)
    facts = json.loads(sidecar_path(files["uncertainty"]).read_text())
    assert facts["RatioTo95"] == {"elsewhere": 2.5, "near": 3.5, "lesion": 4.5}
    page = files["page"].read_text(encoding="utf-8")
    assert 'id="volume-uncertainty"' in page
    low, high = result.report["uncertainty"]["lesion_ml_95"]
    assert f"<td>{low:.2f} to {high:.2f} ml</td>" in page
    synthesize(image, model).save(tmp_path / "out", image.name, overwrite=True)
    assert not list((tmp_path / "out").glob("*desc-uncertainty*"))
    assert 'id="volume-uncertainty"' not in files["page"].read_text(encoding="utf-8")


def test_an_input_in_the_place_of_an_output_is_not_replaced(tmp_path: Path, fresh: Model) -> None:
    image = flair(tmp_path / "scan_desc-pseudohealthy_FLAIR.nii.gz")
    before = image.read_bytes()
    with pytest.raises(InputError, match="would be replaced by what is made of it"):
        synthesize(image, fresh).save(tmp_path, image.name, overwrite=True)
    assert image.read_bytes() == before


def test_any_name_can_be_saved(tmp_path: Path, fresh: Model) -> None:
    name = "t\udceate \x1b[31m\n_FLAIR.nii.gz"
    shown = r"t\xeate \x1b[31m\n_FLAIR.nii.gz"
    result = synthesize(flair(tmp_path / name), fresh)
    files = result.save(tmp_path / "out", name)
    assert all(path.is_file() for path in with_sidecars(files).values())
    report = json.loads(files["report"].read_text())
    assert report["input"] == shown
    assert report["files"]["healthy"] == r"t\xeate \x1b[31m\n_desc-pseudohealthy_FLAIR.nii.gz"
    assert json.loads(sidecar_path(files["mask"]).read_text())["Sources"] == [shown]
    assert shown in files["page"].read_text(encoding="utf-8")


def test_a_title_tells_images_of_one_name_apart(tmp_path: Path, result: Synthesis) -> None:
    files = result.save(tmp_path / "out", "sub-01_FLAIR.nii", title="sub-01/ses-1/anat/sub-01_FLAIR.nii")
    assert json.loads(files["report"].read_text())["input"] == "sub-01/ses-1/anat/sub-01_FLAIR.nii"
    assert "<title>sub-01/ses-1/anat/sub-01_FLAIR.nii" in files["page"].read_text()


def test_two_runs_at_once_leave_the_files_of_one(tmp_path: Path, fresh: Model) -> None:
    image = flair(tmp_path / "scan.nii")
    results = [synthesize(image, fresh, blend=blend) for blend in (True, False)] * 2
    with ThreadPoolExecutor(len(results)) as pool:
        saved_at_once = [
            pool.submit(each.save, tmp_path / "out", image.name, overwrite=True) for each in results
        ]
    last = [each.result() for each in saved_at_once]
    report = json.loads(last[0]["report"].read_text())
    there = {path.name for path in (tmp_path / "out").iterdir()}
    assert there == {path.name for path in with_sidecars(_files(tmp_path / "out", report)).values()}
    assert ("blended" in report["files"]) == ("blend" in report)


def _files(out: Path, report: dict[str, Any]) -> dict[str, Path]:
    return {kind: out / name for kind, name in report["files"].items()}


def test_the_sidecars_name_the_requested_sources(tmp_path: Path, result: Synthesis) -> None:
    files = result.save(tmp_path / "out", "sub-01_FLAIR.nii", sources={"image": "bids:raw:sub-01_FLAIR.nii"})
    for kind in ("healthy", "difference", "probability", "mask"):
        sidecar = json.loads(sidecar_path(files[kind]).read_text())
        assert sidecar["Sources"] == ["bids:raw:sub-01_FLAIR.nii"]
        assert sidecar.get("SkullStripped", True) is True
    sidecar_path(files["mask"]).unlink()
    for path in files.values():
        path.unlink()
    with pytest.raises(InputError, match=r"FLAIR\.json: exists already"):
        result.save(tmp_path / "out", "sub-01_FLAIR.nii")


def test_a_run_killed_at_any_of_its_moves_is_taken_over(
    tmp_path: Path, fresh: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the killed one made a blend besides; nothing stays of it then."""
    image = flair(tmp_path / "scan.nii")
    result = synthesize(image, fresh)
    expected = _digests(result.save(tmp_path / "whole", "scan.nii"))
    for made, count in ((result, len(expected)), (synthesize(image, fresh, blend=True), len(expected) + 2)):
        for nth in range(count + 1):
            out = tmp_path / f"{count}_{nth}"
            with monkeypatch.context() as patch:
                patch.setattr(Path, "replace", _killed_at(out, nth))
                patch.setattr(shutil, "rmtree", lambda *_, **__: None)
                with pytest.raises(KeyboardInterrupt) if nth < count else contextlib.nullcontext():
                    made.save(out, "scan.nii")
            if nth == count:  # it was not killed
                continue
            refuse_existing(out, "scan.nii", overwrite=False)
            files = result.save(out, "scan.nii")
            assert _digests(files) == expected
            assert len(list(out.iterdir())) == len(expected), nth
            with pytest.raises(InputError, match="exists already"):
                result.save(out, "scan.nii")


def test_killed_behind_its_dicom_a_run_leaves_no_earlier_report_beside_it(
    tmp_path: Path, result: Synthesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scans(content: bytes) -> Callable[[Path], object]:
        def make(folder: Path) -> None:
            folder.mkdir()
            (folder / healthy_name(1)).write_bytes(content)

        return make

    out = tmp_path / "out"
    files = result.save(out, "scan.nii", dicom=scans(b"earlier"))
    scan = dicom_folder(out, "scan.nii") / healthy_name(1)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", _killed_at(out, 1))
        with pytest.raises(KeyboardInterrupt):
            result.save(out, "scan.nii", overwrite=True, dicom=scans(b"later"))
    assert scan.read_bytes() == b"later"
    assert not files["report"].exists()
    result.save(out, "scan.nii", overwrite=True, dicom=scans(b"later"))
    assert files["report"].exists()
    assert sorted(out.iterdir()) == sorted([*with_sidecars(files).values(), scan.parent])


def test_what_a_killed_run_left_and_somebody_changed_is_not_replaced(
    tmp_path: Path, result: Synthesis, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", _killed_at(tmp_path / "out", 5))
        with pytest.raises(KeyboardInterrupt):
            result.save(tmp_path / "out", "scan.nii")
    moved = sorted(path for path in (tmp_path / "out").iterdir() if path.name[0] != ".")
    assert len(moved) == 5
    moved[2].write_text("mine")
    with pytest.raises(InputError, match=f"{moved[2].name}: exists already"):
        result.save(tmp_path / "out", "scan.nii")
    assert moved[2].read_text() == "mine"


def _killed_at(out: Path, nth: int) -> Callable[[Path, Path], Path]:
    """`Path.replace`, but for the `nth` move of a visible file into `out`."""
    replace = Path.replace
    moved: list[Path] = []

    def killed(path: Path, target: Path) -> Path:
        if target.parent == out and not target.name.startswith("."):
            if len(moved) == nth:
                raise KeyboardInterrupt
            moved.append(target)
        return replace(path, target)

    return killed


def _digests(files: Mapping[str, Path]) -> dict[str, str]:
    return {path.name: sha256_of(path) for path in with_sidecars(files).values()}
