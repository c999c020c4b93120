"""Lesions put into images by the bundled weights: where the image changes, and what it shows there."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from fixtures.brains import LPS, SHAPE, box, brain, ellipse, head, patient, reoriented, write
from fixtures.models import copied, lesioned, ruled, saved
from pseudohealthy.data.volume import Volume, read_volume
from pseudohealthy.errors import RESEARCH_USE, InputError
from pseudohealthy.synthesis.bundled_weights import bundled_weights
from pseudohealthy.synthesis.lesion_placement import Tissue, drawn_mask
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.transplantation import (
    LEVEL,
    MARGIN_MM,
    Recipient,
    Transplantation,
    tissue_level,
    transplant,
    with_grain,
)

LESION = box(SHAPE, (14, 22), (18, 28), (8, 12))


@pytest.fixture(scope="module")
def bundled() -> Model:
    return Model.load(bundled_weights(), "cpu")


@pytest.fixture(scope="module")
def control() -> Volume:
    """A brain with a dark rim and ventricle, without a lesion; voxels of 2 x 2 x 5 mm."""
    shape = (70, 84, 8)
    brain = ellipse(shape, (30, 38, 30))
    data = np.where(ellipse(shape, (6, 14, 5)), 40, 200) + np.random.default_rng(0).normal(0, 8, shape)
    data = np.where(ndimage.binary_erosion(brain), data, 0.5 * data)
    return Volume(np.where(brain, data, 0).astype(np.float32), np.diag([-2, -2, 5, 1.0]), None, shape, None)


@pytest.fixture(scope="module")
def mask(control: Volume) -> NDArray[np.bool_]:
    return drawn_mask(Tissue.of(control), np.random.default_rng(0), 20)


@pytest.fixture(scope="module")
def made(control: Volume, mask: NDArray[np.bool_], bundled: Model) -> Transplantation:
    return transplant(
        control, bundled, Volume(mask.astype(np.float32), control.affine, None, mask.shape, None)
    )


def test_the_lesion_is_as_bright_as_a_glioma_and_just_where_the_mask_is(
    made: Transplantation, control: Volume, mask: NDArray[np.bool_]
) -> None:
    assert np.array_equal(made.mask, mask)
    inside = ndimage.binary_erosion(mask, box((3, 3, 1)))
    ratio = made.image[inside] / control.data[inside]
    assert 1.2 < np.median(ratio) < 2.2
    assert (ratio > 1.05).mean() > 0.95
    assert made.report["brightness_ratio"] == pytest.approx(
        made.image[mask].mean() / control.data[mask].mean(), abs=0.001
    )
    assert made.report["lesion_ml"] == pytest.approx(mask.sum() * 0.02)


def test_all_else_is_the_input_bit_for_bit(
    made: Transplantation, control: Volume, mask: NDArray[np.bool_]
) -> None:
    away = ndimage.distance_transform_edt(~mask, sampling=control.spacing)
    beyond = (away > MARGIN_MM) | (control.data <= 0)
    assert np.array_equal(made.image[beyond], control.data[beyond])
    assert not np.array_equal(made.image[mask], control.data[mask])


def test_a_background_that_is_not_0_stays_bit_for_bit() -> None:
    volume = Volume((0.37 * brain() + 0.1).astype(np.float32), LPS, None, SHAPE, None)
    made = Recipient.of(volume, ruled(R=lesioned)).transplanted(LESION, "mine")
    away = ndimage.distance_transform_edt(~LESION)
    beyond = (away > MARGIN_MM) | (brain() == 0) | ~LESION.any(axis=(0, 1))
    assert np.array_equal(made.image[beyond], volume.data[beyond])
    assert (made.image[LESION] > volume.data[LESION]).mean() > 0.95
    assert made.report["brightness_ratio"] > 1.3


def test_the_report_says_how_it_was_made(made: Transplantation, bundled: Model) -> None:
    assert made.report["weights"]["sha256"] == bundled.provenance["sha256"]
    assert made.report["research_use"] == RESEARCH_USE
    assert made.report["skull"] == "absent"
    assert made.report["tissue_level"] == tissue_level(bundled).median == 0.5392
    assert made.warnings == tuple(made.report["warnings"])
    assert "the image is out of distribution" in made.warnings[0]


def test_a_lower_level_of_the_tissue_makes_a_brighter_lesion(
    control: Volume, mask: NDArray[np.bool_], bundled: Model
) -> None:
    recipient = Recipient.of(control, bundled)
    ratios = [
        recipient.transplanted(mask, "drawn", level=level).report["brightness_ratio"] for level in (0.4, 0.7)
    ]
    assert ratios[0] > ratios[1] + 0.2
    assert ratios[1] > 1.1


@pytest.mark.parametrize("codes", ["LPS", "RAS", "ASL", "SRP"])
def test_any_orientation_gives_the_same_image(tmp_path: Path, codes: str) -> None:
    model = Model.load(saved(tmp_path / "weights"), "cpu")
    image, lesion = tmp_path / "image.nii.gz", tmp_path / "lesion.nii.gz"
    turned = reoriented(patient(), LPS, codes)
    nib.save(turned, image)
    nib.save(reoriented(LESION.astype(np.uint8), LPS, codes), lesion)
    made = transplant(image, model, lesion)
    as_lps = Recipient.of(Volume(patient(), LPS, None, SHAPE, None), model).transplanted(LESION, "mine")
    assert np.array_equal(made.volume.affine, turned.affine)
    assert np.array_equal(made.image, reoriented(as_lps.image, LPS, codes).get_fdata(dtype=np.float32))
    assert np.array_equal(made.mask, reoriented(as_lps.mask.astype(np.uint8), LPS, codes).get_fdata() > 0)
    assert not np.array_equal(as_lps.image, patient())


def test_slices_without_the_mask_are_not_sent_through_the_network() -> None:
    seen: list[int] = []

    def counting(x: Tensor, m: Tensor) -> Tensor:
        seen.append(len(x))
        return lesioned(x, m)

    model = ruled(R=counting, G=copied)
    recipient = Recipient.of(_volume(), model)
    recipient.transplanted(LESION, "mine")
    assert sum(seen) == 4


def test_a_rule_s_lesion_has_the_rule_s_brightness_and_the_image_s_noise() -> None:
    model, volume = ruled(R=lesioned), _volume()
    made = Recipient.of(volume, model).transplanted(LESION, "mine")
    inside = ndimage.binary_erosion(LESION, box((3, 3, 1)))
    tissue = np.median(volume.data[volume.data > 0])
    assert np.median(made.image[inside]) == pytest.approx(0.9 * tissue / LEVEL.median, rel=0.03)
    assert made.image[inside].std() == pytest.approx(volume.data[inside].std(), rel=0.3)


def test_grain_is_not_added_to_what_has_its_own() -> None:
    x = np.random.default_rng(0).uniform(0.4, 0.6, (2, 40, 40)).astype(np.float32)
    m = np.zeros_like(x)
    m[:, 10:30, 10:30] = 1
    assert np.array_equal(with_grain(x, x, m), x)
    smooth = np.full_like(x, 0.8)
    assert with_grain(smooth, x, m)[m > 0].std() == pytest.approx(x[m > 0].std(), rel=0.2)


def test_an_array_takes_a_mask_that_lies_as_it_does() -> None:
    array, lesion = (each.transpose(2, 1, 0) for each in (brain().astype(np.float32), LESION))
    made = transplant(array, ruled(R=lesioned), lesion, spacing=(1, 1, 1))
    assert made.image.shape == made.mask.shape == array.shape
    assert np.array_equal(made.mask, (lesion > 0) & (array > 0))
    assert (made.image[made.mask] > array[made.mask]).mean() > 0.95


def test_a_head_keeps_its_skull(tmp_path: Path) -> None:
    whole = head(np.pad(brain(), 12), noise=3)
    inside = write(tmp_path / "brain.nii.gz", (np.pad(brain(), 12) > 0).astype(np.uint8))
    image = write(tmp_path / "head.nii.gz", whole)
    made = Recipient.of(image, ruled(R=lesioned), brain_mask=inside).transplanted(np.pad(LESION, 12), "mine")
    assert made.report["skull"] == "masked by brain.nii.gz"
    outside = np.pad(brain(), 12) <= 0
    assert np.array_equal(made.image[outside], read_volume(image).data[outside])
    assert made.report["brightness_ratio"] > 1.3


def test_what_of_a_mask_lies_outside_the_brain_is_cut_off() -> None:
    wide = box(SHAPE, (0, 24), (28, 36), (9, 11))
    volume = _volume()
    made = Recipient.of(volume, ruled(R=lesioned)).transplanted(wide, "mine")
    assert np.array_equal(made.mask, wide & (volume.data > 0))
    share = 1 - made.mask.sum() / wide.sum()
    assert made.warnings == (f"{share:.1%} of the lesion mask lay outside the brain and was cut off",)


def test_refusals(tmp_path: Path) -> None:
    volume, model = _volume(), ruled(R=lesioned)
    image = write(tmp_path / "image.nii.gz", brain())
    empty = write(tmp_path / "empty.nii.gz", np.zeros(SHAPE, np.uint8))
    beside = write(tmp_path / "beside.nii.gz", box(SHAPE, (0, 3), (0, 3), (0, 2)).astype(np.uint8))
    other = write(tmp_path / "other.nii.gz", np.ones((9, 9, 9), np.uint8), np.diag([-2.0, -2, 2, 1]))
    with pytest.raises(InputError, match=r"empty.nii.gz: is empty, so there is no lesion to transplant"):
        transplant(image, model, empty)
    with pytest.raises(InputError, match=r"beside.nii.gz\) has no voxel in the brain"):
        transplant(image, model, beside)
    with pytest.raises(InputError, match=r"other.nii.gz: lies on another grid than the image"):
        transplant(image, model, other)
    with pytest.raises(InputError, match=r"method judge, which has no reconstructor that takes a mask"):
        Recipient.of(volume, Model.load(saved(tmp_path / "judge", "judge"), "cpu"))
    with pytest.raises(InputError, match=r"method cyclegan, which has no reconstructor"):
        Recipient.of(volume, Model.load(saved(tmp_path / "cyclegan", "cyclegan"), "cpu"))


def _volume() -> Volume:
    return Volume(brain().astype(np.float32), LPS, None, SHAPE, None)
