from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from fixtures.brains import LESION_SLICES, LPS, brain, diseased, lesion, reoriented, write
from fixtures.cohorts import FITTING, HALF, SELECTED
from pseudohealthy.config import SPLITS, preprocessing
from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.data.layouts import CohortVolume, Group
from pseudohealthy.data.volume_slices import VolumeSlices
from pseudohealthy.errors import InputError


@pytest.fixture
def patient(tmp_path: Path) -> CohortVolume:
    image = write(tmp_path / "image.nii.gz", diseased(1, 500))
    mask = write(tmp_path / "mask.nii.gz", lesion(4))
    return CohortVolume("01", "patient", image, mask, None, None, "here", None, tmp_path)


def test_selected_slices_are_the_file_s_voxels_on_the_scale_of_its_ceiling(patient: CohortVolume) -> None:
    stack = VolumeSlices.of(patient, FITTING)
    data = diseased(1, 500).T[SELECTED.start : SELECTED.stop].astype(float)
    everything = diseased(1, 500)
    ceiling = float(np.percentile(everything[everything > 0], 99.5))
    arrays = stack.arrays()
    np.testing.assert_allclose(arrays["images"], np.minimum(data, ceiling) / ceiling, rtol=1e-6)
    np.testing.assert_array_equal(arrays["masks"], lesion().T[SELECTED.start : SELECTED.stop])
    assert stack.facts["ceiling"] == pytest.approx(ceiling)
    assert arrays.keys() == {"images", "masks"}


def test_every_orientation_gives_the_same_slices(patient: CohortVolume, tmp_path: Path) -> None:
    expected = VolumeSlices.of(patient, FITTING).arrays()
    assert patient.image
    image = diseased(1, 500)
    turned = np.diag([1.0, 1.0, 1.0, 1.0])  # RAS: the patient's left and the front come last
    sideways = replace(
        patient,
        image=write(tmp_path / "ras.nii.gz", image[::-1, ::-1], turned),
        mask=write(tmp_path / "ras_mask.nii.gz", lesion()[::-1, ::-1], turned),
    )
    for name, array in VolumeSlices.of(sideways, FITTING).arrays().items():
        np.testing.assert_array_equal(array, expected[name])
    assert np.argwhere(expected["masks"]).mean(axis=0)[1:].tolist() == [19.5, 16.5]  # front, patient's right


def saved_as(patient: CohortVolume, path: Path, data: NDArray[Any]) -> CohortVolume:
    return replace(patient, image=write(path, data))


@pytest.mark.parametrize("background", [7, -1000])
def test_a_background_of_another_value_makes_no_difference(
    patient: CohortVolume, tmp_path: Path, background: int
) -> None:
    plain = diseased(1, 500)
    raised = replace(
        saved_as(patient, tmp_path / "raised.nii", plain + np.int16(background)),
        truth=write(tmp_path / "raised_truth.nii", brain(1) + np.int16(background)),
    )
    expected = VolumeSlices.of(replace(patient, truth=write(tmp_path / "truth.nii", brain(1))), FITTING)
    found = VolumeSlices.of(raised, FITTING)
    pd.testing.assert_frame_equal(found.table, expected.table)
    assert found.facts == expected.facts
    for name, array in found.arrays().items():
        np.testing.assert_array_equal(array, expected.arrays()[name])


def test_a_resampled_brain_is_reported_and_its_slices_are_0_around_it(
    patient: CohortVolume, tmp_path: Path
) -> None:
    data = ndimage.shift(brain(1).astype(np.float32), (0.3, 0.2, 0), order=3)
    resampled = replace(
        saved_as(patient, tmp_path / "resampled.nii", data), truth=write(tmp_path / "truth.nii", data)
    )
    stack, plain = VolumeSlices.of(resampled, FITTING), VolumeSlices.of(patient, FITTING)
    assert [warning.split(" (")[0] for warning in stack.facts["warnings"]] == [
        "small values around the brain"
    ]
    assert plain.facts["warnings"] == []
    assert stack.table["brain_voxels"].sum() == pytest.approx(plain.table["brain_voxels"].sum(), rel=0.07)
    arrays = stack.arrays()
    away = ndimage.binary_dilation(plain.arrays()["images"] > 0, np.ones((1, 5, 5), dtype=np.bool_))
    for name in ("images", "truth"):
        assert not arrays[name][~away].any()
        assert (data[:5] != 0).any()


