"""Canonical slices and back, against markers placed by hand, nibabel and MONAI."""

from __future__ import annotations

import itertools
import warnings
from pathlib import Path
from typing import Any, Literal

import nibabel
import numpy as np
import pytest
from nibabel.affines import apply_affine
from nibabel.processing import resample_from_to
from numpy.typing import NDArray
from scipy import ndimage

from pseudohealthy.config import Preprocessing
from pseudohealthy.data.grid import Grid
from pseudohealthy.data.intensity import Intensity
from pseudohealthy.data.volume import Volume, read_volume, volume_from_array
from pseudohealthy.errors import InputError

SMALL = Preprocessing(slice_shape=(48, 32))
AROUND_BRAIN = Preprocessing(slice_shape=(48, 32), crop_centre="brain")

# Which stored axis runs along x, y, z, and whether each grows to the right, anterior, superior.
ORIENTATIONS = [
    (order, signs)
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


def volume(data: NDArray[Any], affine: NDArray[np.float64]) -> Volume:
    return Volume(data.astype(np.float32), affine, None, data.shape, None)


def laid(of: Volume, settings: Preprocessing = SMALL, *, cover: bool = False) -> Grid:
    return Grid.of(of, settings, of.brain, cover=cover)


def rotation(degrees: tuple[float, float, float]) -> NDArray[np.float64]:
    x, y, z = np.deg2rad(degrees)
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    return np.asarray(about_z @ about_y @ about_x)


def placed(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """(4, 4) of (3, 3) columns, with an origin away from 0."""
    out = np.eye(4)
    out[:3, :3] = affine
    out[:3, 3] = (-11.5, 7.25, 3.0)
    return out


def canonical_affine(of: Volume, grid: Grid) -> NDArray[np.float64]:
    """Pixel (column, row, slice) to mm, through nibabel's own reorientation to LPS."""
    ornt = nibabel.orientations.io_orientation(of.affine)
    to_lps = nibabel.orientations.ornt_transform(ornt, nibabel.orientations.axcodes2ornt("LPS"))
    lps = of.affine @ nibabel.orientations.inv_ornt_aff(to_lps, of.data.shape)
    field = np.diag([grid.columns.step, grid.rows.step, 1.0, 1.0])
    field[:2, 3] = grid.columns.start, grid.rows.start
    return np.asarray(lps @ field)


def blob(shape: tuple[int, int, int], at: tuple[float, float, float], spacing: float) -> NDArray[np.float64]:
    """(Z, H, W), a Gaussian of 4 mm around `at`."""
    axes = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    square = sum(((axis - centre) * spacing / 4) ** 2 for axis, centre in zip(axes, at, strict=True))
    return np.asarray(np.exp(-square / 2))


@pytest.mark.parametrize(("order", "signs"), ORIENTATIONS)
@pytest.mark.parametrize("degrees", [(0, 0, 0), (17, -12, 9)], ids=["straight", "oblique"])
def test_markers_of_every_orientation_land_where_anatomy_says(
    order: tuple[int, int, int], signs: tuple[int, int, int], degrees: tuple[float, float, float]
) -> None:
    size_xyz = (32, 48, 6)  # left to right, back to front, bottom to top: exactly the field
    stored_shape = tuple(size_xyz[order[axis]] for axis in range(3))
    columns = np.zeros((3, 3))
    for axis in range(3):
        columns[order[axis], axis] = signs[order[axis]]
    data = np.random.default_rng(0).normal(50, 10, stored_shape).astype(np.float32)
    markers = {  # x to the right, y to the front, z to the top, in voxels from the left, back, bottom
        101.0: (31, 47, 5),  # right, anterior, superior
        102.0: (31, 47, 0),  # right, anterior, inferior
        103.0: (2, 45, 1),  # left, anterior, inferior
        104.0: (30, 3, 4),  # right, posterior, superior
    }
    for value, xyz in markers.items():
        grown = [n if signs[axis] == 1 else size_xyz[axis] - 1 - n for axis, n in enumerate(xyz)]
        data[tuple(grown[order[axis]] for axis in range(3))] = value

    image = volume(data, placed(rotation(degrees) @ columns))
    grid = laid(image)
    stack = grid.to_canonical(image.data)

    assert stack.shape == grid.shape == (6, 48, 32)
    assert grid.outside == 0
    assert stack[5, 0, 0] == 101
    assert stack[0, 0, 0] == 102
    assert stack[1, 2, 29] == 103
    assert stack[4, 44, 1] == 104
    assert grid.to_stored(stack).tobytes() == image.data.tobytes()


@pytest.mark.parametrize("codes", ["LPS", "RAS", "LAS", "RAI", "PIR", "SAR"])
@pytest.mark.parametrize("shape_lps", [(40, 60, 5), (26, 40, 5), (33, 61, 4), (40, 30, 7)])
def test_same_slices_and_way_back_as_monai(codes: str, shape_lps: tuple[int, int, int]) -> None:
    """Cropped, padded, and one of each; MONAI takes another middle where an odd number is padded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from monai.data import MetaTensor
        from monai.transforms import Compose, Orientation, ResizeWithPadOrCrop
    ornt = nibabel.orientations.axcodes2ornt(codes)
    axes = [int(axis) for axis in ornt[:, 0]]
    data = np.random.default_rng(0).uniform(1, 2, tuple(shape_lps[axis] for axis in axes)).astype(np.float32)
    columns = np.zeros((3, 3))
    columns[axes, range(3)] = ornt[:, 1]
    image = volume(data, placed(columns))
    grid = laid(image)

    labels = (("L", "R"), ("P", "A"), ("I", "S"))
    there = Compose([Orientation("LPS", labels=labels), ResizeWithPadOrCrop((32, 48, shape_lps[2]))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        oracle = there(MetaTensor(data[None], affine=image.affine))
        back = there.inverse(oracle)
    stack = grid.to_canonical(data)
    np.testing.assert_array_equal(stack.transpose(2, 1, 0), oracle.numpy()[0])
    np.testing.assert_array_equal(grid.to_stored(stack), back.numpy()[0])


@pytest.mark.parametrize("spacing", [(0.45, 0.45, 5.0), (0.93, 0.93, 5.0), (1.3, 0.7, 2.0), (1.9, 1.9, 1.9)])
@pytest.mark.parametrize("degrees", [(0, 0, 0), (14, -6, 3)], ids=["straight", "oblique"])
@pytest.mark.parametrize("order", [0, 1])
def test_resampled_pixels_are_those_of_nibabel(
    spacing: tuple[float, float, float], degrees: tuple[float, float, float], order: Literal[0, 1]
) -> None:
    """Nearest on noise; linear on a ramp, which the blur before downsampling leaves as it is."""
    shape = (70, 81, 3)
    if order == 0:
        data = np.random.default_rng(0).normal(100, 10, shape)
    else:
        i, j, k = np.indices(shape)
        data = 100 + 2 * i - 1.5 * j + 7 * k
    image = volume(data, placed(rotation(degrees) @ np.diag(spacing) @ np.diag([-1, 1, 1])))
    grid = laid(image, Preprocessing(slice_shape=(48, 32)))
    stack = grid.to_canonical(image.data, order=order)

    target = canonical_affine(image, grid)
    np.testing.assert_allclose(np.linalg.norm(target[:3, :3], axis=0), (1, 1, spacing[2]), atol=1e-9)
    source = nibabel.Nifti1Image(image.data.astype(np.float64), image.affine)
    oracle = resample_from_to(source, ((32, 48, 3), target), order=order, mode="constant", cval=np.nan)
    expected = np.asarray(oracle.dataobj).transpose(2, 1, 0)
    inner = np.isfinite(expected)
    if order == 1:  # the blur meets the repeated edge at the border
        inner = ndimage.binary_erosion(inner, np.ones((1, 7, 7), dtype=bool))
    assert inner.sum() > 1000
    np.testing.assert_allclose(stack[inner], expected[inner], rtol=0, atol=2e-4)


@pytest.mark.parametrize("spacing", [0.45, 0.93, 1.0, 2.0])
@pytest.mark.parametrize("degrees", [(0, 0, 0), (14, -6, 3)], ids=["straight", "oblique"])
@pytest.mark.parametrize("along", [0, 1, 2])
def test_a_point_keeps_its_place_in_mm_both_ways(
    spacing: float, degrees: tuple[float, float, float], along: int
) -> None:
    """An image of each voxel's own x, y or z in mm becomes a stack of each pixel's own, and comes back."""
    shape = (round(80 / spacing), round(90 / spacing), 3)
    affine = placed(rotation(degrees) @ np.diag([-spacing, spacing, 3]))
    image = volume(apply_affine(affine, np.moveaxis(np.indices(shape), 0, -1))[..., along], affine)
    grid = laid(image)
    stack = grid.to_canonical(image.data)
    pixels = np.moveaxis(np.indices((32, 48, 3)), 0, -1)
    mm = apply_affine(canonical_affine(image, grid), pixels)[..., along]
    np.testing.assert_allclose(stack.transpose(2, 1, 0), mm, rtol=0, atol=1e-3)

    back = grid.to_stored(stack)
    middle = tuple(slice(round(n * 0.4), round(n * 0.6)) for n in shape[:2])
    np.testing.assert_allclose(back[middle], image.data[middle], rtol=0, atol=1e-3)


@pytest.mark.parametrize("spacing", [0.45, 0.93, 2.0])
def test_what_is_smooth_survives_the_way_there_and_back(spacing: float) -> None:
    """MONAI's exact inverse of its own resampling (linear too) sets what can be expected."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from monai.data import MetaTensor
        from monai.transforms import Compose, ResizeWithPadOrCrop, Spacing
    side = round(70 / spacing)
    image = volume_from_array(
        blob((3, side, side), (1.0, side / 2, side / 2), spacing), (3.0, spacing, spacing)
    )
    grid = laid(image, Preprocessing(slice_shape=(96, 80)))
    back = grid.to_stored(grid.to_canonical(image.data))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        there = Compose([Spacing((1.0, 1.0, 3.0), dtype=np.float64), ResizeWithPadOrCrop((80, 96, 3))])
        oracle = there.inverse(there(MetaTensor(image.data[None].copy(), affine=image.affine))).numpy()[0]
    ours, theirs = np.abs(back - image.data).max(), np.abs(oracle - image.data).max()
    assert ours < max(1.5 * theirs, 0.025)
    assert np.abs(back - oracle).max() < 0.05


@pytest.mark.parametrize("spacing", [0.3, 0.45, 0.93, 1.0, 1.7])
def test_a_constant_image_stays_constant_and_0_beyond_its_edge(spacing: float) -> None:
    image = volume(np.full((50, 50, 2), 7.0), placed(np.diag([spacing, spacing, 4])))
    grid = laid(image, Preprocessing(slice_shape=(48, 48)))
    stack = grid.to_canonical(image.data)
    mm = np.arange(48) - 24  # pixel 24 lies on voxel 25, whose edge to either side is the image's half
    inside = (mm >= -25.5 * spacing) & (mm <= 24.5 * spacing)
    expected = np.where(inside[:, None] & inside, np.float32(7), np.float32(0))
    np.testing.assert_allclose(stack, np.broadcast_to(expected, stack.shape), rtol=1e-6)
    stored = grid.to_stored(np.ones(grid.shape, dtype=np.float32))
    np.testing.assert_allclose(stored.max(), 1, rtol=1e-6)
    assert set(np.unique(stored.round(5))) <= {0, 1}


def test_downsampling_does_not_alias() -> None:
    """A pattern finer than a pixel must vanish, not turn into a coarse one that is not there."""
    checks = np.indices((4, 128, 128)).sum(axis=0) % 2 * 2.0 - 1
    image = volume((checks + 10).transpose(2, 1, 0), placed(np.diag([-0.45, -0.45, 5])))
    stack = laid(image, Preprocessing(slice_shape=(32, 32))).to_canonical(image.data)
    assert np.abs(stack[:, 4:-4, 4:-4] - 10).max() < 0.16


def test_slices_are_never_mixed() -> None:
    data = np.random.default_rng(0).uniform(1, 2, (60, 60, 5))
    one, other = volume(data, placed(np.diag([0.8, 0.8, 5]))), data.copy()
    other[:, :, 2] = 9
    grid = laid(one)
    changed = grid.to_canonical(one.data) != grid.to_canonical(other)
    assert changed[2].any()
    assert not changed[[0, 1, 3, 4]].any()


@pytest.mark.parametrize("spacing", [0.7, 1.0])
def test_masks_stay_binary_both_ways(spacing: float) -> None:
    lesion = np.random.default_rng(0).uniform(size=(60, 60, 5)) > 0.7
    image = volume(lesion + 1.0, placed(np.diag([spacing, spacing, 5])))
    grid = laid(image)
    stack = grid.to_canonical(lesion, order=0)
    assert set(np.unique(stack)) == {0, 1}
    assert set(np.unique(grid.to_stored(stack, order=0))) == {0, 1}


def test_field_lies_around_the_image_or_the_brain() -> None:
    stack = np.zeros((3, 100, 90), dtype=np.float32)
    stack[1, 10:50, 60:80] = 1  # rows 10-49, columns 60-79: 40 x 20, which 48 x 32 holds with 4 and 6 around
    image = volume_from_array(stack, (1.0, 1.0, 1.0))
    around_image, around_brain = laid(image, SMALL), laid(image, AROUND_BRAIN)
    assert (around_image.rows.start, around_image.columns.start) == (26, 29)
    assert (around_brain.rows.start, around_brain.columns.start) == (6, 54)
    np.testing.assert_array_equal(around_brain.to_canonical(image.data), stack[:, 6:54, 54:86])
    # rows 26-73 of 10-49 leave 16, columns 29-60 of 60-79 leave 19 of 20
    assert around_image.outside == 40 * 20 - (50 - 26) * 1
    assert around_brain.outside == 0


def test_field_may_reach_beyond_the_image() -> None:
    stack = np.zeros((2, 60, 60), dtype=np.float32)
    stack[:, :10, 50:] = 3
    image = volume_from_array(stack, (1.0, 1.0, 1.0))
    grid = laid(image, AROUND_BRAIN)
    canonical = grid.to_canonical(image.data)
    assert np.count_nonzero(canonical) == 200
    np.testing.assert_array_equal(canonical[:, 19:29, 11:21], 3)
    np.testing.assert_array_equal(grid.to_stored(canonical), image.data)


def test_voxels_beyond_the_field_come_back_as_0_and_the_others_exactly() -> None:
    data = np.random.default_rng(0).uniform(1, 2, (70, 90, 3)).astype(np.float32)
    image = volume(data, placed(np.eye(3)))
    grid = laid(image)
    back = grid.to_stored(grid.to_canonical(data))
    held = np.zeros(data.shape, dtype=bool)
    held[19:51, 21:69] = True  # (70 - 32) / 2 = 19, (90 - 48) / 2 = 21
    np.testing.assert_array_equal(back, np.where(held, data, 0))
    assert grid.outside == np.count_nonzero(~held)


@pytest.mark.parametrize("settings", [SMALL, AROUND_BRAIN])
@pytest.mark.parametrize("spacing", [1.0, 0.6])
def test_cover_grows_the_field_until_it_holds_the_brain(settings: Preprocessing, spacing: float) -> None:
    side = round(120 / spacing)
    stack = np.zeros((2, side, side), dtype=np.float32)
    low, high = round(10 / spacing), round(80 / spacing)
    stack[:, low:high, low:high] = np.random.default_rng(0).uniform(1, 2, (2, high - low, high - low))
    image = volume_from_array(stack, (5.0, spacing, spacing))
    assert laid(image, settings).outside > 0
    grid = laid(image, settings, cover=True)
    assert grid.outside == 0
    # The brain is 70 mm; around the image's middle (60) it reaches 50 mm to one side.
    reach = 100 if settings.crop_centre == "image" else 70
    assert all(side % 16 == 0 and reach <= side < reach + 17 for side in grid.shape[1:])
    if spacing == 1:
        assert grid.to_stored(grid.to_canonical(image.data)).tobytes() == image.data.tobytes()


def test_a_brain_that_no_slice_could_hold_is_refused_before_memory_is_taken_for_it() -> None:
    wide = volume(np.ones((512, 512, 1)), np.diag([2.5, 2.5, 5, 1]))
    with pytest.raises(InputError, match=r"a brain of 1280 mm, at 1 mm a pixel; expected one within 1024"):
        laid(wide, cover=True)


def test_more_slices_than_memory_could_hold_are_refused() -> None:
    thin = volume(np.ones((4, 4, 9000)), np.diag([-1.0, -1.0, 0.02, 1.0]))
    with pytest.raises(InputError, match=r"9000 slices, at 1 mm a pixel of 208 x 160; expected 268 million"):
        laid(thin, Preprocessing())
    assert laid(thin).shape == (9000, 48, 32)


def test_cover_leaves_a_field_that_holds_the_brain() -> None:
    stack = np.zeros((2, 60, 60), dtype=np.float32)
    stack[:, 10:50, 20:40] = 1
    image = volume_from_array(stack, (5.0, 1.0, 1.0))
    assert laid(image, AROUND_BRAIN, cover=True) == laid(image, AROUND_BRAIN)


def test_an_empty_brain_stands_for_the_whole_image() -> None:
    image = volume_from_array(np.linspace(-2, -1, 60 * 50).reshape(60, 50), (1.0, 1.0))
    grid = laid(image, AROUND_BRAIN)
    assert (grid.rows.start, grid.columns.start, grid.outside) == (6, 9, 0)


@pytest.mark.parametrize("spacing", [1.0009, 0.9991])
def test_a_rounded_spacing_is_not_resampled(spacing: float) -> None:
    data = np.random.default_rng(0).uniform(1, 2, (40, 50, 3)).astype(np.float32)
    image = volume(data, placed(np.diag([spacing, spacing, 3])))
    grid = laid(image, SMALL, cover=True)
    assert grid.to_stored(grid.to_canonical(data)).tobytes() == data.tobytes()


def test_only_the_axis_that_needs_it_is_resampled() -> None:
    data = np.zeros((48, 48, 1), dtype=np.float32)
    data[:, 20:28] = 1  # along the second axis (1 mm) an edge that must stay sharp
    image = volume(data, placed(np.diag([0.5, 1, 3])))
    stack = laid(image).to_canonical(data)
    assert set(np.unique(stack[:, :, 10:20].round(6))) == {0, 1}


def test_a_single_slice() -> None:
    plane = np.random.default_rng(0).uniform(1, 2, (48, 32)).astype(np.float32)
    image = volume_from_array(plane, (1.0, 1.0))
    grid = laid(image)
    np.testing.assert_array_equal(grid.to_canonical(image.data), plane[None])
    np.testing.assert_array_equal(grid.to_stored(plane[None]), image.data)


def test_data_of_another_grid_is_refused() -> None:
    grid = laid(volume_from_array(np.eye(40), (1.0, 1.0)))
    with pytest.raises(InputError, match=r"\(40, 40\); expected \(40, 40, 1\)"):
        grid.to_canonical(np.eye(40))
    with pytest.raises(InputError, match=r"\(1, 40, 40\); expected \(1, 48, 32\)"):
        grid.to_stored(np.eye(40)[None])


@pytest.mark.slow
@pytest.mark.real_data
def test_real_volumes_come_back(real_data: Path) -> None:
    """Bit for bit where nothing is resampled or nothing was changed; else within 2 % of the mean."""
    paths = sorted((real_data / "volumes").rglob("*[fF][lL][aA][iI][rR].nii.gz"))
    paths.append(real_data / "lgg" / "sub-FG7634" / "anat" / "sub-FG7634_FLAIR.nii.gz")
    assert len(paths) == 7
    resampled = 0
    for path in paths:
        image = read_volume(path)
        for settings in (Preprocessing(), Preprocessing(crop_centre="brain")):
            grid = Grid.of(image, settings, image.brain, cover=True)
            assert grid.outside == 0
            stack = grid.to_canonical(image.data)
            unchanged = grid.to_stored(np.zeros_like(stack))
            restored = Intensity.of(image.data, settings).restored(image.data, unchanged)
            assert restored.tobytes() == image.data.tobytes()
            back = grid.to_stored(stack)
            if grid.rows.step == grid.columns.step == 1:
                np.testing.assert_array_equal(back[image.brain], image.data[image.brain])
                continue
            resampled += 1
            smooth = grid.to_canonical(grid.to_stored(stack))
            assert np.abs(smooth - stack).mean() < 0.02 * stack[stack > 0].mean()
    assert resampled == 4


@pytest.mark.real_data
def test_slices_of_a_real_brain_stand_upright(real_data: Path) -> None:
    """A brain is widest behind its middle and narrow at the top: rows run back, slices upwards."""
    for path in sorted((real_data / "volumes" / "brats2018").rglob("*_flair.nii.gz")):
        image = read_volume(path)
        grid = Grid.of(image, Preprocessing(crop_centre="brain"), image.brain)
        brain = grid.to_canonical(image.data) > 0
        area = brain.sum(axis=(1, 2))
        assert area[area > 0][-10:].mean() < area[area > 0].mean()
        width = brain[area.argmax()].sum(axis=1)
        assert width.argmax() > np.flatnonzero(width).mean()
