"""Measures what a lesion does to registration, and what the program's images make of that.

    python -m scripts.measure_registration [lgg=DATA] --work FOLDER [--patients 12] [--weights FOLDER]

Images are registered to the template that phantoms are made of, affinely and then with B-splines
(SimpleITK), with the lesion left in, masked, filled, and replaced by the program.

- Phantom patients: where each voxel lies in the template is known, so the error is known in mm. Patients
  whose lesion pushes tissue away are left out, for their voxels do not lie where a healthy brain's do.
- Real patients, the test patients of the BIDS data sets that are named: the template is symmetric, and a
  brain nearly, so what is done on one side is expected on the other. Each voxel is compared with its mirrored
  one; where that one lies in a lesion or near it, nothing is measured. What is not deformed is symmetric too,
  so how far voxels move beyond the affine part is measured beside it; and a lesion that pushes tissue away
  makes a brain that is not symmetric.

Each patient is kept in FOLDER, so that it goes on where it was; the results go to
`results/registration.json`.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from itertools import chain, count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.progress import track
from scipy import ndimage

from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.data.layouts.base import CohortVolume
from pseudohealthy.data.volume import Volume, read_labels, read_volume
from pseudohealthy.evaluation.controls import fill
from pseudohealthy.evaluation.score import strict
from pseudohealthy.evaluation.statistics import interval
from pseudohealthy.files import make_folder, write_json
from pseudohealthy.json_files import read_json
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
MEASURES = ("inside", "near", "far", "beyond_affine")
PHANTOM_MM = 1.0  # as a scanner gives them; the networks work on slices of 1 mm
FURROWED, GREY_SIGNAL = 2.0, 1.28  # of phantoms, in the middle of what is drawn
NEAR_MM = 10.0
BORDER_MM = 6.0  # around the brain, compared too
MARGIN_MM = 3.0  # around a lesion that is masked or filled
BLUR = 0.4  # sd before coarser sampling, in voxels of the coarser grid
KNOTS_MM = 40.0  # of the first B-splines; those of the second are half as far apart

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


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
        "blend (own mask)": blend_own,
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


def register(image: Array, region: Mask, moving: Array, frame: Frame) -> Array:
    """Where each voxel of a brain lies in the template: MNI coordinates (3, I, J, K) in mm.

    Args:
        image: the brain (I, J, K).
        region: where the two are compared.
        moving: the template, on the same grid.
        frame: the grid.
    """
    to, of, compared = itk(moving, frame), itk(image, frame), itk(region.astype(np.uint8), frame)
    affine = sitk.AffineTransform(3)
    affine.SetCenter(coordinates(frame)[:, region].mean(axis=1, dtype=np.float64).tolist())
    first = _method(compared, shrink=[4, 2])
    first.SetOptimizerAsRegularStepGradientDescent(4.0, 0.01, 200, 0.5)  # steps in mm
    first.SetOptimizerScalesFromPhysicalShift()
    first.SetInitialTransform(affine, True)
    first.Execute(of, to)
    knots = [max(1, round(size * frame.spacing / KNOTS_MM)) for size in frame.shape]
    splines = sitk.BSplineTransformInitializer(of, knots)
    second = _method(compared, shrink=[2, 1])
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
        yield name, register(image, without if name == MASKED else region, moving, frame)


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


def of_phantoms(work: Path, model: Model, wanted: int, spacing: float) -> Iterator[list[dict[str, Any]]]:
    """For each of the first so many without mass effect the rows of `kept`, with the error in mm."""
    numbers = (number for number in count(1) if not _phantom(number).mass_effect)
    for number in track(islice(numbers, wanted), "Registering phantoms", wanted):
        yield kept(work / f"{number}.json", partial(_of_phantom, number, model, Frame(spacing)))


@lru_cache(maxsize=1)
def _phantom(number: int) -> Phantom:
    return phantom("patient", number, seed=SEED, spacing=PHANTOM_MM)


def _of_phantom(number: int, model: Model, frame: Frame) -> Iterator[dict[str, Any]]:
    patient = _phantom(number)
    anatomy = anatomy_of("patient", number, seed=SEED, spacing=frame.spacing)
    volume = volume_of(patient.image)
    images = {**images_of(volume, patient.mask, model), NO_LESION: patient.truth.astype(np.float32)}
    at_template = {name: on_frame(image, volume, frame, np.eye(4)) for name, image in images.items()}
    lesion = on_frame(patient.mask.astype(np.float32), volume, frame, np.eye(4)) > 0.5
    rows = chain([(UNREGISTERED, coordinates(frame))], registered(at_template, lesion, frame))
    for name, moved in rows:
        error = np.linalg.norm(moved - anatomy.position, axis=0)
        yield {"image": name, **measured(error, moved, anatomy.brain, lesion, frame)}


def volume_of(image: NDArray[Any]) -> Volume:
    """A phantom's image (I, J, K) as a volume."""
    return Volume(image.astype(np.float32), Frame(PHANTOM_MM).affine, None, image.shape, None)


