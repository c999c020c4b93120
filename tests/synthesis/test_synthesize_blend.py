"""Volumes whose blend is asked for, and masks that a person gives."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from fixtures.cohorts import LPS, lesion, write
from fixtures.patient import flair, patient, reoriented
from pseudohealthy.data.volume import volume_from_array
from pseudohealthy.errors import InputError
from pseudohealthy.synthesis.blend import soft_mask
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.sidecars import beside
from pseudohealthy.synthesis.synthesize import Synthesis, synthesize


def scaled(path: Path) -> Path:
    """The patient as a scanner stores it: 16-bit integers with slope and intercept."""
    header = nib.Nifti1Header()
    header.set_data_dtype(np.int16)
    data = np.rint((patient() + 0.5) / 0.37).astype(np.int16)
    image = nib.Nifti1Image(data, LPS, header)
    content = bytearray(image.to_bytes())
    whole = nib.Nifti1Header(bytes(content[:348]), check=False)
    whole["scl_slope"], whole["scl_inter"] = 0.37, -0.5
    background = np.rint(0.5 / 0.37) * 0.37 - 0.5  # no longer 0
    assert background != 0
    content[:348] = whole.binaryblock
    path.write_bytes(bytes(content))
    return path


@pytest.mark.parametrize("own", [False, True], ids=["the model's mask", "the user's mask"])
def test_a_blend_changes_the_lesion_and_no_other_bit(tmp_path: Path, fresh: Model, own: bool) -> None:
    path = scaled(tmp_path / "scan.nii")
    spot = write(tmp_path / "lesion.nii.gz", lesion().astype(np.uint8))
    mask = lesion() > 0
    if not own:  # the model finds lesions all over the brain: let it find few
        fresh = replace(fresh, networks=few(fresh))
    result = synthesize(path, fresh, blend=True, lesion_mask=spot if own else None)
    if not own:
        mask = result.mask
        assert 0 < mask.sum() < 0.1 * np.count_nonzero(patient() > 0)
    files = result.save(tmp_path / "out", "scan.nii")
    given = np.asarray(nib.load(path).dataobj, dtype=np.float32)
    out = np.asarray(nib.load(files["blended"]).dataobj)
    weight = soft_mask(mask, (1.0, 1.0, 1.0))
    assert out.dtype == np.float32
    assert (weight == 0).mean() > 0.3
    assert out[weight == 0].tobytes() == given[weight == 0].tobytes()
    np.testing.assert_array_equal(out[weight == 1], result.healthy[weight == 1])
    assert (result.healthy[weight == 0] != given[weight == 0]).any()  # which the blend keeps out
    facts = result.report["blend"]
    assert facts["mask"] == ("lesion.nii.gz" if own else "the model's")
    assert facts["touched_ml"] == round(np.count_nonzero(weight) / 1000, 3)
    assert "blend" in result.slices
    sidecar = json.loads(beside(files["blended"]).read_text())
    assert sidecar["Sources"] == (["scan.nii", "lesion.nii.gz"] if own else ["scan.nii"])


def few(model: Model) -> torch.nn.ModuleDict:
    """The model's networks with a segmentor that finds a few voxels of what it found."""
    networks = copy.deepcopy(model.networks)
    x = synthesize(patient().T, model, spacing=(1.0, 1.0, 1.0)).probability
    shift = float(np.quantile(np.log(x[x > 0] / (1 - x[x > 0])), 0.999))
    with torch.no_grad():
        networks["S"].get_parameter("output.bias").sub_(shift)
    return networks


def test_without_the_blend_there_is_none(tmp_path: Path, result: Synthesis, fresh: Model) -> None:
    assert result.blended is None
    assert "blended" not in result.save(tmp_path / "out", "scan.nii")
    spot = write(tmp_path / "lesion.nii.gz", lesion().astype(np.uint8))
    with pytest.raises(InputError, match="a lesion mask without the blend that it is for; add --blend"):
        synthesize(flair(tmp_path / "scan.nii"), fresh, lesion_mask=spot)


