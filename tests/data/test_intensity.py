"""The scale of a volume, worked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pseudohealthy.config import Preprocessing
from pseudohealthy.data.intensity import Intensity, saturated_share
from pseudohealthy.data.volume import read_volume
from pseudohealthy.errors import InputError

ALL = Preprocessing()
BRAIN = Preprocessing(clip_region="brain")


def test_ceiling_is_the_percentile_of_all_voxels_or_of_the_brain() -> None:
    data = np.concatenate([np.zeros(1000), np.arange(1, 1001)]).reshape(20, 10, 10)
    # Linear between order statistics: 0.995 * 1999 = 1989.005 of all, 0.995 * 999 = 994.005 of the brain.
    assert Intensity.of(data, ALL).ceiling == pytest.approx(990.005)
    assert Intensity.of(data, BRAIN).ceiling == pytest.approx(995.005)


def test_ceiling_of_the_brain_does_not_depend_on_the_background() -> None:
    brain = np.arange(1.0, 501.0)
    wide = np.concatenate([brain, np.zeros(10_000), -np.ones(20)])
    assert Intensity.of(brain, BRAIN) == Intensity.of(wide, BRAIN)
    assert Intensity.of(brain, ALL) != Intensity.of(wide, ALL)


def test_percentile_is_a_setting() -> None:
    data = np.arange(101.0)
    assert Intensity.of(data, Preprocessing(clip_percentile=90)).ceiling == 90
    assert Intensity.of(data, Preprocessing(clip_percentile=100)).ceiling == 100


@pytest.mark.parametrize("settings", [ALL, BRAIN])
def test_nothing_to_scale_by_is_named(settings: Preprocessing) -> None:
    with pytest.raises(InputError, match=r"^sub-01\.nii: 99\.5 % of its voxels are 0 or less; expected .*"):
        Intensity.of(np.zeros(3), settings, name="sub-01.nii")


def test_a_brain_too_small_for_a_percentile_of_all_voxels_works_with_brain() -> None:
    data = np.zeros(1000)
    data[0] = 7
    with pytest.raises(InputError, match="set clip_region=brain"):
        Intensity.of(data, ALL)
    assert Intensity.of(data, BRAIN).ceiling == 7


def test_normalised_clips_below_0_and_above_the_ceiling() -> None:
    out = Intensity(200.0).normalised(np.array([-16.0, 0.0, 50.0, 200.0, 971.0]))
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, [0, 0, 0.25, 1, 1])


@pytest.mark.parametrize("ceiling", [1e-3, 0.1, 366.9999, 65535.3])
def test_normalised_never_exceeds_1(ceiling: float) -> None:
    out = Intensity(ceiling).normalised(
        np.array([ceiling, np.nextafter(np.float32(ceiling), np.float32(np.inf))])
    )
    np.testing.assert_array_equal(out, [1, 1])


def test_no_difference_gives_the_data_bit_for_bit() -> None:
    rng = np.random.default_rng(0)
    data = rng.normal(100, 200, 5000).astype(np.float32)
    data[:2] = -0.0, 1e-42
    restored = Intensity(180.7).restored(data, np.zeros_like(data))
    np.testing.assert_array_equal(restored.view(np.int32), data.view(np.int32))


def test_what_is_given_stays_and_its_order_in_memory_does_not_count() -> None:
    rng = np.random.default_rng(0)
    data = rng.uniform(-5, 300, (3, 4, 5)).astype(np.float32)
    difference = rng.uniform(-1, 1, data.shape).astype(np.float32) * (rng.random(data.shape) < 0.5)
    intensity, as_read = Intensity.of(data, BRAIN), np.asfortranarray(data)
    before = as_read.copy()
    assert Intensity.of(as_read, BRAIN) == intensity
    np.testing.assert_array_equal(intensity.normalised(as_read), intensity.normalised(data))
    restored = intensity.restored(as_read, difference)
    np.testing.assert_array_equal(restored, intensity.restored(data, np.asfortranarray(difference)))
    np.testing.assert_array_equal(as_read, before)


def test_restored_undoes_normalised() -> None:
    """Whatever the network makes of a voxel within the range returns in the file's units."""
    rng = np.random.default_rng(1)
    intensity = Intensity(731.0)
    data = rng.uniform(0, 731, 1000).astype(np.float32)
    wanted = rng.uniform(0, 1, 1000).astype(np.float32)
    restored = intensity.restored(data, wanted - intensity.normalised(data))
    np.testing.assert_allclose(restored, wanted * 731, atol=2e-4)


def test_a_saturated_lesion_goes_all_the_way_down() -> None:
    intensity = Intensity(100.0)
    data = np.array([400.0, 400.0, 100.0, 60.0, 400.0, 400.0])  # the network sees 1, 1, 1, 0.6, 1, 1
    difference = np.array([-0.75, -1.0, -0.5, 0.2, -0.05, 0.0])
    wanted = [25, 0, 50, 80, 95 + 300 / 2, 400]
    np.testing.assert_allclose(intensity.restored(data, difference), wanted, rtol=1e-6)


def test_healed_tissue_does_not_show_what_a_saturated_lesion_had_above_the_ceiling() -> None:
    lesion = np.random.default_rng(0).uniform(100, 300, 50)
    healed = Intensity(100.0).restored(lesion, np.full(50, -0.4))
    np.testing.assert_allclose(healed, 60, rtol=1e-6)


def test_an_image_whose_background_is_not_0_is_refused() -> None:
    z_scored = np.random.default_rng(0).standard_normal(1000)
    with pytest.raises(InputError, match=r"scan: \d+% of its voxels that are not 0 are negative"):
        Intensity.of(z_scored, BRAIN, name="scan")


def test_what_resampling_leaves_below_0_is_no_normalisation() -> None:
    rng = np.random.default_rng(0)
    data = np.concatenate([rng.uniform(50, 150, 1000), rng.uniform(-14, 0, 4000)])
    assert Intensity.of(data, BRAIN).ceiling == pytest.approx(150, abs=2)


def test_an_overshooting_difference_makes_no_new_negative_voxel() -> None:
    data = np.array([10.0, 0.0, -5.0])
    restored = Intensity(100.0).restored(data, np.array([-0.3, -0.1, -0.1]))
    np.testing.assert_array_equal(restored, [0, 0, -5])


def test_saturated_share() -> None:
    data = np.array([[1.0, 5.0], [5.1, 9.0]])
    assert saturated_share(data, np.array([[True, True], [True, True]]), 5.0) == 0.5
    assert saturated_share(data, np.array([[False, False], [True, True]]), 5.0) == 1.0
    assert saturated_share(data, np.zeros((2, 2), dtype=bool), 5.0) == 0.0


@pytest.mark.real_data
def test_small_negative_values_of_a_real_volume(real_data: Path) -> None:
    volume = read_volume(real_data / "volumes" / "openms" / "patient19" / "FLAIR.nii.gz")
    assert volume.data.min() < -16
    for settings in (ALL, BRAIN):
        out = Intensity.of(volume.data, settings).normalised(volume.data)
        assert out.min() == 0
        assert out.max() == 1
    saturated = saturated_share(volume.data, volume.brain, Intensity.of(volume.data, BRAIN).ceiling)
    assert saturated == pytest.approx(0.005, abs=1e-5)