def of_patients(work: Path, data: Path, model: Model, spacing: float) -> Iterator[list[dict[str, Any]]]:
    """For each test patient the rows of `kept`, with the asymmetry in mm."""
    cohort = [each for each in read_cohort([data]).volumes if each.split == "test" and each.mask]
    for patient in track(cohort, f"Registering {data.name}"):
        yield kept(work / f"{patient.subject}.json", partial(_of_patient, patient, model, Frame(spacing)))


def _of_patient(patient: CohortVolume, model: Model, frame: Frame) -> Iterator[dict[str, Any]]:
    assert patient.image
    assert patient.mask
    volume, lesion = read_volume(patient.image), read_labels(patient.mask).data > 0
    place = centred(volume, frame)
    images = images_of(volume, lesion, model)
    at_template = {name: on_frame(image, volume, frame, place) for name, image in images.items()}
    there = on_frame(lesion.astype(np.float32), volume, frame, place) > 0.5
    brain = at_template[LEFT_IN] > 0
    for name, moved in registered(at_template, there, frame):
        error = asymmetry(moved, brain, there, frame)
        yield {"image": name, **measured(error, moved, brain, there, frame)}


def kept(file: Path, made: Callable[[], Iterator[dict[str, Any]]]) -> list[dict[str, Any]]:
    """A patient's rows, one an image: `subject`, `image`, means by place and `beyond_affine`; made once."""
    if not file.exists():
        make_folder(file.parent)
        write_json(file, {"rows": [strict(row) for row in made()]})
    rows: list[dict[str, Any]] = read_json(file)["rows"]
    return [{"subject": file.stem, **row} for row in rows]


def measured(error: Array, moved: Array, brain: Mask, lesion: Mask, frame: Frame) -> dict[str, float]:
    """Means by place, and how far voxels in the lesion are moved beyond the affine part, in mm."""
    beyond = np.linalg.norm(moved - _affinely(moved, brain, frame)[1], axis=0)
    return {
        **by_place(error, brain, lesion, frame.spacing),
        "beyond_affine": by_place(beyond, brain, lesion, frame.spacing)["inside"],
    }


def centred(volume: Volume, frame: Frame) -> NDArray[np.float64]:
    """From mm of the template to mm of a volume (4, 4), the centres of the two brains one."""
    centre = volume.affine @ [*np.argwhere(volume.brain).mean(axis=0), 1.0]
    atlas = template(frame.spacing)
    shift = np.eye(4)
    shift[:3, 3] = centre[:3] - (np.argwhere(atlas.brain > 0.5).mean(axis=0) + atlas.origin)
    return shift


