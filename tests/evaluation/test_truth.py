from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pseudohealthy.evaluation.ms_ssim import ssim_map
from pseudohealthy.evaluation.truth import regions, rim, volume_truth

Mask = NDArray[np.bool_]
SPACING = (1.0, 1.0)
C1 = 0.01**2


def point(size: int = 21, slices: int = 2) -> tuple[Mask, Mask]:
    """One lesion pixel in the middle of the first slice; brain everywhere but in the last column."""
    lesions = np.zeros((slices, size, size), dtype=np.bool_)
    lesions[0, size // 2, size // 2] = True
    brains = np.ones_like(lesions)
    brains[..., -1] = False
    return lesions, brains


def test_rim_of_a_point_is_a_disc_of_5_mm() -> None:
    lesions, brains = point()
    found = rim(lesions, brains, SPACING)
    rows, columns = np.ogrid[-10:11, -10:11]
    disc = rows**2 + columns**2 <= 25
    disc[10, 10] = False
    assert np.array_equal(found[0], disc)
    assert found[0].sum() == 80  # 81 points of the lattice lie within radius 5
    assert not found[1].any()  # the next slice has no lesion, hence no rim


def test_rim_knows_the_spacing_of_rows_and_of_columns() -> None:
    lesions, brains = point()
    found = rim(lesions, brains, (2.5, 1.0))[0]
    assert np.flatnonzero(found[:, 10]).tolist() == [8, 9, 11, 12]
    assert np.flatnonzero(found[10]).tolist() == [5, 6, 7, 8, 9, 11, 12, 13, 14, 15]


def test_rim_stays_in_the_brain() -> None:
    lesions, brains = point()
    brains[:, :9] = False
    found = rim(lesions, brains, SPACING)
    assert not found[:, :9].any()
    assert found[0, 9].any()


def test_regions_share_out_the_brain() -> None:
    lesions, brains = point()
    parts = regions(lesions, brains, SPACING)
    assert list(parts) == ["inside", "rim", "outside"]
    assert np.array_equal(sum(part.astype(int) for part in parts.values()), brains.astype(int))


def case() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], Mask, Mask]:
    """Constant truth 0.4; the lesion adds 0.3; the output leaves 0.1 of it and 0.02 everywhere else."""
    lesions, brains = point(size=41)
    lesions[0, 18:23, 18:23] = True
    truth = np.full(lesions.shape, 0.4)
    return np.where(lesions, 0.5, 0.42), truth + 0.3 * lesions, truth, lesions, brains


def test_errors_by_hand() -> None:
    outputs, images, truth, lesions, brains = case()
    found = volume_truth(outputs, images, truth, lesions, brains, spacing=SPACING)
    assert found["inside.mae"] == pytest.approx(0.1)
    assert found["inside.psnr"] == pytest.approx(20.0)
    assert [found["rim.mae"], found["outside.mae"]] == pytest.approx([0.02, 0.02])
    assert found["rim.psnr"] == pytest.approx(-20 * np.log10(0.02))
    assert found["mae_ratio"] == pytest.approx(0.1 / 0.3)


def test_ssim_is_the_local_map_averaged_over_the_region() -> None:
    outputs, images, truth, lesions, brains = case()
    found = volume_truth(outputs, images, truth, lesions, brains, spacing=SPACING)
    local = ssim_map(outputs, truth)
    parts = regions(lesions, brains, SPACING)
    for name, part in parts.items():
        assert found[f"{name}.ssim"] == pytest.approx(local[part].mean(), abs=1e-12)
    # Beyond the reach of the window from the lesion both images are constant: luminance alone.
    luminance = (2 * 0.42 * 0.4 + C1) / (0.42**2 + 0.4**2 + C1)
    assert local[0, 0, 0] == pytest.approx(luminance, abs=1e-9)
    assert found["inside.ssim"] < found["rim.ssim"] < found["outside.ssim"] < 1


def test_a_copy_has_ratio_1_and_the_truth_0() -> None:
    _, images, truth, lesions, brains = case()
    copied = volume_truth(images, images, truth, lesions, brains, spacing=SPACING)
    perfect = volume_truth(truth, images, truth, lesions, brains, spacing=SPACING)
    assert copied["mae_ratio"] == 1.0
    assert perfect["mae_ratio"] == 0.0
    assert perfect["inside.ssim"] == pytest.approx(1.0)
    assert perfect["inside.psnr"] == 100.0


def test_regions_are_pooled_over_slices() -> None:
    outputs, images, truth, lesions, brains = case()
    lesions[1, 20, 20] = True
    outputs[1, 20, 20] = 1.0
    found = volume_truth(outputs, images, truth, lesions, brains, spacing=SPACING)
    assert found["inside.mae"] == pytest.approx((25 * 0.1 + 0.6) / 26)


def test_what_cannot_be_measured_is_nan() -> None:
    outputs, _, truth, lesions, _ = case()
    found = volume_truth(outputs, truth, truth, lesions, lesions, spacing=SPACING)
    assert np.isnan(
        [found["rim.mae"], found["outside.psnr"], found["outside.ssim"], found["mae_ratio"]]
    ).all()
