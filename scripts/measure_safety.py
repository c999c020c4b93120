"""Measures what weights make of images that they should leave alone, or that they were not made for.

    python -m scripts.measure_safety DATA [--weights FOLDER] [--part slices] [--split test]

DATA is the folder of research data: `lgg`, `soop` and `volumes`. What is measured goes to
`results/reliability/honest_output.json`. What the weights mark in scans without a lesion goes beside them,
too (`lesion_free.json`), where the program reads it.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.data.grid import Grid
from pseudohealthy.data.intensity import Intensity
from pseudohealthy.data.slice_selection import training_slices
from pseudohealthy.data.volume import Volume, read_volume
from pseudohealthy.errors import InputError
from pseudohealthy.evaluation.healthy_input import healthy_in
from pseudohealthy.evaluation.slice_set import SliceSet
from pseudohealthy.files import write_json
from pseudohealthy.json_files import read_json
from pseudohealthy.phantom.anatomy import Anatomy, healthy
from pseudohealthy.phantom.fields import Frame
from pseudohealthy.phantom.scanner import Scanner
from pseudohealthy.phantom.subject import Group, phantom
from pseudohealthy.provenance import provenance
from pseudohealthy.synthesis.bundled_weights import bundled_weights
from pseudohealthy.synthesis.lesion_caveat import FORMAT, LesionFree, Marked
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.run_report import out_of_distribution
from pseudohealthy.synthesis.skull_stripping import MODULE, find_brain
from pseudohealthy.synthesis.synthesize import synthesize

OUT = Path(__file__).parents[1] / "results" / "reliability" / "honest_output.json"
SEED = 1  # of the phantoms; the training of other weights may have used those of seed 0
PHANTOMS = {1.0: 3, 2.0: 10, 4.0: 10}  # how many controls with voxels of so many mm
VOLUMES = "phantoms_2_mm"  # those that stand beside the weights
UNSHADED = "phantoms_4_mm_unshaded"
CONTROLS = 10  # phantoms in each contrast
# Of the slices without an infarct: `bright_pixels`, which stand for white-matter hyperintensities
STRATA = {"clean": (0, 130), "between": (131, 350), "hyperintense": (351, 10**6)}
# Signals of fluid, grey and white matter; a FLAIR's are 0.26, 1.2 to 1.36 and 1
CONTRASTS = {
    "T1": (0.25, 0.7, 1.0),
    "T2": (1.5, 0.85, 0.6),
    "PD": (1.1, 1.0, 0.85),
    "CT-like": (0.9, 1.05, 1.0),
}
Image = NDArray[Any]


def lesion_free(name: str, image: Volume, model: Model) -> dict[str, float | str]:
    """What is marked and changed in a volume or slice without a lesion: a row.

    `marked_ml` and `marked_percent` (of the brain) are of the whole volume, `mae` and `ms_ssim`, as
    `healthy_in` has them, of its slices of at least half the largest brain area.
    """
    result = synthesize(image, model)
    x = result.slices["input"]
    rows = np.flatnonzero(training_slices(x > 0, "half_area"))
    slices = SliceSet(x[rows], np.zeros(x[rows].shape, np.uint8), np.full(len(rows), name))
    measured = healthy_in(result.slices["healthy"][rows], slices).iloc[0]
    marked, brain = result.report["lesion_ml"], result.report["brain_ml"]
    return {
        "name": name,
        "marked_ml": marked,
        "marked_percent": 100 * marked / brain,
        "mae": float(measured["healthy_in.mae"]),
        "ms_ssim": float(measured["healthy_in.ms_ssim"]),
    }


def summary(values: Iterable[float], *, best: str = "low") -> dict[str, float]:
    """Median, 95th percentile and worst; of a measure whose best is high the 5th percentile."""
    of, percent = np.array(list(values)), 95 if best == "low" else 5
    worst = of.max() if best == "low" else of.min()
    found = {"median": np.median(of), f"p{percent}": np.percentile(of, percent), "worst": worst}
    return {name: round(float(value), 4) for name, value in found.items()}


def summaries(table: pd.DataFrame) -> dict[str, Any]:
    """Of rows of `lesion_free`: how many, and each measure's summary."""
    measures = {key: summary(table[key]) for key in ("marked_ml", "marked_percent", "mae")}
    return {"number": len(table), **measures, "ms_ssim": summary(table["ms_ssim"], best="high")}


def phantom_volume(data: Image, spacing: float = 1.0) -> Volume:
    """An image on the phantoms' grid."""
    return Volume(data.astype(np.float32), Frame(spacing).affine, None, data.shape, None)


def measure_phantoms(model: Model, number: int, spacing: float, *, shaded: bool = True) -> dict[str, Any]:
    """The summaries of phantoms without a lesion, with or without the coil's shading; each `marked_ml`."""
    rows = []
    for n in range(1, number + 1):
        image = phantom("control", n, seed=SEED, spacing=spacing).image if shaded else unshaded(n, spacing)
        rows.append(lesion_free(f"phantom {n}", phantom_volume(image, spacing), model))
    table = pd.DataFrame(rows)
    return {**summaries(table), "each_marked_ml": table["marked_ml"].tolist()}