def test_a_library_of_sagittal_slices_is_refused(patient: CohortVolume, tmp_path: Path) -> None:
    path = write(tmp_path / "sagittal.nii", lesion()[16:17])
    with pytest.raises(InputError, match=r"sagittal\.nii: holds one sagittal slice"):
        VolumeSlices.of(replace(patient, image=None, mask=path, group="library"), FITTING)


def test_a_head_and_a_brain_without_background_are_refused(patient: CohortVolume, tmp_path: Path) -> None:
    noise = np.random.default_rng(5).rayleigh(5, brain().shape)
    whole = saved_as(patient, tmp_path / "head.nii", np.where(brain() > 0, brain(), noise))
    with pytest.raises(InputError, match=r"head\.nii: has its skull or noise .*strip the image first"):
        VolumeSlices.of(whole, FITTING)
    filled = saved_as(patient, tmp_path / "filled.nii", brain()[16:32, 20:44, 6:14])
    with pytest.raises(InputError, match=r"filled\.nii: its brain reaches every border"):
        VolumeSlices.of(filled, FITTING)


def test_the_table_of_a_patient(patient: CohortVolume) -> None:
    table = VolumeSlices.of(patient, FITTING).table
    assert table["z"].tolist() == list(SELECTED)
    labels = ["pathological" if z in LESION_SLICES else "healthy" if z in HALF else "edge" for z in SELECTED]
    assert table["label"].tolist() == labels
    assert table["lesion_voxels"].tolist() == [48 if z in LESION_SLICES else 0 for z in SELECTED]
    assert table["brain_voxels"].tolist() == [int((brain(1)[:, :, z] > 0).sum()) for z in SELECTED]
    np.testing.assert_allclose(
        table["height"], [(z - 1) / 17 for z in SELECTED]
    )  # the brain is slices 1 to 18
    assert table["has_mask"].all()


def test_slices_without_brain_are_left_out(patient: CohortVolume) -> None:
    stack = VolumeSlices.of(
        patient, FITTING.model_copy(update={"slice_selection": "middle60"})
    )  # which selects all of 20
    assert stack.table["z"].tolist() == list(range(1, 19))
    assert stack.table["height"].iloc[[0, -1]].tolist() == [0, 1]


def test_the_facts_of_a_patient(patient: CohortVolume) -> None:
    facts = VolumeSlices.of(patient, FITTING).facts
    assert facts["lesion_voxels"] == 192
    assert facts["brain_voxels_outside_field"] == 0
    assert facts["slices"] == {"pathological": 4, "healthy": 8, "unlabelled": 0, "edge": 6}


def test_the_share_of_the_lesion_above_the_ceiling(patient: CohortVolume) -> None:
    image = brain(1)
    image[14:20, 16:24, 8] = 500  # 48 of 192 lesion voxels, and fewer than 0.5 % of the brain's 17,000
    assert patient.image
    write(patient.image, image)
    assert VolumeSlices.of(patient, FITTING).facts["saturated_lesion_share"] == 0.25


@pytest.mark.parametrize(("group", "labels"), [("patient", {"unlabelled"}), ("control", {"healthy", "edge"})])
def test_without_a_mask(patient: CohortVolume, group: Group, labels: set[str]) -> None:
    stack = VolumeSlices.of(replace(patient, mask=None, group=group), FITTING)
    assert set(stack.table["label"]) == labels
    assert not stack.table["has_mask"].any()
    assert not stack.arrays()["masks"].any()
    assert stack.facts["saturated_lesion_share"] is None


