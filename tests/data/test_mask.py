"""Masks as people have them: binary, labels, probabilities, interpolated; and what is none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from nibabel.processing import resample_from_to
from numpy.typing import NDArray
from scipy import ndimage

from fixtures.brains import LPS, brain, lesion, reoriented, write
from pseudohealthy.data.mask import in_brain, marked_voxels, mask_on, read_mask
from pseudohealthy.data.volume import Volume, labels_from_image, read_labels, read_volume
from pseudohealthy.errors import InputError

OBLIQUE = np.array([[-0.9, -0.1, 0.2, 12], [0.1, 0.8, -0.5, -30], [-0.05, 0.3, 4.9, 7], [0, 0, 0, 1]])
BLOB = brain() > 0  # an ellipsoid of 17,000 voxels
LESION = lesion() > 0


def cut(
    path: Path, data: NDArray[Any], affine: NDArray[np.float64] = LPS
) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """What is inside the mask of a file, and the warnings."""
    return marked_voxels(read_labels(write(path, data, affine)), "lesion")


def smooth(mask: NDArray[np.bool_], sd: float = 1.5) -> NDArray[np.float64]:
    return np.asarray(ndimage.gaussian_filter(mask.astype(np.float64), sd))


@pytest.mark.parametrize("value", [1, 2, 100, 255])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_a_binary_mask_of_any_value(tmp_path: Path, value: int, dtype: type) -> None:
    found, warnings = cut(tmp_path / "mask.nii.gz", (LESION * value).astype(dtype))
    np.testing.assert_array_equal(found, LESION)
    assert not warnings


def test_an_empty_and_a_full_mask(tmp_path: Path) -> None:
    for value in (0, 1):
        found, warnings = cut(tmp_path / "mask.nii", np.full((4, 5, 6), value, np.uint8))
        assert (found == bool(value)).all()
        assert not warnings


def parcels(step: int = 1) -> NDArray[np.int16]:
    """Forty regions with the numbers of FreeSurfer's cortex, around a core of white matter."""
    rng = np.random.default_rng(0)
    seeds, at = rng.uniform((0, 0, 0), (48, 64, 20), (40, 3)), np.moveaxis(np.indices(BLOB.shape), 0, -1)
    nearest = np.linalg.norm(at[..., None, :] - seeds, axis=-1).argmin(axis=-1)
    numbers = np.where(ndimage.distance_transform_edt(BLOB) > 4, 2, 1001 + rng.permutation(40)[nearest])
    return np.where(BLOB, numbers, 0).astype(np.int16)[::step, ::step, ::step]


def spots() -> NDArray[np.int16]:
    """A hundred lesions of a voxel to a few, numbered."""
    numbers, count = ndimage.label(np.random.default_rng(0).random(BLOB.shape) < 0.05)
    return (
        np.where(numbers <= 100, numbers, 0).astype(np.int16)
        if count >= 100
        else np.zeros((1, 1, 1), np.int16)
    )


def layers(*labels: int) -> NDArray[np.int16]:
    """Labels one inside the other, each two voxels thick: what an interpolated mask may look like."""
    depth = ndimage.distance_transform_edt(BLOB)
    return np.where(BLOB, np.array(labels)[np.minimum(depth // 2, len(labels) - 1).astype(int)], 0).astype(
        np.int16
    )


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(layers(2, 1, 4), id="BraTS"),
        pytest.param(np.random.default_rng(0).integers(0, 5, (6, 7, 5)).astype(np.uint8), id="noise of few"),
        pytest.param(parcels(), id="FreeSurfer"),
        pytest.param(parcels(2), id="FreeSurfer, coarse"),
        pytest.param(spots(), id="a hundred numbered lesions"),
        pytest.param(np.where(LESION, 255, np.where(BLOB, 77, 0)).astype(np.int16), id="callosum"),
        pytest.param(np.where(parcels() > 1020, 100, parcels() % 100).astype(np.int16), id="up to 100"),
    ],
)
def test_labels_are_inside_above_0(tmp_path: Path, labels: NDArray[Any]) -> None:
    for dtype in (labels.dtype, np.float32):
        found, warnings = cut(tmp_path / "dseg.nii.gz", labels.astype(dtype))
        np.testing.assert_array_equal(found, labels > 0)
        assert not warnings


def test_labels_that_were_stored_with_a_scale_are_labels(tmp_path: Path) -> None:
    labels = layers(2, 1, 4)
    image = nibabel.Nifti1Image(labels.astype(np.float32), LPS)
    image.set_data_dtype(np.uint8)  # nibabel then scales: 1 comes back as 1.004
    nibabel.save(image, tmp_path / "seg.nii")
    mask = read_labels(tmp_path / "seg.nii")
    assert 0 < np.abs(mask.data - labels).max() < 0.01
    np.testing.assert_array_equal(marked_voxels(mask, "lesion")[0], labels > 0)


