"""Measures what a lesion does to registration, and what the program's images make of that.

    python -m scripts.measure_registration [lgg=DATA] [--patients 12] [--spacing 3] [--weights FOLDER]

Images are registered to the template that phantoms are made of, affinely and then with B-splines
(SimpleITK), with the lesion left in, masked, filled, and replaced by the program.

- Phantom patients: where each voxel lies in the template is known, so the error is known in mm. Patients
  whose lesion pushes tissue away are left out, for their voxels do not lie where a healthy brain's do.
- Real patients, the test patients of the BIDS data sets that are named: the template is symmetric, and a
  brain nearly, so what is done on one side is expected on the other. Each voxel is compared with its mirrored
  one; where that one has a lesion, nothing is measured.

What is measured goes to `results/registration.json`.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Iterator
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.progress import track
from scipy import ndimage

from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.data.volume import Volume, read_labels, read_volume
from pseudohealthy.evaluation.controls import fill
from pseudohealthy.evaluation.score import strict
from pseudohealthy.evaluation.statistics import interval
from pseudohealthy.files import write_json
from pseudohealthy.phantom.anatomy import CSF_SIGNAL, sampled, template
from pseudohealthy.phantom.fields import Frame
from pseudohealthy.phantom.subject import Phantom, anatomy_of, phantom
from pseudohealthy.provenance import provenance
from pseudohealthy.synthesis.bundled_weights import bundled_weights
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.synthesize import synthesize

sitk: Any = importlib.import_module("SimpleITK")  # which has no types
OUT = Path(__file__).parents[1] / "results" / "registration.json"
SEED = 3  # of the phantoms; the training of other weights may have used those of seed 0
LEFT_IN = "left in"  # what all else is compared with
MASKED = "masked"  # out of the metric
NO_LESION = "no lesion"  # the same phantom's scan as it would have been without one
UNREGISTERED = "before registration"
FURROWED, GREY_SIGNAL = 2.0, 1.28  # of phantoms, in the middle of what is drawn
NEAR_MM = 10.0
BORDER_MM = 6.0  # around the brain, compared too
MARGIN_MM = 3.0  # around a lesion that is masked or filled
BLUR = 0.4  # sd before coarser sampling, in voxels of the coarser grid
KNOTS_MM = 40.0  # of the first B-splines; those of the second are half as far apart

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


class Registrable(NamedTuple):
    """An image (I, J, K), and where it is compared."""

    image: Array
    region: Mask


def images_of(volume: Volume, lesion: Mask, model: Model) -> dict[str, Array]:
    """What may be registered in the place of a volume, by what is done about the lesion.

    The true mask is given to all but the healthy image, the blend with the model's own mask, and the image
    with the lesion left in. It is filled with a margin, for a lesion shines beyond its mask.
    """
    x, top = volume.data, float(volume.data.max())
    hole = _grown(lesion, MARGIN_MM, volume.spacing) & volume.brain
    made = synthesize(volume, model, blend=True, lesion_mask=lesion)
    blend_own = synthesize(volume, model, blend=True).blended
    assert made.blended is not None
    assert blend_own is not None
    return {
        LEFT_IN: x,
        MASKED: x,
        "filled (biharmonic)": (fill(x.T / top, hole.T).T * top).astype(np.float32),
        "healthy image": made.healthy,
        "blend": made.blended,
        "blend, own mask": blend_own,
    }


def _grown(mask: Mask, mm: float, spacing: float | tuple[float, ...]) -> Mask:
    grown: Mask = ndimage.distance_transform_edt(~mask, sampling=spacing) <= mm
    return grown


def itk(image: NDArray[Any], frame: Frame) -> Any:
    """An array (I, J, K) on the phantoms' grid."""
    made = sitk.GetImageFromArray(np.ascontiguousarray(image.T))
    made.SetSpacing([frame.spacing] * 3)
    made.SetOrigin(frame.affine[:3, 3].tolist())
    return made


