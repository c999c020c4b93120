"""Where lesions are drawn, and where masks of other patients are put."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from fixtures.brains import ellipse
from pseudohealthy.data.volume import Volume
from pseudohealthy.errors import InputError
from pseudohealthy.synthesis.lesion_placement import (
    FITS,
    LEAST_VOLUME,
    SURFACE_MM,
    Tissue,
    drawn_mask,
    placed_mask,
)

SHAPE = (48, 60, 36)
MM = 3.0
BRAIN = ellipse(SHAPE, (22, 28, 16))
VENTRICLE = ellipse(SHAPE, (5, 9, 5), (23.5, 29.5, 17.5))
Mask = NDArray[np.bool_]


def volume(brain: Mask = BRAIN, mm: float = MM) -> Volume:
    """A brain of one brightness with a dark ventricle, RAS."""
    data = np.where(VENTRICLE, 20, 100) if brain.shape == SHAPE else np.full(brain.shape, 100)
    affine = np.diag([mm, mm, mm, 1.0])
    affine[:3, 3] = -mm * (np.array(brain.shape) - 1) / 2
    return Volume(np.where(brain, data, 0).astype(np.float32), affine, None, brain.shape, None)


@pytest.fixture(scope="module")
def tissue() -> Tissue:
    return Tissue.of(volume())


def test_tissue_is_deep_bright_and_in_large_slices(tissue: Tissue) -> None:
    depth = ndimage.distance_transform_edt(BRAIN, sampling=MM)
    assert depth[tissue.inside].min() >= SURFACE_MM
    assert not (tissue.inside & VENTRICLE).any()
    area = np.count_nonzero(BRAIN, axis=(0, 1))
    large = 2 * area >= area.max()
    assert np.array_equal(tissue.inside.any(axis=(0, 1)), large)
    assert tissue.midline == 0
    assert tissue.ml == pytest.approx(tissue.inside.sum() * 0.027)


def test_a_brain_without_tissue_is_refused() -> None:
    with pytest.raises(InputError, match="too small to hold a lesion"):
        Tissue.of(volume(ellipse((9, 9, 9), (2, 2, 2)), 1.0))


@pytest.mark.parametrize("ml", [2.0, 10.0, 60.0])
def test_a_drawn_mask_has_its_volume_in_one_piece_of_one_hemisphere(tissue: Tissue, ml: float) -> None:
    mask = drawn_mask(tissue, np.random.default_rng(1), ml)
    assert LEAST_VOLUME * ml * 0.99 <= mask.sum() * tissue.voxel_ml <= 1.2 * ml
    assert not (mask & ~tissue.inside).any()
    assert ndimage.label(mask, np.ones((3, 3, 3)))[1] == 1
    assert mask[:24].any() != mask[24:].any()


def test_the_seed_decides_shape_and_place(tissue: Tissue) -> None:
    one, again, other = (drawn_mask(tissue, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert np.array_equal(one, again)
    assert (one & other).sum() < 0.5 * min(one.sum(), other.sum())


def test_drawn_volumes_vary_within_their_range(tissue: Tissue) -> None:
    found = [drawn_mask(tissue, np.random.default_rng(seed)).sum() * tissue.voxel_ml for seed in range(12)]
    assert min(found) >= 9
    assert max(found) <= min(110, 0.12 * tissue.ml)
    assert max(found) > 2 * min(found)


def test_a_lesion_larger_than_the_tissue_is_refused(tissue: Tissue) -> None:
    with pytest.raises(InputError, match=r"no place for a lesion of 5000 ml; its tissue is \d+ ml"):
        drawn_mask(tissue, np.random.default_rng(0), 5000)


def test_no_lesion_grows_across_a_cleft() -> None:
    cut = volume()
    cut.data[:, :, 20] = np.where(BRAIN[:, :, 20], 40, 0)  # too thin to be fluid
    tissue = Tissue.of(cut)
    assert tissue.inside[:, :, 20].any()
    assert not tissue.solid[:, :, 20].any()
    for seed in range(5):
        mask = drawn_mask(tissue, np.random.default_rng(seed), 30)
        assert not (mask[:, :, :20].any() and mask[:, :, 21:].any())


def test_a_single_slice_gets_a_lesion(tissue: Tissue) -> None:
    tissue = Tissue.of(volume(ellipse((160, 180, 1), (60, 80, 1)), 1.0))
    mask = drawn_mask(tissue, np.random.default_rng(0))
    assert 0.02 * tissue.inside.sum() < mask.sum() <= 0.11 * tissue.inside.sum()
    assert not (mask & ~tissue.inside).any()


@pytest.mark.parametrize("mm", [1.5, 3.0, 5.0])
def test_a_mask_of_another_grid_keeps_its_size_in_mm(tissue: Tissue, mm: float) -> None:
    given = ellipse((31, 31, 31), np.array([18, 12, 9]) / mm)
    affine = np.diag([-mm, mm, mm, 1.0])
    placed = placed_mask(tissue, given, affine, np.random.default_rng(0))
    assert placed is not None
    assert not (placed & ~tissue.inside).any()
    assert placed.sum() * 0.027 == pytest.approx(given.sum() * mm**3 / 1000, rel=0.25)
    lengths = [MM * np.ptp(np.argwhere(placed)[:, axis]) + MM for axis in range(3)]
    assert lengths == pytest.approx([36, 24, 18], abs=2 * MM)


def test_a_mask_is_mirrored_or_not_and_never_turned(tissue: Tissue) -> None:
    given = np.zeros((12, 12, 6), dtype=np.bool_)
    given[2:10, 2:4, 2:5] = given[2:4, 2:10, 2:5] = True  # an L, whose mirror image is another shape
    shapes = set()
    for seed in range(30):
        placed = placed_mask(tissue, given, tissue.affine, np.random.default_rng(seed))
        assert placed is not None
        if placed.sum() == given.sum():
            shapes.add(placed[ndimage.find_objects(placed.astype(int))[0]].tobytes())
    corner = given[2:10, 2:10, 2:5]
    assert shapes == {corner.tobytes(), corner[::-1].tobytes()}


def test_most_of_a_placed_mask_is_kept(tissue: Tissue) -> None:
    given = ellipse((30, 30, 20), (8, 8, 5))
    for seed in range(5):
        placed = placed_mask(tissue, given, tissue.affine, np.random.default_rng(seed))
        assert placed is not None
        assert placed.sum() >= FITS * given.sum()


@pytest.mark.parametrize("given", [np.zeros((5, 5, 5), np.bool_), np.ones((60, 60, 60), np.bool_)])
def test_an_empty_mask_and_one_larger_than_the_brain_fit_nowhere(tissue: Tissue, given: Mask) -> None:
    assert placed_mask(tissue, given, tissue.affine, np.random.default_rng(0)) is None