def test_rounding_errors_around_a_binary_mask_are_0(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 1e-6, LESION.shape)
    np.testing.assert_array_equal(cut(tmp_path / "mask.nii", (LESION + noise).astype(np.float32))[0], LESION)


@pytest.mark.parametrize("scale", [1, 100, 255])
@pytest.mark.parametrize("noise", [0, 0.02, 0.2])
def test_probabilities_are_cut_at_one_half_and_that_is_said(tmp_path: Path, scale: int, noise: float) -> None:
    sure = smooth(LESION)
    sure /= sure.max()
    probable = np.where(
        BLOB, np.maximum(sure, np.random.default_rng(0).uniform(1e-5, noise + 1e-4, BLOB.shape)), 0
    )
    found, warnings = cut(tmp_path / "probseg.nii.gz", (scale * probable).astype(np.float32))
    np.testing.assert_array_equal(found, probable > 0.5)
    half = {1: "0.5", 100: "50", 255: "127.5"}[scale]
    assert warnings == (f"the lesion mask probseg.nii.gz holds values between 0 and {scale}: cut at {half}",)
    if scale > 1:  # the same in whole numbers is not taken for labels
        found, again = cut(tmp_path / "probseg.nii.gz", np.rint(scale * probable).astype(np.uint8))
        np.testing.assert_array_equal(found, np.rint(scale * probable) > scale / 2)
        assert again == warnings


def test_probabilities_stored_as_scaled_bytes(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(smooth(BLOB).astype(np.float32), LPS)
    image.set_data_dtype(np.uint8)
    nibabel.save(image, tmp_path / "probseg.nii.gz")
    found, warnings = marked_voxels(read_labels(tmp_path / "probseg.nii.gz"), "brain")
    assert np.count_nonzero(found != (smooth(BLOB) > 0.5)) < 0.02 * BLOB.sum()
    assert warnings[0].startswith("the brain mask probseg.nii.gz holds values between 0 and 1: cut at 0.5")


def test_probabilities_none_of_which_is_above_one_half(tmp_path: Path) -> None:
    found, warnings = cut(tmp_path / "probseg.nii.gz", (0.4 * smooth(LESION)).astype(np.float32))
    assert not found.any()
    assert "cut at 0.5, which leaves nothing (its highest value is 0.3" in warnings[0]
    tiny = cut(tmp_path / "tiny.nii.gz", (0.005 * smooth(LESION)).astype(np.float32))
    assert "leaves nothing" in tiny[1][0]


WAYS = {
    "shifted by half": lambda mask, order: ndimage.shift(mask, 0.5, order=order),
    "shifted by a tenth": lambda mask, order: ndimage.shift(mask, (0.1, 0, 0), order=order),
    "turned": lambda mask, order: ndimage.rotate(mask, 17, reshape=False, order=order),
    "finer": lambda mask, order: ndimage.zoom(mask, 2, order=order, grid_mode=True, mode="grid-constant"),
    "coarser": lambda mask, order: ndimage.zoom(mask, 0.6, order=order),
    "finer through the slices": lambda mask, order: ndimage.zoom(mask, (1, 1, 4), order=order),
}


@pytest.mark.parametrize("scale", [1, 100, 255])
@pytest.mark.parametrize("order", [1, 3, 5])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mask", [LESION, BLOB], ids=["a box", "an ellipsoid"])
def test_interpolated_masks_are_cut_at_one_half(
    tmp_path: Path, mask: NDArray[np.bool_], way: str, order: int, scale: int
) -> None:
    """In floating point with what a spline overshoots; in bytes, clipped."""
    resampled = WAYS[way](mask.astype(np.float64), order) * scale
    path = tmp_path / "mask.nii"
    found, warnings = cut(path, resampled.astype(np.float32))
    np.testing.assert_array_equal(found, resampled.astype(np.float32) > scale / 2)
    assert warnings
    if scale == 1:
        return
    whole = np.clip(np.rint(resampled), 0, scale)
    found, warnings = cut(path, whole.astype(np.uint8))
    np.testing.assert_array_equal(found, whole > scale / 2)
    assert warnings


def z_map() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(0, 1.2, BLOB.shape).astype(np.float32)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(brain(), r"holds 100 values from 100 to 199", id="image in whole numbers"),
        pytest.param((1 + 2 * lesion()) * brain(), r"holds \d+ values from 100 to 59\d", id="brighter"),
        pytest.param(brain() + 0.25 * BLOB, "holds 100 values", id="image with fractions"),
        pytest.param(brain() / 250 + z_map() * BLOB / 99, "as an image does", id="unit"),
        pytest.param(np.where(LESION, 255, brain() * 0.8).astype(np.uint8), "an image", id="bytes"),
        pytest.param(z_map(), r"values from -5\.\d+ to \d.*, some of them negative", id="z-map"),
        pytest.param(np.where(z_map() > 2.3, z_map(), 0), r"values from 2\.3 to", id="thresholded z-map"),
        pytest.param(LESION.astype(np.int16) - BLOB, "holds no values but 0 and -1", id="-1 and 0"),
        pytest.param(2 * LESION.astype(np.int16) - BLOB, "some of them negative", id="-1, 0 and 1"),
        pytest.param(-1.0 * LESION, "holds no values but 0 and -1", id="0 and -1"),
        pytest.param(1 + LESION.astype(np.uint8), r"has no voxel of 0 \(.* from 1 to 2\)", id="1 and 2"),
        pytest.param(ndimage.zoom(4.0 * LESION, 2, order=1), r"values from 0\.\d+ to 4", id="fractions of 4"),
        pytest.param(np.where(BLOB, np.nan, 0), r"\d+ of \d+ voxels are NaN or infinite", id="NaN"),
    ],
)  # fmt: skip
def test_what_is_no_mask_is_refused_in_one_line(tmp_path: Path, data: NDArray[Any], says: str) -> None:
    path = tmp_path / "mask.nii.gz"
    with pytest.raises(InputError, match=rf"^{path}: .*{says}") as caught:
        cut(path, data)
    assert "\n" not in str(caught.value)
    assert "expected" in str(caught.value)