def unshaded(number: int, spacing: float) -> Image:
    """The control of this number as a coil would see it that is everywhere as sensitive."""
    frame = Frame(spacing)
    streams = np.random.SeedSequence([SEED, get_args(Group).index("control"), number]).spawn(3)
    anatomy = healthy(np.random.default_rng(streams[0]), frame)
    scanner = Scanner.drawn(np.random.default_rng(streams[2]), frame)
    even = replace(scanner, gain=np.full_like(scanner.gain, np.median(scanner.gain)))
    return even.image(anatomy.signal, anatomy.brain)


def slices_of(soop: Path, split: str, *, lesion: bool | None = None) -> Iterator[tuple[str, float, Volume]]:
    """Name, `bright_pixels` and image of each slice of a split of `soop`, with or without a lesion."""
    people = pd.read_csv(soop / "participants.tsv", sep="\t")
    people = people[people["split"] == split]
    if lesion is not None:
        people = people[(people["lesion_pixels"] > 0) == lesion]
    for _, row in people.iterrows():
        name = row["participant_id"]
        yield name, row["bright_pixels"], read_volume(soop / name / "anat" / f"{name}_FLAIR.nii.gz")


def strata(model: Model, soop: Path, split: str) -> dict[str, Any]:
    """The summaries of slices without an infarct, by how much of them is bright."""
    rows = [
        {**lesion_free(name, image, model), "bright": bright}
        for name, bright, image in slices_of(soop, split, lesion=False)
    ]
    table = pd.DataFrame(rows)
    parts = {name: table[table["bright"].between(*limits)] for name, limits in STRATA.items()}
    return {name: summaries(part) for name, part in parts.items() if len(part)}


def head(model: Model, file: Path) -> dict[str, Any]:
    """Of a whole head without a lesion, whose skull HD-BET takes off; or why it was not measured."""
    if importlib.util.find_spec(MODULE) is None:
        return {"not_measured": "the extra skullstrip (HD-BET) is not installed"}
    return {
        key: value for key, value in lesion_free("head", read_volume(file), model).items() if key != "name"
    }


def contrasts(number: int, spacing: float = 1.0) -> dict[str, Volume]:
    """A brain without a lesion as FLAIR and in the other contrasts, seen by one scanner."""
    frame = Frame(spacing)
    streams = [np.random.default_rng(each) for each in np.random.SeedSequence([SEED, number]).spawn(3)]
    anatomy, scanner = healthy(streams[0], frame), Scanner.drawn(streams[1], frame)
    signals = {"FLAIR": anatomy.signal}
    for name, levels in CONTRASTS.items():
        signals[name] = _signal(anatomy, np.array(levels) * streams[2].uniform(0.95, 1.05, 3))
    images = {
        name: phantom_volume(scanner.image(signal, anatomy.brain), spacing)
        for name, signal in signals.items()
    }
    return {**images, "inverted": inverted(images["FLAIR"])}


def _signal(anatomy: Anatomy, levels: NDArray[np.float64]) -> NDArray[np.float32]:
    tissues = (anatomy.csf, anatomy.grey, anatomy.white)
    parts = [level * share for level, share in zip(levels, tissues, strict=True)]
    return np.asarray(np.sum(parts, axis=0), dtype=np.float32)


def inverted(image: Volume) -> Volume:
    """Bright where the image is dark, inside its brain."""
    negative = np.where(image.brain, image.data.max() - image.data, 0)
    return replace(image, data=negative.astype(np.float32))


def reaction(image: Volume, model: Model) -> str:
    """Whether an image is "refused", "warned" of as out of distribution or incomparable, or just "taken"."""
    try:
        warnings = distribution_warnings(image, model)
    except InputError:
        return "refused"
    return "warned" if warnings else "taken"


def counted(reactions: Iterable[str]) -> dict[str, int]:
    """How many images there are, and how many of them were warned of and refused."""
    each = list(reactions)
    return {"images": len(each), "warned": each.count("warned"), "refused": each.count("refused")}


def recognition(model: Model, number: int) -> dict[str, dict[str, int]]:
    """The reactions to phantoms in each contrast: should be none to FLAIR, and one to all the others."""
    reactions: dict[str, list[str]] = {}
    for n in range(1, number + 1):
        for contrast, image in contrasts(n).items():
            reactions.setdefault(contrast, []).append(reaction(image, model))
    return {contrast: counted(each) for contrast, each in reactions.items()}


def distribution_warnings(image: Volume, model: Model) -> tuple[str, ...]:
    """The warnings about an image's contrast, without running the networks."""
    settings, reference = model.preprocessing, model.provenance.get("training_distribution")
    alone = find_brain(image, None, model.device).alone
    grid = Grid.of(alone, settings, alone.brain, cover=True)
    x = grid.to_canonical(Intensity.of(alone.data, settings).normalised(alone.data))
    brain = grid.to_canonical(alone.brain, order=0) > 0
    return out_of_distribution(x, brain, settings, reference)[1]


