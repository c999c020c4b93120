"""A skull is seen, and a brain without one is not taken for a head."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from fixtures import brains
from fixtures.brains import Image, Mask, brain, ellipse, reoriented
from pseudohealthy.data.skull_detection import (
    DARKEST,
    SkullEvidence,
    brain_alone,
    stored,
    stripped_brain,
    upright,
    upright_mm,
    within,
)
from pseudohealthy.data.volume import Volume, read_volume
from pseudohealthy.errors import InputError

SHAPE, MM = (100, 120, 24), (2.0, 2.0, 5.0)  # columns, rows, slices of a head in a field of 20 x 24 x 12 cm
LPS = np.diag([-MM[0], -MM[1], MM[2], 1.0])


def volume(data: NDArray[Any], affine: NDArray[np.float64] = LPS) -> Volume:
    return Volume(np.asarray(data, dtype=np.float32), affine, None, data.shape, None)


def ellipsoid(grow: float = 0.0) -> Mask:
    """A brain of 14 x 18 x 10 cm, grown by mm to each side."""
    return ellipse(SHAPE, (np.array([70, 90, 50]) + grow) / MM)


def stripped() -> Image:
    return brain(0, ellipsoid(), (70, 131)).astype(np.float32)


def head() -> Image:
    return brains.head(stripped(), MM)


def test_a_head_has_a_skull_and_a_stripped_brain_has_none() -> None:
    bare, whole = SkullEvidence.of(volume(stripped())), SkullEvidence.of(volume(head()))
    assert bare.skull == ""
    assert bare.ring == pytest.approx(1, abs=0.05)
    assert bare.litres == pytest.approx(4 / 3 * np.pi * 0.7 * 0.9 * 0.5, rel=0.05)
    assert bare.around == 0
    assert "a ring below its surface has 8% of the intensity inside" in whole.skull
    assert (bare.background, whole.background) == (0, 0)


@pytest.mark.parametrize("codes", ["RAS", "PIR", "ASL", "LPS"])
def test_how_a_head_is_stored_makes_no_difference(codes: str) -> None:
    for data in (stripped(), head()):
        turned = reoriented(data, LPS, codes)
        other = SkullEvidence.of(volume(turned.get_fdata(), turned.affine))
        ours = SkullEvidence.of(volume(data))
        assert other.skull == ours.skull
        assert other.ring == pytest.approx(ours.ring, rel=0.05)


def test_one_slice_of_a_head_has_a_skull_too() -> None:
    assert SkullEvidence.of(volume(head()[:, :, 12:13])).skull
    assert not SkullEvidence.of(volume(stripped()[:, :, 12:13])).skull


def test_noise_around_it_is_no_background() -> None:
    noisy = head() + np.random.default_rng(1).rayleigh(3, SHAPE)
    evidence = SkullEvidence.of(volume(noisy))
    assert evidence.background is None
    assert evidence.skull == (
        "has its skull or noise around it (what surrounds it is not one value, as around a stripped brain)"
    )


def test_noise_within_a_border_of_one_value_is_none_either() -> None:
    noisy = stripped() + np.random.default_rng(1).rayleigh(3, SHAPE).astype(np.float32)
    noisy[[0, 1, -1, -2]] = noisy[:, [0, 1, -1, -2]] = 0
    assert "what surrounds it is not one value" in SkullEvidence.of(volume(noisy)).skull


def test_more_tissue_than_a_brain_is_a_head() -> None:
    large = volume(stripped() > 0, LPS @ np.diag([1.3, 1.3, 1.3, 1.0]))
    assert SkullEvidence.of(large).skull == "has its skull (its tissue takes 2.9 l, more than a brain does)"


@pytest.mark.parametrize("background", [-1024.0, -0.25, 64.0])
def test_a_background_of_another_value_is_taken_off(background: float) -> None:
    image = volume(stripped() + np.float32(background))
    evidence = SkullEvidence.of(image)
    assert (evidence.background, evidence.skull) == (background, "")
    alone = brain_alone(image, evidence)
    np.testing.assert_array_equal(alone.brain, ellipsoid())
    np.testing.assert_allclose(alone.data, stripped(), atol=1e-4)


def resampled() -> NDArray[np.float32]:
    """The stripped brain, shifted by parts of a voxel with a cubic spline."""
    return np.asarray(ndimage.shift(stripped(), (0.3, -0.2, 0), order=3), dtype=np.float32)


@pytest.mark.parametrize("clipped", [False, True])
@pytest.mark.parametrize("background", [0.0, 500.0])
def test_a_resampled_brain_is_the_brain_and_what_lies_around_it_is_told(
    background: float, *, clipped: bool
) -> None:
    image = volume((resampled().clip(0) if clipped else resampled()) + np.float32(background))
    alone, evidence = stripped_brain(image)
    assert np.count_nonzero(alone.brain) == pytest.approx(np.count_nonzero(ellipsoid()), rel=0.05)
    assert not alone.brain[ndimage.distance_transform_edt(~ellipsoid(), sampling=MM) > 5].any()
    np.testing.assert_allclose(alone.data[alone.brain], resampled()[alone.brain], atol=1e-3)
    assert not alone.data[within(image, evidence) == 0].any()
    assert evidence.warnings == (
        f"small values around the brain (within {evidence.small:.3g} of its background of {background:g}, as "
        "resampling leaves them) were taken for background and left as they are",
    )
    assert SkullEvidence.of(volume(stripped())).warnings == ()


def test_a_resampled_head_has_its_skull() -> None:
    whole = ndimage.shift(head(), (0.3, -0.2, 0), order=3)
    for data in (whole, whole.clip(0)):
        with pytest.raises(InputError, match=r"^the array: has its skull \(a ring below its surface has"):
            stripped_brain(volume(data))


def test_a_mask_decides_alone_what_is_brain() -> None:
    image = volume(resampled())
    alone = brain_alone(image, SkullEvidence.of(image), ellipsoid(4))
    np.testing.assert_array_equal(alone.data, np.where(ellipsoid(4), resampled(), 0))


def test_a_brain_without_background_is_not_called_a_head() -> None:
    filled = volume(stripped()[30:70, 40:80, 8:16])
    assert SkullEvidence.of(filled).fault.startswith("its brain reaches every border of the image; expected")
    with pytest.raises(InputError, match=r"^the array: its brain reaches every border"):
        stripped_brain(filled)


def test_where_the_image_ends_is_no_surface_of_the_brain() -> None:
    """Half a brain, whose dark ventricles lie beside the border of the image."""
    data = stripped()
    data[44:56, 30:90, 8:16] *= 0.1
    half = volume(data[50:])
    assert SkullEvidence.of(half).skull == ""


def test_a_scored_brain_is_called_so_and_not_a_head() -> None:
    inside = ellipsoid()
    with pytest.raises(InputError, match=r"^the array: 50% of its voxels that are not 0 are negative \(z-s"):
        stripped_brain(volume(np.where(inside, (stripped() - 100) / 15, 0)))


def test_a_small_or_an_empty_image_shows_no_skull() -> None:
    """Nothing is 25 mm below its surface, and nothing is there at all."""
    small = volume(stripped()[::8, ::8, ::4])
    assert np.isnan(SkullEvidence.of(small).ring)
    assert not SkullEvidence.of(small).skull
    wide = SkullEvidence.of(volume(stripped()[::8, ::8, ::4], np.diag([20.0, 20, 20, 1])))
    assert np.isnan(wide.ring)  # its voxels are larger than the ring is thick
    below = SkullEvidence.of(volume(-stripped()))
    assert (below.skull, below.litres) == ("", 0)


def test_dark_tumours_and_holes_are_no_skull() -> None:
    data = stripped()
    data[25:60, 20:60, 6:18] = 0  # a resection that opens to the surface
    assert not SkullEvidence.of(volume(data)).skull
    shrunken = ndimage.binary_erosion(ellipsoid(), np.ones((5, 5, 1), dtype=np.bool_))
    data = np.where(shrunken, stripped(), 0.2 * stripped())  # in 4 to 6 mm of liquid
    assert not SkullEvidence.of(volume(data)).skull


def test_the_brain_alone_is_what_the_mask_says() -> None:
    whole = volume(head())
    alone = brain_alone(whole, SkullEvidence.of(whole), ellipsoid())
    np.testing.assert_array_equal(alone.data, stripped())
    assert alone.affine is whole.affine


def test_upright_is_to_the_right_to_the_front_and_upwards() -> None:
    data = np.zeros((3, 4, 5))
    data[0, 1, 4] = 1  # LPS: the patient's right, second from the front, top
    image = volume(data, LPS)
    there = upright(data, image)
    assert there.shape == (5, 4, 3)
    assert there[4, 2, 2] == 1
    np.testing.assert_array_equal(stored(there, image), data)
    turned = replace(image, affine=image.affine[:, [2, 0, 1, 3]])  # I is z, J is x, K is y
    assert upright_mm(turned) == (5, 2, 2)
    np.testing.assert_array_equal(stored(upright(data, turned), turned), data)


@pytest.mark.real_data
def test_real_brains_have_no_skull_and_a_real_head_has(real_data: Path) -> None:
    images = sorted((real_data / "volumes").rglob("*[fF][lL][aA][iI][rR].nii.gz"))
    images += sorted((real_data / "lgg").glob("sub-*/anat/*_FLAIR.nii.gz"))[::11]
    assert len(images) == 16
    for path in images:
        evidence = SkullEvidence.of(read_volume(path))
        if "head" in path.name:
            assert evidence.ring < DARKEST / 2
            assert evidence.litres > 3
        else:
            assert evidence.skull == "", path
            assert evidence.ring > 1.2 * DARKEST, path


@pytest.mark.real_data
def test_a_real_head_is_one_with_thick_slices_noise_and_without_its_neck(real_data: Path) -> None:
    whole = read_volume(real_data / "volumes/heads/whole_head_FLAIR.nii.gz")
    rng = np.random.default_rng(0)
    noisy = np.hypot(whole.data + rng.normal(0, 4, whole.data.shape), rng.normal(0, 4, whole.data.shape))
    for data, affine in (
        (whole.data[:, :, ::5], whole.affine @ np.diag([1, 1, 5, 1])),
        (whole.data[:, :, 60:], whole.affine),
        (whole.data[:, :, 90:91], whole.affine),
        (noisy, whole.affine),
    ):
        assert SkullEvidence.of(volume(data, affine)).skull