def test_a_mask_from_another_grid_is_told(tmp_path: Path, fresh: Model) -> None:
    mask = write(tmp_path / "mask.nii", np.ones((24, 32, 10), np.uint8), LPS @ np.diag([2.0, 2.0, 2.0, 1.0]))
    result = synthesize(flair(tmp_path / "scan.nii"), fresh, brain_mask=mask, blend=True, lesion_mask=mask)
    assert [warning[:14] for warning in result.warnings] == [
        "the brain mask",
        "the lesion mas",
        "the lesion mas",
    ]
    assert result.report["warnings"] == list(result.warnings)


def test_an_array_takes_masks_as_volumes(tmp_path: Path, copying: Model) -> None:
    stack, spacing = patient().T, (1.0, 1.0, 1.0)
    mask = volume_from_array(lesion().T, spacing)
    result = synthesize(stack, copying, spacing=spacing, blend=True, brain_mask=mask, lesion_mask=mask)
    assert result.blended is not None
    np.testing.assert_array_equal(result.blended, stack)
    assert result.report["brain_ml"] == round(np.count_nonzero(lesion()) / 1000, 3)
    files = result.save(tmp_path / "out", "stack")
    assert not list(tmp_path.glob("out/input*"))
    assert json.loads(beside(files["mask"]).read_text())["SpatialReference"] == "stack"


@pytest.mark.parametrize("codes", ["RAS", "SAR"])
def test_masks_in_another_order_of_axes_give_the_same(tmp_path: Path, fresh: Model, codes: str) -> None:
    path, inside = flair(tmp_path / "scan.nii"), (patient() > 0).astype(np.uint8)
    for name, order in (("same", "LPS"), ("turned", codes)):
        for kind, data in (("brain", inside), ("lesion", lesion().astype(np.uint8))):
            nib.save(reoriented(data, LPS, order), tmp_path / f"{name}_{kind}.nii")
    same, turned = (
        synthesize(
            path,
            fresh,
            blend=True,
            brain_mask=tmp_path / f"{name}_brain.nii",
            lesion_mask=tmp_path / f"{name}_lesion.nii",
        )
        for name in ("same", "turned")
    )
    assert same.blended is not None
    assert turned.blended is not None
    assert turned.blended.tobytes() == same.blended.tobytes()
    assert turned.warnings == same.warnings


def test_an_empty_lesion_mask_blends_to_the_input(tmp_path: Path, fresh: Model) -> None:
    path, empty = scaled(tmp_path / "scan.nii"), write(tmp_path / "empty.nii", 0 * lesion())
    result = synthesize(path, fresh, blend=True, lesion_mask=empty)
    files = result.save(tmp_path / "out", "scan.nii")
    given = np.asarray(nib.load(path).dataobj, dtype=np.float32)
    assert np.asarray(nib.load(files["blended"]).dataobj).tobytes() == given.tobytes()
    assert (result.healthy != given).any()  # the image is processed all the same
    assert "the lesion mask empty.nii is empty: no lesion is replaced" in result.report["warnings"]
    assert result.report["blend"]["touched_ml"] == 0


def test_probabilities_change_no_more_than_the_lesion(tmp_path: Path, fresh: Model) -> None:
    noise = np.random.default_rng(0).uniform(1e-5, 0.02, lesion().shape)
    probable = np.where(patient() > 0, np.maximum(0.9 * lesion(), noise), 0).astype(np.float32)
    path = flair(tmp_path / "scan.nii")
    soft, hard = (
        synthesize(path, fresh, blend=True, lesion_mask=write(tmp_path / name, data))
        for name, data in (("soft.nii", probable), ("hard.nii", lesion()))
    )
    assert soft.blended is not None
    assert hard.blended is not None
    assert soft.blended.tobytes() == hard.blended.tobytes()
    said = "the lesion mask soft.nii holds values between 0 and 1: cut at 0.5"
    assert [warning for warning in soft.report["warnings"] if warning not in hard.warnings] == [said]


def test_a_lesion_mask_beside_the_brain_is_told(tmp_path: Path, fresh: Model) -> None:
    corner = np.zeros_like(lesion())
    corner[:4, :4, 8] = 1
    mask = write(tmp_path / "corner.nii", corner)
    result = synthesize(flair(tmp_path / "scan.nii"), fresh, blend=True, lesion_mask=mask)
    assert any(
        "corner.nii has none of its 16 voxels in the brain" in each for each in result.report["warnings"]
    )
