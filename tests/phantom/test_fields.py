import nibabel as nib
import numpy as np
import pytest
from scipy.interpolate import BSpline

from pseudohealthy.phantom.fields import EXTENT, START, Frame, smooth_field


def test_a_frame_covers_the_same_space_at_every_spacing() -> None:
    for spacing in (1.0, 2.0, 4.0):
        frame = Frame(spacing)
        corners = frame.affine @ [*(np.array(frame.shape) - 0.5), 1.0]
        np.testing.assert_allclose(corners[:3], START + EXTENT)
        np.testing.assert_allclose(frame.affine @ [-0.5, -0.5, -0.5, 1.0], [*START, 1.0])
        assert nib.orientations.aff2axcodes(frame.affine) == ("R", "A", "S")


def test_axes_are_the_mm_of_voxel_centres() -> None:
    frame = Frame(3.0)
    for number, axis in enumerate(frame.axes):
        index = np.zeros(4)
        index[number], index[3] = 7, 1
        assert axis[7] == pytest.approx((frame.affine @ index)[number])
        assert len(axis) == frame.shape[number]


def test_field_is_a_sum_of_cubic_b_splines() -> None:
    # Oracle: scipy's B-spline basis on the same lattice and the same noise.
    step, axes = 30.0, Frame(6.0).axes
    sizes = [int(length // step) + 4 for length in EXTENT]
    noise = np.random.default_rng(5).standard_normal(sizes, dtype=np.float32)
    bases = [
        BSpline(np.arange(-3, n + 1), np.eye(n), 3)((axis - begin) / step)
        for axis, begin, n in zip(axes, START, sizes, strict=True)
    ]
    expected = np.einsum("abc,xa,yb,zc->xyz", noise, *bases)
    field = smooth_field(np.random.default_rng(5), axes, step)
    np.testing.assert_allclose(field / field.std(), expected / expected.std(), atol=2e-5)


def test_field_has_mean_0_and_sd_1() -> None:
    field = smooth_field(np.random.default_rng(0), Frame(4.0).axes, 8.0)
    assert abs(field.mean()) < 0.05
    assert field.std() == pytest.approx(1.0, abs=0.05)


def test_part_of_the_frame_holds_part_of_the_field() -> None:
    x, y, z = Frame(4.0).axes
    whole = smooth_field(np.random.default_rng(2), (x, y, z), 20.0)
    part = smooth_field(np.random.default_rng(2), (x[5:20], y[:9], z[30:]), 20.0)
    np.testing.assert_allclose(part, whole[5:20, :9, 30:], atol=1e-5)


def test_field_does_not_depend_on_the_spacing() -> None:
    fine = smooth_field(np.random.default_rng(1), Frame(1.0).axes, 25.0)
    coarse = smooth_field(np.random.default_rng(1), Frame(3.0).axes, 25.0)
    centres = fine[1::3, 1::3, 1::3][:58, :72, :56]  # every third voxel lies on a coarse one's centre
    np.testing.assert_allclose(coarse[:58, :72, :56], centres, atol=1e-4)