def lgg_volumes(data: Path, split: str) -> Iterator[Volume]:
    """The images of a split of `lgg`."""
    for volume in read_cohort([data / "lgg"]).volumes:
        if volume.split == split and volume.image:
            yield read_volume(volume.image)


def other_volumes(data: Path) -> Iterator[Volume]:
    """The FLAIR images in `volumes` that come without a skull."""
    for path in sorted((data / "volumes").rglob("*[fF][lL][aA][iI][rR].nii.gz")):
        if "head" not in path.name:
            yield read_volume(path)


def real(model: Model, images: Iterable[Volume]) -> dict[str, dict[str, int]]:
    """The reactions to real FLAIR as they are, and inverted."""
    reactions: dict[str, list[str]] = {"FLAIR": [], "inverted": []}
    for image in images:
        for form, shown in (("FLAIR", image), ("inverted", inverted(image))):
            reactions[form].append(reaction(shown, model))
    return {form: counted(each) for form, each in reactions.items()}


def no_brains() -> dict[str, Image]:
    """Volumes `(Z, H, W)` that hold no brain, or hardly any, by what they are."""
    shape, rng = (12, 200, 160), np.random.default_rng(SEED)
    places = [(np.arange(n) - n / 2) / (0.4 * n) for n in shape[1:]]
    disc = np.add.outer(places[0] ** 2, places[1] ** 2) < np.ones(shape)
    few = np.zeros(shape)
    few[6, 100:105, 80:84] = rng.uniform(100, 200, (5, 4))
    return {
        "empty": np.zeros(shape),
        "one value": np.full(shape, 100.0),
        "one value on a background of 0": np.where(disc, 100.0, 0),
        "noise": rng.rayleigh(20, shape),
        "noise on a background of 0": np.where(disc, 1 + rng.rayleigh(20, shape), 0),
        "a brain of 20 voxels": few,
    }


def answer(image: Image, model: Model) -> dict[str, str]:
    """What the program does with an image: "refused", "warned" or "taken", and what it says."""
    try:
        result = synthesize(image, model, spacing=(1, 1, 1))
    except InputError as error:
        return {"answer": "refused", "message": str(error)}
    return {"answer": "warned" if result.warnings else "taken", "message": "; ".join(result.warnings)}


def marked(of: str, measured: Mapping[str, Any], key: str) -> Marked:
    """What stands beside the weights of one summary."""
    return Marked(of=of, number=measured["number"], **measured[key])


def measure_no_brain(model: Model) -> dict[str, Any]:
    """What the program answers to each of `no_brains`."""
    return {what: answer(image, model) for what, image in no_brains().items()}


def parts(model: Model, data: Path, split: str) -> dict[str, Callable[[], dict[str, Any]]]:
    """What can be measured, by its place in the results."""
    phantoms: dict[str, Callable[[], dict[str, Any]]] = {
        f"phantoms_{spacing:g}_mm": partial(measure_phantoms, model, number, spacing)
        for spacing, number in PHANTOMS.items()
    }
    return {
        **phantoms,
        UNSHADED: lambda: measure_phantoms(model, PHANTOMS[4.0], 4.0, shaded=False),
        "slices": lambda: strata(model, data / "soop", split),
        "head": lambda: head(model, data / "volumes/heads/whole_head_FLAIR.nii.gz"),
        "contrasts": lambda: recognition(model, CONTROLS),
        "real_lgg": lambda: real(model, lgg_volumes(data, split)),
        "real_soop": lambda: real(model, (image for *_, image in slices_of(data / "soop", split))),
        "real_volumes": lambda: real(model, other_volumes(data)),
        "no_brain": lambda: measure_no_brain(model),
    }


def beside_weights(sha256: str, results: Mapping[str, Any]) -> LesionFree:
    """What the program reads of the results."""
    return LesionFree(
        format=FORMAT,
        sha256=sha256,
        volumes=marked("synthetic brains without a lesion", results[VOLUMES]["measured"], "marked_ml"),
        slices=marked("real slices without one", results["slices"]["measured"]["clean"], "marked_percent"),
    )


def main() -> None:
    """The parts that are wanted; the others stay as they are in the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", type=Path, default=bundled_weights())
    parser.add_argument("--part", action="append", help="of the results; default: all")
    parser.add_argument("--split", choices=("val", "test"), default="val", help="read test once")
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    model = Model.load(arguments.weights, "cpu", "auto")
    weights = {key: model.provenance[key] for key in ("method", "images", "sha256")}
    every = parts(model, arguments.data, arguments.split)
    for part in arguments.part or every:
        made_by = provenance()  # before anything is written
        measured = {"measured": every[part](), "split": arguments.split, **made_by, "weights": weights}
        before = read_json(arguments.out) if arguments.out.exists() else {}
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(arguments.out, results := {**before, part: measured})
        if {VOLUMES, "slices"} <= set(results):
            beside_weights(weights["sha256"], results).write(arguments.weights)


if __name__ == "__main__":
    main()