def register(fixed: Registrable, moving: Array, frame: Frame) -> Array:
    """Where each voxel of a brain lies in the template: MNI coordinates (3, I, J, K) in mm.

    Args:
        fixed: the brain, and where the two are compared.
        moving: the template, on the same grid.
        frame: the grid.
    """
    to, of, region = itk(moving, frame), itk(fixed.image, frame), itk(fixed.region.astype(np.uint8), frame)
    affine = sitk.AffineTransform(3)
    first = _method(region, shrink=[4, 2])
    first.SetOptimizerAsGradientDescent(1.0, 100, 1e-5, 10)
    first.SetOptimizerScalesFromPhysicalShift()
    first.SetInitialTransform(affine, True)
    first.Execute(of, to)
    knots = [max(1, round(size * frame.spacing / KNOTS_MM)) for size in frame.shape]
    splines = sitk.BSplineTransformInitializer(of, knots)
    second = _method(region, shrink=[2, 1])
    second.SetOptimizerAsLBFGS2(1e-4, 40, deltaConvergenceTolerance=1e-5)
    second.SetMovingInitialTransform(affine)
    second.SetInitialTransformAsBSpline(splines, True, [1, 2])
    second.Execute(of, to)
    field = sitk.TransformToDisplacementField(
        sitk.CompositeTransform([affine, splines]),
        sitk.sitkVectorFloat64,
        of.GetSize(),
        of.GetOrigin(),
        of.GetSpacing(),
    )
    moved: Array = coordinates(frame) + sitk.GetArrayFromImage(field).T.astype(np.float32)
    return moved


def _method(region: Any, shrink: list[int]) -> Any:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricFixedMask(region)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel(shrink)
    method.SetSmoothingSigmasPerLevel([each / 2 for each in shrink])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
    return method


def coordinates(frame: Frame) -> Array:
    """MNI coordinates (3, I, J, K) of the voxels of a grid, in mm."""
    return np.stack(np.meshgrid(*frame.axes, indexing="ij"))


def template_image(frame: Frame) -> Array:
    """The template as a FLAIR signal, with nothing drawn at random."""
    atlas = template(frame.spacing)
    csf, white, brain = (
        sampled(atlas, each, coordinates(frame)) for each in (atlas.csf, atlas.white, atlas.brain)
    )
    odds = np.exp(np.stack([csf + FURROWED, np.zeros_like(csf), white]))
    fluid, grey, white = odds / odds.sum(axis=0)
    signal: Array = (fluid * CSF_SIGNAL + grey * GREY_SIGNAL + white) * (brain > 0.5)
    return signal


def registered(images: dict[str, Array], lesion: Mask, frame: Frame) -> Iterator[tuple[str, Array]]:
    """Name of each image (I, J, K) on the frame's grid, and where its voxels lie in the template."""
    moving, spacing = template_image(frame), frame.spacing
    region = _grown(images[LEFT_IN] > 0, BORDER_MM, spacing)
    without = region & ~_grown(lesion, MARGIN_MM, spacing)
    for name, image in images.items():
        yield name, register(Registrable(image, without if name == MASKED else region), moving, frame)


def by_place(error: Array, brain: Mask, lesion: Mask, spacing: float) -> dict[str, float]:
    """The mean inside the lesion, to 10 mm around it, and in the other brain; where it is not NaN."""
    distance = ndimage.distance_transform_edt(~lesion, sampling=spacing)
    near = brain & ~lesion & (distance <= NEAR_MM)
    places = {"inside": lesion & brain, "near": near, "far": brain & (distance > NEAR_MM)}
    known = np.isfinite(error)
    return {
        name: float(error[where & known].mean()) if (where & known).any() else float("nan")
        for name, where in places.items()
    }


def of_phantoms(model: Model, wanted: int, spacing: float) -> Iterator[dict[str, Any]]:
    """A row for each patient and image: `subject`, `image`, and the mean error in mm by place."""
    frame = Frame(spacing)
    for number, patient in track(_phantoms(wanted, spacing), "Registering phantoms", wanted):
        anatomy = anatomy_of("patient", number, seed=SEED, spacing=spacing)
        place = partial(by_place, brain=anatomy.brain, lesion=patient.mask, spacing=spacing)
        before = np.linalg.norm(coordinates(frame) - anatomy.position, axis=0)
        yield {"subject": number, "image": UNREGISTERED, **place(before)}
        x = patient.image.astype(np.float32)
        images = images_of(Volume(x, frame.affine, None, x.shape, None), patient.mask, model)
        images[NO_LESION] = patient.truth.astype(np.float32)
        for name, moved in registered(images, patient.mask, frame):
            error = np.linalg.norm(moved - anatomy.position, axis=0)
            yield {"subject": number, "image": name, **place(error)}


def _phantoms(wanted: int, spacing: float) -> Iterator[tuple[int, Phantom]]:
    """The first so many phantom patients without mass effect."""
    without = (
        (number, patient)
        for number in count(1)
        if not (patient := phantom("patient", number, seed=SEED, spacing=spacing)).mass_effect
    )
    return islice(without, wanted)


