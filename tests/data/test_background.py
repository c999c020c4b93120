"""What surrounds a brain is known for what it is, and a brain resampled is found as it was before."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from fixtures.brains import brain
from pseudohealthy.data.background import Background, outside
from pseudohealthy.data.volume import read_volume

Array = NDArray[np.float32]
SHIFT = (0.0, 0.31, -0.27)


def upright(background: float = 0) -> Array:
    """The tiny cohort's brain, (20, 64, 48), of 100 to 200 above a background."""
    return (brain().T + background).astype(np.float32)


def look(x: NDArray[Any]) -> Background:
    x = np.asarray(x, dtype=np.float32)
    return Background.of(x, x)


def lanczos(x: Array) -> NDArray[np.float64]:
    """Shifted by 0.37 of a voxel across, with a kernel of three lobes."""
    at = np.arange(-2, 4)
    kernel = np.sinc(at - 0.37) * np.sinc((at - 0.37) / 3)
    return np.asarray(ndimage.correlate1d(x.astype(float), kernel / kernel.sum(), axis=2, origin=-1))


RESAMPLED: dict[str, Callable[[Array], NDArray[Any]]] = {
    "spline 3": lambda x: ndimage.shift(x, SHIFT, order=3),
    "spline 5": lambda x: ndimage.shift(x, SHIFT, order=5),
    "enlarged": lambda x: ndimage.zoom(x, (1, 1.4, 1.4), order=3),
    "reduced": lambda x: ndimage.zoom(x, (1, 0.7, 0.7), order=5),
    "Lanczos": lanczos,
}
STORED: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "as it is": lambda x: x,
    "clipped": lambda x: x.clip(0),
    "whole numbers": np.rint,
    "clipped whole numbers": lambda x: np.rint(x.clip(0)),
}


@pytest.mark.parametrize("value", [0.0, 7.0, -1000.0])
def test_one_value_is_the_background(value: float) -> None:
    assert look(upright(value)) == Background(value)


def test_an_interpolation_without_lobes_leaves_one_value_too() -> None:
    assert look(ndimage.shift(upright(), SHIFT, order=1)) == Background(0)


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("kernel", RESAMPLED)
def test_what_resampling_leaves_is_no_brain(kernel: str, stored: str) -> None:
    x = STORED[stored](RESAMPLED[kernel](upright()))
    share = x.size / upright().size
    found = look(x)
    assert found.value == pytest.approx(0, abs=0.1)
    assert (0 < found.small < 11, found.fault) == (True, "")
    inside = ~outside(x - found.value, found.small) & (x > 0)
    assert np.count_nonzero(inside) == pytest.approx(share * np.count_nonzero(upright()), rel=0.07)
    scale = (1, x.shape[1] / 64, x.shape[2] / 48)
    there = ndimage.zoom((upright() > 0).astype(np.float32), scale, order=1) > 0.5
    mm = [1 / each for each in scale]
    assert not inside[ndimage.distance_transform_edt(~there, sampling=mm) > 5].any()


def test_a_sinc_without_end_is_found_too() -> None:
    x = np.fft.ifftn(ndimage.fourier_shift(np.fft.fftn(upright()), SHIFT)).real
    found = look(x)
    assert (found.value, found.fault) == (0, "")
    inside = ~outside(x, found.small) & (x > 0)
    assert np.count_nonzero(inside) < 1.12 * np.count_nonzero(upright())
    assert np.count_nonzero(x > 0) > 2 * np.count_nonzero(upright())


def test_small_values_on_another_background_are_found_too() -> None:
    found = look(ndimage.shift(upright(1000), SHIFT, order=3, mode="nearest"))
    assert found.value == pytest.approx(1000, abs=0.01)
    assert 0 < found.small < 11


def test_dark_liquid_in_the_brain_is_not_outside_it() -> None:
    x = upright()
    x[8:12, 28:36, 20:28] = 1  # ventricles
    x[:, 0, :] = 3
    reached = outside(x, 5)
    np.testing.assert_array_equal(reached, upright() == 0)


