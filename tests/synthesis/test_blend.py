"""Only the lesion changes: the weights by themselves, and in volumes with the model's mask or a user's."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from fixtures.brains import LPS, flair, lesion, patient, reoriented, write
from pseudohealthy.data.volume import volume_from_array
from pseudohealthy.errors import InputError
from pseudohealthy.synthesis.blend import DILATION_MM, EDGE_MM, REACH_MM, blended, soft_mask
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.output_files import sidecar_path
from pseudohealthy.synthesis.result import Synthesis
from pseudohealthy.synthesis.synthesize import synthesize


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.45, 0.45, 5.0), (1.0, 2.0, 3.0)])
def test_the_weight_is_that_of_the_distance_to_the_nearest_lesion_voxel(
    spacing: tuple[float, float, float],
) -> None:
    """Two lesions, one at the border; every distance measured one by one."""
    mask = np.zeros((24, 20, 9), dtype=np.bool_)
    mask[0, 0, 0] = mask[20, 15, 5] = mask[21, 15, 5] = True
    at = np.moveaxis(np.indices(mask.shape), 0, -1) * spacing
    away = np.min(
        [np.linalg.norm(at - np.array(one) * spacing, axis=-1) for one in np.argwhere(mask)], axis=0
    )
    expected = np.exp(-0.5 * (np.maximum(away - DILATION_MM, 0) / EDGE_MM) ** 2)
    expected[away > REACH_MM] = 0
    weight = soft_mask(mask, spacing)
    np.testing.assert_allclose(weight, expected, rtol=1e-6)
    assert (weight[away <= DILATION_MM] == 1).all()
    assert weight[away > DILATION_MM].max() < 1
    assert not weight[away > REACH_MM].any()


def test_without_a_lesion_there_is_no_weight() -> None:
    assert not soft_mask(np.zeros((4, 5, 6), dtype=np.bool_), (1.0, 1.0, 1.0)).any()


def test_a_weight_of_0_gives_the_bits_of_the_input_and_one_of_1_those_of_the_healthy_image() -> None:
    rng = np.random.default_rng(0)
    data, healthy = (rng.normal(0, 1e6, 1000).astype(np.float32) for _ in range(2))
    data[:3] = -0.0, 1e-40, 3e38  # bits that arithmetic would lose
    weight = np.repeat(np.array([0, 0.25, 1], dtype=np.float32), (400, 200, 400))
    mixed = blended(data, healthy, weight)
    assert mixed.dtype == np.float32
    assert mixed[:400].tobytes() == data[:400].tobytes()
    assert mixed[600:].tobytes() == healthy[600:].tobytes()
    np.testing.assert_allclose(
        mixed[400:600], 0.75 * data[400:600] + 0.25 * healthy[400:600], rtol=1e-4, atol=1
    )


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
        found = few(fresh)
        fresh = replace(fresh, load_networks=lambda: found)
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
    report = result.report["blend"]
    assert report["mask"] == ("lesion.nii.gz" if own else "the model's")
    assert report["touched_ml"] == round(np.count_nonzero(weight) / 1000, 3)
    assert "blend" in result.slices
    sidecar = json.loads(sidecar_path(files["blended"]).read_text())
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


def test_masks_from_another_grid_are_warned_of(tmp_path: Path, fresh: Model) -> None:
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
    assert json.loads(sidecar_path(files["mask"]).read_text())["SpatialReference"] == "stack"


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


def test_a_lesion_mask_outside_the_brain_is_warned_of(tmp_path: Path, fresh: Model) -> None:
    corner = np.zeros_like(lesion())
    corner[:4, :4, 8] = 1
    mask = write(tmp_path / "corner.nii", corner)
    result = synthesize(flair(tmp_path / "scan.nii"), fresh, blend=True, lesion_mask=mask)
    assert any(
        "corner.nii has none of its 16 voxels in the brain" in each for each in result.report["warnings"]
    )