def test_a_control_may_have_a_black_mask_but_no_lesion(patient: CohortVolume, tmp_path: Path) -> None:
    control = replace(patient, group="control")
    with pytest.raises(InputError, match=r"mask.nii.gz: marks 192 lesion voxels in a control"):
        VolumeSlices.of(control, FITTING)
    black = write(tmp_path / "black.nii.gz", np.zeros_like(lesion()))
    assert set(VolumeSlices.of(replace(control, mask=black), FITTING).table["label"]) == {"healthy", "edge"}


def test_the_truth_is_on_the_scale_of_its_image(patient: CohortVolume, tmp_path: Path) -> None:
    phantom = replace(patient, truth=write(tmp_path / "truth.nii.gz", brain(1)))
    stack = VolumeSlices.of(phantom, FITTING)
    arrays, ceiling = stack.arrays(), stack.facts["ceiling"]
    assert ceiling
    expected = np.minimum(brain(1).T[SELECTED.start : SELECTED.stop], ceiling) / ceiling
    np.testing.assert_allclose(arrays["truth"], expected, rtol=1e-6)
    healthy = ~arrays["masks"].astype(bool)
    np.testing.assert_array_equal(arrays["truth"][healthy], arrays["images"][healthy])


def test_a_truth_or_mask_on_another_grid_is_refused(patient: CohortVolume, tmp_path: Path) -> None:
    shifted = LPS.copy()
    shifted[0, 3] = 1
    other = write(tmp_path / "other.nii.gz", brain(1), shifted)
    for wrong in (replace(patient, truth=other), replace(patient, mask=other)):
        with pytest.raises(
            InputError, match=r"other.nii.gz: not on the grid of .* \(1 mm to the right, 0 to the"
        ):
            VolumeSlices.of(wrong, FITTING)


@pytest.mark.parametrize("codes", ["RAS", "SAR"])
def test_mask_and_truth_may_be_stored_in_another_order(
    patient: CohortVolume, tmp_path: Path, codes: str
) -> None:
    same = replace(patient, truth=write(tmp_path / "truth.nii.gz", brain(1)))
    expected = VolumeSlices.of(same, FITTING)
    for name, data in (("mask", lesion()), ("truth", brain(1))):
        nib.save(reoriented(data, LPS, codes), tmp_path / f"{codes}_{name}.nii.gz")
    turned = replace(
        patient, mask=tmp_path / f"{codes}_mask.nii.gz", truth=tmp_path / f"{codes}_truth.nii.gz"
    )
    stack = VolumeSlices.of(turned, FITTING)
    assert stack.facts == expected.facts
    for name, array in stack.arrays().items():
        np.testing.assert_array_equal(array, expected.arrays()[name])


def test_a_mask_of_probabilities_is_cut_at_one_half_and_that_is_reported(
    patient: CohortVolume, tmp_path: Path
) -> None:
    sure = np.where(lesion() > 0, 0.8, 0.01) * (brain(1) > 0)
    path = write(tmp_path / "probable_mask.nii.gz", sure.astype(np.float32))
    stack = VolumeSlices.of(replace(patient, mask=path), FITTING)
    assert stack.facts["lesion_voxels"] == 192
    said = "the lesion mask probable_mask.nii.gz holds values between 0 and 1: cut at 0.5"
    assert stack.facts["warnings"] == [said]
    library = VolumeSlices.of(replace(patient, group="library", image=None, mask=path), FITTING)
    assert library.facts["lesion_voxels"] == 192
    assert library.facts["warnings"] == [said]
    assert not VolumeSlices.of(patient, FITTING).facts["warnings"]


