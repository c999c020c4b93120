"""Texture against loops over pixels, and what is known of it beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from fixtures.brains import box, ellipse, slices
from pseudohealthy.evaluation import controls
from pseudohealthy.evaluation.texture import texture, texture_over_slices, volume_texture

Array = NDArray[Any]
SHAPE = (72, 61)
ENDS = (5, 50)  # columns of the brain's box: its middle is not the field's


def heads(count: int = 3) -> tuple[Array, Array, Array, Array]:
    """Noisy slices of one volume, a lesion on one side whose twin is healthy, brains, and labels."""
    images = slices(count, box(SHAPE, (4, 68), (ENDS[0], ENDS[1] + 1)), widths=(1,)).astype(np.float64)
    masks = np.repeat(box(SHAPE, (12, 40), (7, 26))[None], count, axis=0)
    return images, masks, images > 0, np.array(["a"] * count)


def by_loops(output: Array, mask: Array, brain: Array, ends: int) -> float:
    """Erosion, mirror and gradient pixel by pixel."""
    smooth = gaussian_filter(output, 0.7)
    height, width = output.shape

    def energy(r: int, c: int) -> float:
        return float(
            ((smooth[r + 1, c] - smooth[r - 1, c]) / 2) ** 2
            + ((smooth[r, c + 1] - smooth[r, c - 1]) / 2) ** 2
        )

    disc = [(i, j) for i in range(-3, 4) for j in range(-3, 4) if i**2 + j**2 <= 9]
    inside = [
        (r, c)
        for r in range(4, height - 4)
        for c in range(4, width - 4)
        if all(mask[r + i, c + j] for i, j in disc)
    ]
    twin = [(r, ends - c) for r, c in inside if brain[r, ends - c] and not mask[r, ends - c]]
    assert min(len(inside), len(twin)) >= 150
    return float(np.mean([energy(*at) for at in inside]) / np.mean([energy(*at) for at in twin]))


def test_by_loops_over_pixels() -> None:
    """A lesion over the middle: its twin is what of the mirrored place is free of lesion, and brain."""
    images, masks, brains, volumes = heads()
    masks[1, 20:60, 7:34] = True  # over the middle column, 27.5
    masks[2] = ellipse(SHAPE, (10, 10), centre=(35, 17))
    brains[2, 40:, 40:] = False  # not at the box' end: rows above keep it
    found = texture(images, masks, brains, volumes)
    expected = [by_loops(*each, sum(ENDS)) for each in zip(images, masks, brains, strict=True)]
    assert found == pytest.approx(expected)
    assert len(set(np.round(found, 3))) == 3


def test_the_mirror_is_1_and_a_flat_patch_0_by_construction() -> None:
    images, masks, brains, volumes = heads()
    mirrored = controls.mirror(images, masks, brains, volumes)
    assert texture(mirrored, masks, brains, volumes) == pytest.approx([1] * 3, abs=0.01)
    flat = np.where(masks, 0.4, images)
    assert (texture(flat, masks, brains, volumes) < 1e-6).all()  # the Gaussian's tail
    smooth = np.where(masks, controls.blur(images, (1.0, 1.0)), images)
    assert (texture(smooth, masks, brains, volumes) < 0.2).all()


def test_a_flat_brain_is_0_and_a_flat_twin_alone_is_not_measured() -> None:
    images, masks, brains, volumes = heads(1)
    constant = controls.constant(images, brains, volumes)
    assert texture(constant, masks, brains, volumes).tolist() == [0]
    assert np.isnan(texture(np.where(masks, images, constant), masks, brains, volumes)).all()


def test_healthy_tissue_with_others_masks_is_1() -> None:
    images, masks, brains, volumes = heads(60)
    assert np.median(texture(images, masks, brains, volumes)) == pytest.approx(1, abs=0.05)


def test_a_scale_or_shift_of_intensities_cancels() -> None:
    images, masks, brains, volumes = heads()
    found = texture(images, masks, brains, volumes)
    for other in (images / 7, 0.5 * images + 0.25 * brains):
        assert texture(other, masks, brains, volumes) == pytest.approx(found, rel=1e-6)
    assert texture(images.astype(np.float32), masks, brains, volumes) == pytest.approx(found, rel=1e-4)


def test_an_outline_at_the_border_hardly_counts_and_one_inside_does() -> None:
    images, masks, brains, volumes = heads(1)
    grey = np.where(masks, 0.4, images)
    border, ring = grey.copy(), grey.copy()
    border[0, 12:40, 7] = 1
    ring[0, 18:34, 13] = 1
    assert texture(border, masks, brains, volumes)[0] < 0.01
    assert texture(ring, masks, brains, volumes)[0] > 1


@pytest.mark.parametrize("kind", ["no mask", "too thin", "no brain", "all lesion", "twin is lesion"])
def test_where_a_place_is_too_small_there_is_no_figure(kind: str) -> None:
    images, masks, brains, volumes = heads(2)
    if kind == "no mask":
        masks[0] = False
    elif kind == "too thin":
        masks[0] = False
        masks[0, 10:60, 10:16] = True  # 300 pixels, of which none is 3 px from the border
    elif kind == "no brain":
        brains[:] = False
    elif kind == "all lesion":
        masks[0] = True
    else:
        masks[0] |= masks[0][:, ::-1]
        masks[0, 12:40, 29:49] = True
    found = texture(images, masks, brains, volumes)
    assert np.isnan(found[0])
    assert np.isnan(found[1]) == (kind == "no brain")


@pytest.mark.parametrize(("side", "measured"), [(18, False), (19, True)])
def test_150_pixels_are_enough(side: int, measured: bool) -> None:
    """Eroded by 3 px, 18 x 18 pixels are 12 x 12 = 144; 19 x 19 are 13 x 13 = 169."""
    images, masks, brains, volumes = heads(1)
    masks[:] = False
    masks[0, 20 : 20 + side, 6 : 6 + side] = True
    assert np.isfinite(texture(images, masks, brains, volumes)).tolist() == [measured]


def test_the_mirror_stands_in_the_middle_of_each_volume_s_own_brain() -> None:
    """Both volumes moved apart: each has the figures it has alone."""
    images, masks, brains, _ = heads(4)
    for stack in (images, masks, brains):
        stack[2:] = np.roll(stack[2:], 5, axis=2)
    volumes = np.array(["a", "a", "b", "b"])
    alone = [
        texture(images[rows], masks[rows], brains[rows], volumes[rows]) for rows in (slice(2), slice(2, 4))
    ]
    assert texture(images, masks, brains, volumes) == pytest.approx(np.concatenate(alone))
    order = [2, 0, 3, 1]  # slices of a volume need not be neighbours
    mixed = texture(images[order], masks[order], brains[order], volumes[order])
    assert mixed == pytest.approx(np.concatenate(alone)[order])


def test_a_volume_s_figure_is_the_median_of_its_measured_slices() -> None:
    nan = float("nan")
    table = volume_texture(np.array([0.1, 5.0, 0.3, nan, nan]), ["a", "b", "a", "a", "c"])
    assert list(table.columns) == ["texture"]
    assert table.index.name == "volume"
    assert table["texture"].to_dict() == pytest.approx({"a": 0.2, "b": 5.0, "c": nan}, nan_ok=True)


def test_over_slices_it_is_the_median_of_all_not_of_the_volumes() -> None:
    by_slice = np.array([0.1, 0.2, 0.3, 0.4, 5.0, float("nan")])
    found = texture_over_slices(by_slice, ["a", "a", "a", "a", "b", "c"])
    assert found["median"] == 0.3
    assert found["slices"] == 5
    assert (found["lower_quartile"], found["upper_quartile"]) == (0.2, 0.4)
    assert (found["low"], found["high"]) == (0.25, 5.0)  # a alone, or b alone: a quarter of the draws each
    assert texture_over_slices(by_slice, ["a", "a", "a", "a", "b", "c"]) == found


def test_the_interval_is_of_resampled_volumes() -> None:
    """Of many equal slices of few volumes it is as wide as the volumes lie apart."""
    rng = np.random.default_rng(0)
    centres = rng.uniform(0.5, 1.5, 12)
    labels = np.repeat(np.arange(12), 40)
    by_slice = centres[labels] + 0.001 * rng.standard_normal(len(labels))
    found = texture_over_slices(by_slice, labels)
    draws = [np.median(centres[rng.integers(0, 12, 12)]) for _ in range(20_000)]
    assert (found["low"], found["high"]) == pytest.approx(np.percentile(draws, [2.5, 97.5]), abs=0.03)


def test_one_volume_says_nothing_of_spread_and_none_nothing_at_all() -> None:
    one = texture_over_slices(np.array([0.2, 0.4]), ["a", "a"])
    assert one["median"] == pytest.approx(0.3)
    assert np.isnan([one["low"], one["high"]]).all()
    none = texture_over_slices(np.array([np.nan]), ["a"])
    assert none.pop("slices") == 0
    assert np.isnan(list(none.values())).all()