def of_patients(data: Path, model: Model, spacing: float) -> Iterator[dict[str, Any]]:
    """A row for each test patient and image: `subject`, `image`, and the mean asymmetry in mm by place."""
    frame = Frame(spacing)
    cohort = [each for each in read_cohort([data]).volumes if each.split == "test" and each.mask]
    for patient in track(cohort, f"Registering {data.name}"):
        assert patient.image
        assert patient.mask
        volume, lesion = read_volume(patient.image), read_labels(patient.mask).data > 0
        images = {
            name: on_frame(image, volume, frame) for name, image in images_of(volume, lesion, model).items()
        }
        place = on_frame(lesion.astype(np.float32), volume, frame) > 0.5
        for name, moved in registered(images, place, frame):
            error = asymmetry(moved, images[LEFT_IN] > 0, place, frame)
            yield {
                "subject": patient.subject,
                "image": name,
                **by_place(error, images[LEFT_IN] > 0, place, spacing),
            }


def on_frame(data: Array, volume: Volume, frame: Frame) -> Array:
    """(I, J, K) of a volume on the frame's grid, the centres of the brain and of the template one."""
    voxel = np.array(volume.spacing)
    blur = np.where(voxel < frame.spacing, BLUR * frame.spacing / voxel, 0.0)
    centre = volume.affine @ [*np.argwhere(volume.brain).mean(axis=0), 1.0]
    atlas = template(frame.spacing)
    shift = np.eye(4)
    shift[:3, 3] = centre[:3] - (np.argwhere(atlas.brain > 0.5).mean(axis=0) + atlas.origin)
    to_voxels = np.linalg.inv(volume.affine) @ shift @ frame.affine
    sampled: Array = ndimage.affine_transform(
        ndimage.gaussian_filter(data, blur), to_voxels[:3, :3], to_voxels[:3, 3], frame.shape, order=1
    )
    sampled[sampled < sampled.max() / 1000] = 0  # what the blur has spread into the background
    return sampled


def asymmetry(moved: Array, brain: Mask, lesion: Mask, frame: Frame) -> Array:
    """How far the places of mirrored voxels are from mirrored places, in mm (I, J, K).

    Mirrored about the plane of the patient that the registration's affine part lays on the template's middle.
    NaN where the mirrored voxel is in the lesion or outside the brain, for there nothing is expected.
    """
    here = coordinates(frame)
    known = np.vstack([here[:, brain], np.ones(np.count_nonzero(brain))])
    linear = np.linalg.lstsq(known.T, moved[:, brain].T, rcond=None)[0].T  # (3, 4)
    affine = np.vstack([linear, [0.0, 0.0, 0.0, 1.0]])
    mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
    to_mirrored = np.linalg.inv(frame.affine) @ np.linalg.inv(affine) @ mirror @ affine
    index = np.tensordot(to_mirrored[:3, :3], here, 1) + to_mirrored[:3, 3].reshape(3, 1, 1, 1)
    there = np.stack([ndimage.map_coordinates(each, index, order=1, mode="nearest") for each in moved])
    there[0] *= -1
    sound = ndimage.map_coordinates((brain & ~lesion).astype(np.float32), index, order=1) > 0.5
    return np.where(sound, np.linalg.norm(moved - there, axis=0), np.nan)


def summary(table: pd.DataFrame) -> dict[str, Any]:
    """Of each image and place: the mean error over patients, and the difference to the lesion left in."""
    by_image = {name: rows.set_index("subject") for name, rows in table.groupby("image", sort=False)}
    return {
        str(name): {
            place: {
                "error": interval(rows[place]),
                "difference": interval(rows[place] - by_image[LEFT_IN][place]),
            }
            for place in ("inside", "near", "far")
        }
        for name, rows in by_image.items()
    }


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", nargs="*", metavar="NAME=DATA", help="BIDS data sets with masks and a split")
    parser.add_argument("--patients", type=int, default=12, help="phantom patients")
    parser.add_argument("--spacing", type=float, default=3.0, help="of the phantoms, in mm")
    parser.add_argument("--weights", type=Path, default=bundled_weights())
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # the same sums in the same order
    made_by = provenance()  # before anything is written
    model = Model.load(given.weights, "cpu")
    named = {name: Path(data) for name, _, data in (word.partition("=") for word in given.data)}
    rows = {
        "phantoms": list(of_phantoms(model, given.patients, given.spacing)),
        **{name: list(of_patients(data, model, given.spacing)) for name, data in named.items()},
    }
    tables = {name: pd.DataFrame(each) for name, each in rows.items()}
    write_json(
        given.out,
        {
            **made_by,
            "config": {"patients": given.patients, "spacing": given.spacing, "seed": SEED},
            "simpleitk": sitk.Version.VersionString(),
            "weights": model.provenance["sha256"],
            "measured": {name: strict(summary(table)) for name, table in tables.items()},
            "patients": {
                name: [strict(row) for row in table.round(4).to_dict("records")]
                for name, table in tables.items()
            },
        },
    )


if __name__ == "__main__":
    main()
