"""Volumes in files: NIfTI in, NIfTI out on exactly the same grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from nibabel.orientations import io_orientation
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from pseudohealthy import __version__
from pseudohealthy.data.nifti_file import check_voxels, open_nifti, pixdim, voxels
from pseudohealthy.errors import InputError
from pseudohealthy.files import gzipped, replace

SUFFIXES = (".nii", ".nii.gz")
DESCRIPTION = f"pseudohealthy {__version__}; not for diagnosis"
_IN_MEMORY = "the image"
_PLACE = (  # all of a header that says where voxels lie, and in which units
    *("pixdim", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c", "quatern_d"),
    *("qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z"),
)
_FARTHEST_MM = 1e6  # of the first voxel from the origin
_VOXEL_MM = (0.02, 20.0)  # beyond this the header is in other units, and a field in mm makes no sense
_MOST_MM = 1000.0  # of an image from side to side, since its slices are resampled to pixels of about 1 mm


@dataclass(frozen=True, eq=False)
class Volume:
    """One image and where it lies.

    Attributes:
        data: (I, J, K), float32, finite, in stored order and the file's intensity units; K = 1 for a slice.
        affine: (4, 4), voxel indices to mm, growing to the patient's right, anterior and superior (RAS+).
        header: the file's; None for an array.
        shape: as stored, (I, J), (I, J, K) or with further axes of length 1.
        path: the file; None for an array.
        warnings: what a person should know about where it lies.
    """

    data: NDArray[np.float32]
    affine: NDArray[np.float64]
    header: nibabel.Nifti1Header | None
    shape: tuple[int, ...]
    path: Path | None
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The file, for messages; "the array" or "the image" where it is none."""
        return str(self.path or ("the array" if self.header is None else _IN_MEMORY))

    @property
    def brain(self) -> NDArray[np.bool_]:
        """(I, J, K): voxels above 0, the brain, once skull detection has put it on a background of 0."""
        return self.data > 0

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel size in mm along I, J, K."""
        i, j, k = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(i), float(j), float(k)


def read_volume(path: Path) -> Volume:
    """The image in a NIfTI-1 or -2 file (.nii, .nii.gz, .hdr with .img), scaled as its header says.

    The affine is the sform's, else the qform's, else (no code set) the one nibabel takes from the voxel size.
    The volume warns where no code is set, and where sform and qform place it otherwise.

    Raises:
        InputError: one line for a file that is missing, damaged, not NIfTI, not one 3-D volume of real
            numbers, without contrast, a single slice that is not axial, or whose grid cannot be placed in
            space.
    """
    return _as_image(read_labels(path), path)


def volume_from_array(array: NDArray[Any], spacing: tuple[float, ...]) -> Volume:
    """A volume of a slice (H, W) or stack (Z, H, W) in canonical order.

    Args:
        array: rows anterior to posterior, columns patient's right to left, slices inferior to superior.
        spacing: mm, in the order of the array's axes.

    Raises:
        InputError: not 2-D or 3-D, not finite real numbers, without contrast, a single slice that is not
            axial, or a spacing that is none.
    """
    if array.ndim not in (2, 3) or array.size == 0 or array.dtype.kind not in "buif":
        raise InputError(
            f"an array of shape {array.shape} and type {array.dtype}; expected real numbers of shape (rows, "
            "columns) or (slices, rows, columns)"
        )
    if len(spacing) != array.ndim or not all(_VOXEL_MM[0] <= mm <= _VOXEL_MM[1] for mm in spacing):
        raise InputError(f"spacing is {spacing}; expected {array.ndim} voxel sizes in mm, one for each axis")
    data = _finite(array, "the array")
    if data.min() == data.max():
        raise InputError(f"every value of the array is {data.flat[0]:g}; expected an image")
    stored = data.T if array.ndim == 3 else data.T[:, :, None]
    sizes = np.array([*reversed(spacing), 1.0][:3]) * (-1, -1, 1)  # rows and columns run against NIfTI's RAS+
    affine = np.diag([*sizes, 1.0])
    affine[:3, 3] = -sizes * (np.array(stored.shape) - 1) / 2
    volume = Volume(stored, affine, None, data.T.shape, None)
    _expect_a_head_s_size(volume)
    expect_axial(volume)
    return volume


def mask_from_array(array: NDArray[Any], like: Volume, shape: tuple[int, ...] | None) -> Volume:
    """A mask of numbers that lie as those of `like` do.

    Args:
        array: of the shape of `like`, as stored or as given.
        like: the image that the mask belongs to.
        shape: of the array that `like` was made of by `volume_from_array`; None: it was not.

    Raises:
        InputError: another shape, or not finite real numbers.
    """
    shapes = (like.shape, like.data.shape) if shape is None else (shape,)
    if array.shape not in shapes or array.dtype.kind not in "buif":
        raise InputError(
            f"a mask of shape {array.shape} and type {array.dtype}; expected real numbers of the "
            f"image's shape, {shapes[0]}"
        )
    data = _finite(array, "the mask")
    stored = (data if shape is None else data.T).reshape(like.data.shape)
    return Volume(stored, like.affine, None, like.shape, None)


def write_volume(
    path: Path, data: NDArray[Any], like: Volume, *, mask: bool = False, keep_header_text: bool = False
) -> None:
    """Write `data` on the grid of `like`: its affine, codes and units, and its shape on disk.

    The file is written beside its place and then put there whole. What else the header of `like` holds stays
    out, for scanners and converters leave names and dates there: `descrip`, `aux_file`, `db_name`,
    `intent_name`, extensions.

    Args:
        path: ends in .nii or .nii.gz; the folder exists.
        data: (I, J, K), in the stored order of `like`.
        like: the volume that `data` was made from.
        mask: uint8, 1 where `data` is above 0; else float32, unscaled.
        keep_header_text: take over those texts and extensions too.

    Raises:
        InputError: another ending, or data of another shape.
        PseudohealthyError: the file cannot be written; what was at `path` is still there.
    """
    if not path.name.endswith(SUFFIXES):
        raise InputError(f"{path}: expected a file name that ends in .nii or .nii.gz")
    if data.shape != like.data.shape:
        raise InputError(
            f"{path}: data of shape {data.shape}; expected {like.data.shape}, as {like.path or 'its image'}"
        )
    values, dtype = (data > 0, np.uint8) if mask else (data, np.float32)
    image = _image(values.astype(dtype, copy=False).reshape(like.shape), like, keep_header_text)
    content = image.to_bytes()
    if path.name.endswith(".gz"):
        content = gzipped(content)
    replace(path, lambda part: part.write_bytes(content))


def read_labels(path: Path) -> Volume:
    """As `read_volume`, but it may be black, as a mask may."""
    return _volume(open_nifti(path), str(path), path)


def volume_from_image(image: Any) -> Volume:
    """The volume in a NIfTI image of nibabel's: its voxels, affine and header, whatever its file holds.

    Raises:
        InputError: not NIfTI, or as for `read_volume`.
    """
    return _as_image(labels_from_image(image), image.get_filename() or _IN_MEMORY)


def labels_from_image(image: Any) -> Volume:
    """As `volume_from_image`, but it may be black, as a mask may."""
    if not isinstance(image, nibabel.Nifti1Pair):  # which NIfTI-2 and single files are too
        raise InputError(
            f"an image of type {type(image).__name__}; expected NIfTI, so convert it with e.g. "
            "nibabel.Nifti1Image.from_image"
        )
    if image.affine is None:  # as nibabel would place it in a file
        image = type(image)(image.dataobj, image.header.get_best_affine(), image.header)
    name = image.get_filename()
    check_voxels(image.shape, image.dataobj.dtype, name or _IN_MEMORY)
    return _volume(image, name or _IN_MEMORY, Path(name) if name else None)


def _as_image(volume: Volume, name: Path | str) -> Volume:
    _expect_a_head_s_size(volume)
    expect_axial(volume)
    if volume.data.min() == volume.data.max():
        raise InputError(
            f"{name}: every voxel is {volume.data.flat[0]:g}; expected an image, so check the file"
        )
    return volume


def _volume(image: Any, name: str, path: Path | None) -> Volume:
    with np.errstate(all="ignore"):  # numbers beyond all measure are refused
        affine = _sound_affine(name, image)
    data = _finite(voxels(image, name), name)
    shape = tuple(int(n) for n in image.shape)
    warnings = _doubts_of_place(image.header, affine, shape)
    return Volume(data.reshape((*shape, 1)[:3]), affine, image.header.copy(), shape, path, warnings)


def _finite(data: NDArray[Any], name: str) -> NDArray[np.float32]:
    with np.errstate(over="ignore"):
        data = np.asarray(data, dtype=np.float32)
    bad = int(data.size - np.count_nonzero(np.isfinite(data)))
    if bad:
        raise InputError(
            f"{name}: {bad} of {data.size} voxels are NaN or infinite; expected numbers, so set them to 0"
        )
    return data


def _sound_affine(path: Path | str, image: Any) -> NDArray[np.float64]:
    """The affine, if a brain can be measured with it."""
    affine = np.asarray(image.affine, dtype=np.float64)
    sizes = pixdim(image)
    if not all(mm > 0 for mm in sizes):  # NaN too
        raise InputError(
            f"{path}: voxel sizes (pixdim) are {_listed(sizes)}; expected mm above 0, so correct the header"
        )
    axes = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or not axes.all() or abs(np.linalg.det(affine[:3, :3] / axes)) < 1e-6:
        raise InputError(
            f"{path}: the affine {_listed(affine[:3].ravel())} is singular or not finite; expected one that "
            "places voxels in space, so correct the header's sform or qform"
        )
    if axes.min() < _VOXEL_MM[0] or axes.max() > _VOXEL_MM[1]:
        raise InputError(
            f"{path}: voxels of {_listed(axes)} mm; expected {_VOXEL_MM[0]:g} to {_VOXEL_MM[1]:g} mm, so "
            "check the header's units"
        )
    if np.abs(affine[:3, 3]).max() > _FARTHEST_MM:
        raise InputError(
            f"{path}: its first voxel lies at {_listed(affine[:3, 3])} mm; expected less than "
            f"{_FARTHEST_MM:g} mm from the origin, so correct the header's sform or qform"
        )
    return affine


def expect_axial(volume: Volume) -> None:
    """Raise an `InputError` for a single slice that is not axial: the networks know axial ones alone."""
    nearest = io_orientation(volume.affine)[:, 0]
    thin = {int(axis) for axis, n in zip(nearest, volume.data.shape, strict=True) if n == 1} - {2}
    if thin:
        what = "a line of voxels" if len(thin) > 1 else ("one sagittal slice", "one coronal slice")[min(thin)]
        raise InputError(
            f"{volume.name}: holds {what} ({' x '.join(map(str, volume.data.shape))} voxels, "
            f"stored towards {''.join(nibabel.aff2axcodes(volume.affine))}); expected a volume or an axial "
            "slice"
        )


def _expect_a_head_s_size(volume: Volume) -> None:
    sides = np.array(volume.spacing) * volume.data.shape
    if sides.max() > _MOST_MM:
        raise InputError(
            f"{volume.name}: {' x '.join(f'{side:.0f}' for side in sides)} mm from side to side; expected a "
            f"head, {_MOST_MM:g} mm at most, so check the voxel sizes"
        )


def _doubts_of_place(header: Any, affine: NDArray[np.float64], shape: tuple[int, ...]) -> tuple[str, ...]:
    """Warnings where a header tells nothing of orientation, or contradicts itself."""
    names = {"L": "left", "R": "right", "A": "front", "P": "back", "S": "top", "I": "bottom"}
    if not header["sform_code"] and not header["qform_code"]:
        towards = ", ".join(names[code] for code in nibabel.aff2axcodes(affine))
        return (
            "its header tells no orientation (qform_code and sform_code are 0): its axes were taken to run "
            f"to the patient's {towards}; if they do not, the result is wrong: write the orientation into it",
        )
    other = _qform(header)
    if not header["sform_code"] or other is None:
        return ()
    corners = np.array([[*at, 1] for at in np.ndindex(2, 2, 2)]) * [*(np.array((*shape, 1)[:3]) - 1), 1]
    apart = float(np.linalg.norm((corners @ (affine - other).T)[:, :3], axis=1).max())
    if apart <= np.linalg.norm(affine[:3, :3], axis=0).min() / 2:
        return ()
    taken, left = ("".join(nibabel.aff2axcodes(form)) for form in (affine, other))
    return (
        f"sform ({taken}, code {int(header['sform_code'])}) and qform ({left}, code "
        f"{int(header['qform_code'])}) of its header place it up to {apart:.1f} mm apart: the sform was "
        "taken, as most programs take it",
    )


def _qform(header: Any) -> NDArray[np.float64] | None:
    """The qform's affine; None where none is set, or it is none."""
    try:
        with np.errstate(all="ignore"):  # what comes of numbers beyond all measure is looked at below
            form = header.get_qform(coded=True)[0]
    except (HeaderDataError, ValueError):
        return None
    return None if form is None or not np.isfinite(form).all() else np.asarray(form, dtype=np.float64)


def _image(stored: NDArray[Any], like: Volume, keep_header_text: bool) -> Any:
    """Voxels as a NIfTI image on the grid of `like`."""
    if like.header is None:
        image = nibabel.Nifti1Image(stored, like.affine)
        image.header.set_xyzt_units("mm")
        image.header["descrip"] = DESCRIPTION.encode()
        return image
    kind = nibabel.Nifti2Image if isinstance(like.header, nibabel.Nifti2Header) else nibabel.Nifti1Image
    header = like.header.copy() if keep_header_text else _place_alone(like.header, kind.header_class)
    header.set_data_dtype(stored.dtype)
    header["cal_min"] = header["cal_max"] = 0  # a viewer's window for the input is not one for a map
    return kind(stored, like.affine, header)  # sform and qform stay bit for bit: the affine is theirs


def _place_alone(header: Any, kind: Any) -> Any:
    """A new header of this kind with the place and units of `header`, and with a description of our own."""
    new = kind(endianness=header.endianness)
    for field in _PLACE:
        new[field] = header[field]
    new["descrip"] = DESCRIPTION.encode()
    return new


def _listed(numbers: Any) -> str:
    return f"({', '.join(f'{number:.6g}' for number in numbers)})"