def image(tmp_path: Path) -> Volume:
    return read_volume(write(tmp_path / "scan.nii", brain()))


def test_the_same_voxels_in_another_order_are_used_as_they_are(tmp_path: Path) -> None:
    asymmetric = LESION | (brain() > 180)
    for codes in ("RAS", "LPS", "SAR", "PIR"):
        path = tmp_path / f"{codes}.nii.gz"
        nibabel.save(reoriented(asymmetric.astype(np.uint8), LPS, codes), path)
        mask = read_mask(path, image(tmp_path))
        assert mask.voxels.dtype == np.bool_
        np.testing.assert_array_equal(mask.voxels, asymmetric)
        assert (mask.marked, mask.warnings) == (asymmetric.sum(), ())


def test_a_black_mask_is_a_mask(tmp_path: Path) -> None:
    mask = read_mask(write(tmp_path / "mask.nii", 0 * lesion()), image(tmp_path))
    assert not mask.voxels.any()
    assert not mask.warnings


def test_a_mask_on_another_grid_is_refused_with_what_differs(tmp_path: Path) -> None:
    moved = LPS.copy()
    moved[2, 3] = 2
    for data, affine, says in (
        (lesion()[:, :, :19], LPS, "48 x 64 x 19 voxels, not 48 x 64 x 20"),
        (lesion(), moved, "0 mm to the right, 0 to the front and 2 up"),
    ):
        path = write(tmp_path / "mask.nii", data, affine)
        with pytest.raises(
            InputError, match=rf"mask\.nii: not on the grid of .*scan\.nii \({says}\); expected"
        ):
            read_mask(path, image(tmp_path))


def test_a_mask_is_resampled_as_nibabel_does_after_it_was_cut(tmp_path: Path) -> None:
    shape = (40, 50, 9)
    like = read_volume(write(tmp_path / "scan.nii", np.arange(np.prod(shape)).reshape(shape) % 99.0, OBLIQUE))
    coarse = np.random.default_rng(0).random((12, 13, 9)).astype(np.float32)
    affine = np.diag([-2.0, 2, 2, 1])
    affine[:3, 3] = (5, -22, 20)  # within the image
    mask = read_mask(write(tmp_path / "mask.nii.gz", coarse, affine), like, resample=True)
    binary = nibabel.Nifti1Image((coarse > 0.5).astype(np.uint8), affine)
    oracle = resample_from_to(binary, (shape, like.affine), order=0, mode="grid-constant").get_fdata() > 0
    assert oracle.any()
    assert not oracle.all()
    np.testing.assert_array_equal(mask.voxels, oracle)
    assert [warning[:47] for warning in mask.warnings] == [
        "the lesion mask mask.nii.gz holds values betwee",
        "the lesion mask mask.nii.gz was on another grid",
    ]


def test_a_lesion_between_the_voxels_of_a_coarse_image_is_not_lost(tmp_path: Path) -> None:
    coarse = read_volume(
        write(tmp_path / "coarse.nii", brain()[::4, ::4, ::4], LPS @ np.diag([4.0, 4, 4, 1]))
    )
    spot = np.zeros(LESION.shape, np.uint8)
    spot[17, 18, 9] = 1  # the voxels of the image are 16 and 20, 16 and 20, 8 and 12
    mask = read_mask(write(tmp_path / "spot.nii", spot), coarse, resample=True)
    assert np.argwhere(mask.voxels).tolist() == [[4, 4, 2]]


