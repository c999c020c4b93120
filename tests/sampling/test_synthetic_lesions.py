"""Synthetic lesions in healthy slices."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from fixtures import brains
from fixtures.brains import Image, Mask, slices
from pseudohealthy.config import settings
from pseudohealthy.errors import InputError
from pseudohealthy.sampling.synthetic_lesions import add_synthetic_lesion, transplant_lesion

SHAPE = (64, 48)


def healthy() -> Image:
    """Tissue of 0.4 with grain, black around it."""
    image: Image = 0.8 * slices(1, brains.box(SHAPE, (8, 56), (6, 42)), widths=(0,), contrast=0.025)[0]
    return image


def box(top: int = 20, left: int = 12) -> Mask:
    return brains.box(SHAPE, (top, top + 14), (left, left + 12))


@pytest.mark.parametrize("seed", range(8))
def test_a_lesion_lies_where_its_mask_says_and_nowhere_else(seed: int) -> None:
    image, mask = add_synthetic_lesion(healthy(), box(), np.random.default_rng(seed))
    assert image.dtype == mask.dtype == np.float32
    assert np.array_equal(mask > 0, box())
    far = ndimage.distance_transform_edt(~box()) > 9
    assert np.allclose(image[far], healthy()[far], atol=1e-6)
    assert 0 <= image.min() <= image.max() <= 1
    inside = ndimage.binary_erosion(box(), iterations=2)
    assert np.abs(image - healthy())[inside].mean() > 0.05


def test_most_lesions_are_bright_and_some_have_a_dark_core() -> None:
    images = [add_synthetic_lesion(healthy(), box(), np.random.default_rng(seed))[0] for seed in range(60)]
    edge = box() & ~ndimage.binary_erosion(box(), iterations=3)
    brighter = [float(np.median(image[edge])) > 0.45 for image in images]
    dark = [float(image[box()].min()) < 0.25 for image in images]
    assert np.mean(brighter) > 0.9
    assert 0.05 < np.mean(dark) < 0.5


def test_the_grain_of_the_scan_stays() -> None:
    image, _ = add_synthetic_lesion(healthy(), box(), np.random.default_rng(1))
    inside = ndimage.binary_erosion(box(), iterations=2)

    def grain(x: Image) -> float:
        return float((x - ndimage.gaussian_filter(x, 1.0))[inside].std())

    assert grain(image) > 0.7 * grain(healthy())


def test_only_the_part_in_the_brain_counts_and_there_may_be_none() -> None:
    image, mask = add_synthetic_lesion(healthy(), box(top=50), np.random.default_rng(0))
    assert np.array_equal(mask > 0, box(top=50) & (healthy() > 0))
    assert not image[healthy() == 0].any()
    image, mask = add_synthetic_lesion(healthy(), box() & False, np.random.default_rng(0))
    assert np.array_equal(image, healthy())
    assert not mask.any()


def with_lesion(mask: Mask, level: float = 0.3) -> Image:
    """A darker slice than `healthy`, of 0.2, with a lesion."""
    return np.where(mask, np.float32(level), healthy() / 2)


@pytest.mark.parametrize("seed", range(8))
def test_a_transplanted_lesion_has_the_look_of_the_donors_and_lies_at_its_place_or_mirrored(
    seed: int,
) -> None:
    image, mask = transplant_lesion(healthy(), with_lesion(box()), box(), np.random.default_rng(seed))
    assert image.dtype == mask.dtype == np.float32
    assert any(np.array_equal(mask > 0, place) for place in (box(), box()[:, ::-1]))
    inside = ndimage.binary_erosion(mask > 0, iterations=5)
    assert np.allclose(image[inside], 0.6, atol=0.12)  # the donor's tissue is half as bright
    far = ndimage.distance_transform_edt(mask == 0) > 11
    assert np.allclose(image[far], healthy()[far], atol=1e-6)
    assert 0 <= image.min() <= image.max() <= 1
    assert not image[healthy() == 0].any()


@pytest.mark.parametrize("seed", range(8))
def test_the_dark_edge_of_the_donors_brain_stays_behind(seed: int) -> None:
    """Inside another brain it would be a furrow that no lesion makes."""
    brain = brains.box(SHAPE, (14, 50), (11, 37))  # smaller than the slice's
    edge = brain & ~ndimage.binary_erosion(brain, iterations=2)
    donor = np.where(brain, with_lesion(box()), 0) * np.where(edge, np.float32(0.1), 1)
    image, mask = transplant_lesion(healthy(), donor, box(), np.random.default_rng(seed))
    assert 0 < mask.sum() < box().sum()
    assert image[healthy() > 0].min() > 0.9 * healthy()[healthy() > 0].min()


def test_a_lesion_is_transplanted_to_either_side() -> None:
    sides = set()
    for seed in range(20):
        _, mask = transplant_lesion(healthy(), with_lesion(box()), box(), np.random.default_rng(seed))
        sides.add(bool(mask[:, : SHAPE[1] // 2].sum() > mask[:, SHAPE[1] // 2 :].sum()))
    assert sides == {True, False}


def test_where_nothing_can_be_transplanted_the_slice_stays_healthy() -> None:
    outside, everywhere = box(top=50) & (healthy() == 0), healthy() > 0
    for lesion in (outside, everywhere):  # not in the brain; and no tissue beside it to compare with
        image, mask = transplant_lesion(healthy(), with_lesion(lesion), lesion, np.random.default_rng(0))
        assert np.array_equal(image, healthy())
        assert not mask.any()


@pytest.mark.parametrize("name", ["painted", "lesion_appearance"])
def test_the_setting_of_their_appearance_is_answered(name: str) -> None:
    with pytest.raises(InputError) as refused:
        settings(overrides=[f"training.{name}=varied"])
    assert str(refused.value) == (
        f"settings: `training.{name}` is gone: synthetic lesions are bright, at times with a dark core; "
        "leave it out"
    )
