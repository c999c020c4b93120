from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from pseudohealthy.errors import InputError
from pseudohealthy.evaluation.ms_ssim import ssim_map
from pseudohealthy.evaluation.slice_set import SliceSet
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


def case() -> tuple[NDArray[np.float64], SliceSet]:
    """Constant truth 0.4; the lesion adds 0.3; the output leaves 0.1 of it and 0.02 everywhere else."""
    lesions, brains = point(size=41)
    lesions[0, 18:23, 18:23] = True
    truth = np.full(lesions.shape, 0.4)
    images = np.where(brains, truth + 0.3 * lesions, 0)
    return np.where(lesions, 0.5, 0.42), SliceSet(images, lesions, np.array(["a", "a"]), truth=truth)


def test_errors_by_hand() -> None:
    found = volume_truth(*case())
    assert found["inside.mae"] == pytest.approx(0.1)
    assert found["inside.psnr"] == pytest.approx(20.0)
    assert [found["rim.mae"], found["outside.mae"]] == pytest.approx([0.02, 0.02])
    assert found["rim.psnr"] == pytest.approx(-20 * np.log10(0.02))
    assert found["mae_ratio"] == pytest.approx(0.1 / 0.3)


def test_the_rim_is_in_mm() -> None:
    """At 2.5 mm a pixel it is two pixels wide: an error three pixels away is outside it."""
    outputs, slices = case()
    outputs[0, 20, 26] = 0.9
    errors = [volume_truth(outputs, replace(slices, spacing=(mm, mm)))["rim.mae"] for mm in (1.0, 2.5)]
    assert errors[0] > 0.021
    assert errors[1] == pytest.approx(0.02)


def test_ssim_is_the_local_map_averaged_over_the_region() -> None:
    outputs, slices = case()
    found = volume_truth(outputs, slices)
    local = ssim_map(outputs, slices.required("truth"))
    for name, part in regions(slices.masks, slices.brains, SPACING).items():
        assert found[f"{name}.ssim"] == pytest.approx(local[part].mean(), abs=1e-12)
    # Beyond the reach of the window from the lesion both images are constant: luminance alone.
    luminance = (2 * 0.42 * 0.4 + C1) / (0.42**2 + 0.4**2 + C1)
    assert local[0, 0, 0] == pytest.approx(luminance, abs=1e-9)
    assert found["inside.ssim"] < found["rim.ssim"] < found["outside.ssim"] < 1


def test_a_copy_has_ratio_1_and_the_truth_0() -> None:
    _, slices = case()
    copied = volume_truth(slices.images, slices)
    perfect = volume_truth(slices.required("truth"), slices)
    assert copied["mae_ratio"] == 1.0
    assert perfect["mae_ratio"] == 0.0
    assert perfect["inside.ssim"] == pytest.approx(1.0)
    assert perfect["inside.psnr"] == 100.0


def test_regions_are_pooled_over_slices() -> None:
    outputs, slices = case()
    slices.masks[1, 20, 20] = True
    outputs[1, 20, 20] = 1.0
    found = volume_truth(outputs, slices)
    assert found["inside.mae"] == pytest.approx((25 * 0.1 + 0.6) / 26)


def test_what_cannot_be_measured_is_nan() -> None:
    outputs, slices = case()
    all_lesion = replace(slices, images=slices.required("truth") * slices.masks)
    found = volume_truth(outputs, all_lesion)
    assert np.isnan(
        [found["rim.mae"], found["outside.psnr"], found["outside.ssim"], found["mae_ratio"]]
    ).all()


def test_without_a_truth_there_is_no_error() -> None:
    outputs, slices = case()
    with pytest.raises(InputError, match="truth is not known"):
        volume_truth(outputs, replace(slices, truth=None))