def test_a_mask_beside_the_brain_is_reported(patient: CohortVolume, tmp_path: Path) -> None:
    corner = np.zeros_like(lesion())
    corner[:4, :4, 8] = 1
    stack = VolumeSlices.of(replace(patient, mask=write(tmp_path / "corner.nii.gz", corner)), FITTING)
    assert stack.facts["warnings"] == [
        "the lesion mask corner.nii.gz has none of its 16 voxels in the brain; check that it belongs to this "
        "image"
    ]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (0 * lesion(), "mask.nii.gz: marks no voxel; expected a lesion"),
        (1 + 0 * lesion(), "mask.nii.gz: marks every voxel; expected a lesion"),
        (brain(1), "mask.nii.gz: holds 100 values from 100 to 199; expected a mask"),
    ],
)
def test_what_is_no_mask_in_a_library_is_refused(tmp_path: Path, data: Any, says: str) -> None:
    path = write(tmp_path / "mask.nii.gz", data)
    with pytest.raises(InputError, match=says):
        VolumeSlices.of(CohortVolume("B", "library", None, path, None, None, "here", None, tmp_path), FITTING)


def test_a_brain_beside_the_field_is_refused(patient: CohortVolume, tmp_path: Path) -> None:
    wide = np.zeros((48, 200, 20), dtype=np.int16)
    wide[:, :40] = brain(1)[:, :40]
    beside = replace(patient, mask=None, image=write(tmp_path / "wide.nii.gz", wide))
    assert VolumeSlices.of(beside, FITTING).arrays()["images"].any()
    with pytest.raises(InputError, match=r"wide.nii.gz: its brain lies beside the field"):
        VolumeSlices.of(beside, FITTING.model_copy(update={"crop_centre": "image"}))


def test_of_a_library_s_mask_every_slice_with_lesion_is_selected_in_its_place(tmp_path: Path) -> None:
    mask = lesion()
    mask[30:33, 40:44, 18] = 2  # beyond the slices that are selected of an image
    path = write(tmp_path / "mask.nii.gz", mask)
    stack = VolumeSlices.of(
        CohortVolume("B", "library", None, path, None, None, "here", None, tmp_path), FITTING
    )
    assert stack.table["z"].tolist() == [*LESION_SLICES, 18]
    assert set(stack.table["label"]) == {"pathological"}
    assert stack.table["has_mask"].all()
    assert not stack.table["brain_voxels"].any()
    np.testing.assert_allclose(stack.table["height"], np.array([*LESION_SLICES, 18]) / 19)
    arrays = stack.arrays()
    assert arrays.keys() == {"library"}
    np.testing.assert_array_equal(arrays["library"], (mask > 0).T[[*LESION_SLICES, 18]])
    assert stack.facts["ceiling"] is None


def test_a_library_s_mask_without_orientation_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "mask.nii"
    nib.save(nib.Nifti1Image(lesion(), None), path)
    stack = VolumeSlices.of(
        CohortVolume("B", "library", None, path, None, None, "here", None, tmp_path), FITTING
    )
    assert [warning[:30] for warning in stack.facts["warnings"]] == ["its header tells no orientatio"]


@pytest.mark.slow
@pytest.mark.real_data
def test_the_real_cohort_has_the_slices_that_section_5_counts(real_data: Path) -> None:
    counts = {split: Counter[str]() for split in SPLITS}
    brighter = []
    for volume in read_cohort([real_data / "lgg"]).volumes:
        stack = VolumeSlices.of(volume, preprocessing("default"))
        assert volume.split
        counts[volume.split] += Counter(stack.facts["slices"])
        image, lesion = stack.stored["images"], stack.stored["masks"]
        brighter.append(image[lesion].mean() > image[~lesion & (image > 0)].mean())
    assert [counts[split]["pathological"] for split in SPLITS] == [773, 111, 343]
    assert [counts[split]["healthy"] for split in SPLITS] == [488, 111, 188]
    assert np.mean(brighter) > 0.9  # masks lie on what is bright on FLAIR