def test_a_mask_that_lies_partly_outside_the_image_is_told(tmp_path: Path) -> None:
    part = read_volume(write(tmp_path / "part.nii", brain()[:, :, :10]))
    mask = read_mask(write(tmp_path / "mask.nii", lesion()), part, resample=True)
    assert mask.warnings[-1] == "50% of the lesion mask mask.nii lies outside the image"
    np.testing.assert_array_equal(mask.voxels, LESION[:, :, :10])


def test_a_lesion_beside_the_brain_is_told(tmp_path: Path) -> None:
    corner = np.zeros_like(LESION)
    corner[:2, :2] = True
    for marked, says in (
        (corner, "none of its 80"),
        (corner | (LESION & (np.indices(LESION.shape)[2] == 8)), "only 38% of its 128"),
    ):
        mask = read_mask(write(tmp_path / "mask.nii", marked.astype(np.uint8)), image(tmp_path))
        assert in_brain(mask, BLOB) == (
            f"the lesion mask mask.nii has {says} voxels in the brain; check that it belongs to this image",
        )
    for data in (lesion(), 0 * lesion()):
        assert not in_brain(read_mask(write(tmp_path / "mask.nii", data), image(tmp_path)), BLOB)


def without_orientation(path: Path, data: NDArray[Any]) -> Path:
    """A file whose header tells no orientation."""
    nibabel.save(nibabel.Nifti1Image(data, None), path)
    return path


def test_a_header_that_leaves_the_mask_s_place_in_doubt_is_told(tmp_path: Path) -> None:
    mask = without_orientation(tmp_path / "mask.nii", lesion())
    file = read_labels(mask)
    placed = read_volume(write(tmp_path / "scan.nii", brain(), file.affine))
    doubt = "the lesion mask mask.nii: its header tells no orientation"
    assert [warning[: len(doubt)] for warning in read_mask(mask, placed).warnings] == [doubt]
    as_doubtful = read_volume(without_orientation(tmp_path / "doubtful.nii", brain()))
    assert as_doubtful.warnings == file.warnings
    assert not read_mask(mask, as_doubtful).warnings  # said of the image already


def test_a_mask_without_a_file_is_called_a_mask(tmp_path: Path) -> None:
    half = nibabel.Nifti1Image(0.7 * lesion().astype(np.float32) + 0.1, LPS)
    mask = mask_on(labels_from_image(half), image(tmp_path), "lesion")
    assert mask.warnings == ("the lesion mask holds values between 0 and 1: cut at 0.5",)


@pytest.mark.real_data
def test_real_masks_lie_on_their_images(real_data: Path) -> None:
    case = real_data / "volumes" / "brats2018" / "HGG" / "Brats18_CBICA_AOO_1"
    image = read_volume(case / "Brats18_CBICA_AOO_1_flair.nii.gz")
    lesion = read_mask(case / "Brats18_CBICA_AOO_1_seg.nii.gz", image).voxels
    assert image.data[lesion].mean() > image.data[image.brain].mean()


@pytest.mark.real_data
def test_a_real_mask_on_another_grid_is_resampled(real_data: Path) -> None:
    """The stroke's size in mm3 stays, and it stays in the brain."""
    stroke = real_data / "volumes" / "isles2022"
    image = read_volume(next(stroke.rglob("*_flair.nii.gz")))
    path = next(stroke.rglob("*_msk.nii.gz"))
    with pytest.raises(InputError, match="expected the same"):
        read_mask(path, image)
    lesion = read_mask(path, image, resample=True).voxels
    mask = nibabel.load(path)
    before = np.count_nonzero(mask.get_fdata()) * np.prod(mask.header.get_zooms())
    assert lesion.sum() * np.prod(image.spacing) == pytest.approx(before, rel=0.1)
    assert image.brain[lesion].mean() > 0.95


@pytest.mark.slow
@pytest.mark.real_data
def test_real_images_are_no_masks_on_any_scale(real_data: Path) -> None:
    paths = [p for p in sorted((real_data / "volumes").rglob("*.nii.gz")) if "flair" in p.name.lower()]
    paths += sorted((real_data / "lgg").rglob("sub-CS*_FLAIR.nii.gz"))[:2]
    for path in paths:
        volume = read_volume(path)
        top = np.percentile(volume.data, 99.9)
        for data in (volume.data, volume.data / top, np.rint(np.clip(volume.data / top, 0, 1) * 255)):
            with pytest.raises(InputError, match="expected a mask"):
                marked_voxels(Volume(data.astype(np.float32), volume.affine, None, data.shape, path), "brain")