def on_frame(data: Array, volume: Volume, frame: Frame, to_volume: NDArray[np.float64]) -> Array:
    """(I, J, K) of a volume's grid on the frame's; `to_volume`: from mm of the frame to mm of the volume."""
    voxel = np.array(volume.spacing)
    blur = np.where(voxel < frame.spacing, BLUR * frame.spacing / voxel, 0.0)
    to_voxels = np.linalg.inv(volume.affine) @ to_volume @ frame.affine
    laid: Array = ndimage.affine_transform(
        ndimage.gaussian_filter(data, blur), to_voxels[:3, :3], to_voxels[:3, 3], frame.shape, order=1
    )
    laid[laid < laid.max() / 1000] = 0  # what the blur has spread into the background
    return laid


def _affinely(moved: Array, brain: Mask, frame: Frame) -> tuple[NDArray[np.float64], Array]:
    """The affine part of a registration (4, 4), and where it alone lays each voxel (3, I, J, K)."""
    here = coordinates(frame)
    known = np.vstack([here[:, brain], np.ones(np.count_nonzero(brain))])
    linear = np.linalg.lstsq(known.T, moved[:, brain].T, rcond=None)[0].T  # (3, 4)
    laid = np.tensordot(linear[:, :3], here, 1) + linear[:, 3].reshape(3, 1, 1, 1)
    return np.vstack([linear, [0.0, 0.0, 0.0, 1.0]]), laid


def asymmetry(moved: Array, brain: Mask, lesion: Mask, frame: Frame) -> Array:
    """How far the places of mirrored voxels are from mirrored places, in mm (I, J, K).

    Mirrored about the plane of the patient that the registration's affine part lays on the template's middle.
    NaN where the mirrored voxel is in the lesion, near it or outside the brain: nothing is expected of those.
    """
    affine, _ = _affinely(moved, brain, frame)
    mirror = np.diag([-1.0, 1.0, 1.0, 1.0])
    to_mirrored = np.linalg.inv(frame.affine) @ np.linalg.inv(affine) @ mirror @ affine
    index = np.tensordot(to_mirrored[:3, :3], coordinates(frame), 1) + to_mirrored[:3, 3].reshape(3, 1, 1, 1)
    there = np.stack([ndimage.map_coordinates(each, index, order=1, mode="nearest") for each in moved])
    there[0] *= -1
    known = brain & ~_grown(lesion, NEAR_MM, frame.spacing)
    sound = ndimage.map_coordinates(known.astype(np.float32), index, order=1) > 0.5
    return np.where(sound, np.linalg.norm(moved - there, axis=0), np.nan)


def summary(table: pd.DataFrame) -> dict[str, Any]:
    """Of each image and measure: the mean over patients, and the difference to the lesion left in."""
    by_image = {name: rows.set_index("subject") for name, rows in table.groupby("image", sort=False)}
    return {
        str(name): {
            place: {
                "mean": interval(rows[place]),
                "difference": interval(rows[place] - by_image[LEFT_IN][place]),
            }
            for place in MEASURES
        }
        for name, rows in by_image.items()
    }


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data", nargs="*", metavar="NAME=DATA", help="BIDS data sets with masks and a split")
    parser.add_argument("--work", type=Path, required=True, help="folder of what is measured of each patient")
    parser.add_argument("--patients", type=int, default=12, help="phantom patients")
    parser.add_argument(
        "--spacing", type=float, default=3.0, help="of the grid on which is registered, in mm"
    )
    parser.add_argument("--weights", type=Path, default=bundled_weights())
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)  # the same sums in the same order
    made_by = provenance()  # before anything is written
    model = Model.load(given.weights, "cpu")
    phantoms = of_phantoms(given.work / "phantoms", model, given.patients, given.spacing)
    cohorts = {"phantoms": list(chain.from_iterable(phantoms))}
    for name, _, data in (word.partition("=") for word in given.data):
        patients = of_patients(given.work / name, Path(data), model, given.spacing)
        cohorts[name] = list(chain.from_iterable(patients))
    tables = {
        name: pd.DataFrame(rows).astype(dict.fromkeys(MEASURES, float)) for name, rows in cohorts.items()
    }
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