@pytest.mark.parametrize("deviation", [1.0, 3.0, 10.0])
def test_noise_is_no_background(deviation: float) -> None:
    rng = np.random.default_rng(0)
    x = np.hypot(*(part + rng.normal(0, deviation, upright().shape) for part in (upright(), 0)))
    assert look(x) == Background(None)


def test_faint_noise_in_whole_numbers_is_not_called_a_second_background() -> None:
    noise = np.random.default_rng(0).rayleigh(0.6, upright().shape)
    assert not look(np.rint(np.where(upright() > 0, upright(), noise))).fault


def test_a_few_values_far_from_the_brain_are_not_around_it() -> None:
    x = upright()
    x[:, :3, :3] = -0.5
    assert look(x) == Background(0)


def z_scored(background: float) -> Array:
    inside = upright() > 0
    tissue = upright()[inside]
    scored = (upright() - tissue.mean()) / tissue.std()
    return np.where(inside, scored, background).astype(np.float32)


def padded(value: float, to: float = 0) -> Array:
    return np.pad(np.where(upright() > 0, upright(), to), ((0, 0), (8, 8), (8, 8)), constant_values=value)


def cornered() -> Array:
    x = padded(0)
    x[:, :20, :10] = x[:, -15:, -12:] = -1000
    return x


FAULTS = {
    "49% of its voxels that are not 0 are negative (z-scored?)": z_scored(0),
    "18% of its voxels that are not -1 are below its background of -1 (z-scored?)": z_scored(-1),
    "its tissue is darker than its background of 250 (inverted?)": 250 - upright(),
    "its tissue is darker than its background of 0 (inverted?)": -upright(),
    "two values, -1000 and 0, surround its brain (padded?)": padded(-1000),
    "two values, 255 and 0, surround its brain (padded?)": padded(255),
    "two values, 0 and -1000, surround its brain (padded?)": cornered(),
    "two values, 0 and 40, surround its brain (padded?)": padded(0, to=40),
    "its brain reaches every border of the image": upright()[6:14, 20:44, 16:32],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_told_with_their_cause(fault: str) -> None:
    message = look(FAULTS[fault]).fault
    assert message.startswith(fault)
    assert "; expected " in message


def test_a_z_scored_brain_is_one_after_resampling_and_after_cropping_too() -> None:
    for x in (ndimage.shift(z_scored(0), SHIFT, order=3), z_scored(0)[6:14, 20:44, 16:32]):
        assert "(z-scored?)" in look(x).fault


def test_an_image_scored_as_a_whole_is_sound() -> None:
    x = (upright() - upright().mean()) / upright().std()
    assert look(x) == Background(float(x.astype(np.float32).min()))


def test_a_brain_at_some_borders_leaves_a_background() -> None:
    """Most of the border is tissue, the rest is background or what resampling left on it."""
    assert look(upright()[4:16, 20:44, 8:40]) == Background(0)
    found = look(ndimage.shift(upright(), SHIFT, order=3)[4:16, 20:44])
    assert (found.value, found.fault) == (0, "")


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("order", [3, 5])
def test_real_brains_are_found_as_before_resampling(real_data: Path, order: Literal[3, 5]) -> None:
    images = [*sorted((real_data / "lgg").glob("sub-*/anat/*_FLAIR.nii.gz"))[::37]]
    images += (real_data / "volumes").glob("isles2022/rawdata/*/*/*flair.nii.gz")
    assert len(images) == 4
    for path in images:
        x = read_volume(path).data.T
        assert look(x) == Background(0), path
        moved = ndimage.shift(x, SHIFT, order=order)
        for y in (moved, moved.clip(0), np.rint(moved.clip(0))):
            found = look(y)
            inside = ~outside(y, found.small) & (y > 0)
            assert found.small > 0, path
            assert np.count_nonzero(inside) == pytest.approx(np.count_nonzero(x), rel=0.03), path
