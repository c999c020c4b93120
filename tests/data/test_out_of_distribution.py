"""Other contrasts are out of distribution, and FLAIR of other patients is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from fixtures.brains import tissues
from pseudohealthy.config import preprocessing
from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.data.grid import Grid
from pseudohealthy.data.intensity import Intensity
from pseudohealthy.data.out_of_distribution import (
    FILE,
    MARGIN,
    SIGNS,
    SURFACE,
    Reference,
    Spread,
    compare,
    figures,
    write_reference,
)
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.data.slice_selection import training_slices
from pseudohealthy.data.volume import Volume, read_volume
from pseudohealthy.errors import InputError
from pseudohealthy.synthesis.bundled_weights import bundled_weights
from scripts.measure_safety import contrasts

Array = NDArray[np.float32]


def cohort(number: int = 6) -> Prepared:
    """Prepared in memory: `number` training volumes and one for validation, which is of another kind."""
    images = np.concatenate([*(tissues(seed) for seed in range(number)), 1 - tissues(99)])
    subjects = np.repeat([f"S{n}" for n in range(number + 1)], 3)
    table = pd.DataFrame({"row": np.arange(len(images)), "subject": subjects})
    table["split"] = np.where(table["subject"] == f"S{number}", "val", "train")
    table = table.assign(source="here", session="n/a", label="healthy")
    manifest: Any = {"settings": {"spacing": 1.0}, "key": "abc"}
    return Prepared(images, np.zeros(images.shape, np.uint8), None, None, table, None, manifest)


def test_a_volume_like_the_training_volumes_is_in_distribution_and_others_are_not() -> None:
    reference = Reference.of(cohort())
    assert (reference.volumes, reference.data) == (6, "abc")
    same = compare(tissues(50), 1.0, reference)
    assert same is not None
    assert same.signs == ()
    for other, sign in (
        (tissues(50, white=1.4), "white"),
        (tissues(50, rim=1.5), "rim"),
        (tissues(50, noise=0.2), "noise"),
        (np.where(tissues(50) > 0, 0.9 - 0.5 * tissues(50), 0).astype(np.float32), "sulci"),
        (np.where(tissues(50) > 0, 0.8 + 0.1 * tissues(50), 0).astype(np.float32), "flatness"),
    ):
        compared = compare(other, 1.0, reference)
        assert compared is not None
        assert compared.distance > reference.limit
        assert SIGNS[sign] in compared.signs


def test_figures_are_those_counted_by_hand() -> None:
    measured = figures(tissues(noise=0), 1.0)
    assert list(measured) == list(SIGNS)
    assert measured["level"] == pytest.approx(np.median(tissues(noise=0)[tissues(noise=0) > 0]))
    assert measured["white"] == pytest.approx(0, abs=1e-3)
    assert figures(tissues(noise=0, white=1.3), 1.0)["white"] == pytest.approx(np.log(1.3), rel=0.01)
    bright, dark = figures(1.2 * tissues(noise=0), 1.0), figures(tissues(noise=0), 1.0)
    for name in set(SIGNS) - {"level"}:
        assert bright[name] == pytest.approx(dark[name], rel=1e-3, abs=1e-4)


def test_mirrored_slices_have_the_same_figures() -> None:
    once, twice = figures(tissues(), 1.0), figures(tissues()[:, ::-1, ::-1], 1.0)
    assert twice == pytest.approx(once, rel=1e-4)


def loose_reference() -> Reference:
    """One by which only the last of the signs, of the surface or the cortex, counts."""
    reference = Reference.of(cohort())
    spread = {name: each.model_copy(update={"deviation": 10.0}) for name, each in reference.figures.items()}
    return reference.model_copy(update={"figures": spread})


def test_a_bright_surface_alone_is_a_sign_in_a_single_slice() -> None:
    loose = loose_reference()
    for rim, is_out in ((0.5, False), (SURFACE - 0.05, False), (SURFACE + 0.05, True), (1.5, True)):
        x = tissues(50, rim=rim, noise=0)[:1]
        compared = compare(x, 1.0, loose)
        assert compared is not None
        ratio = figures(x, 1.0)["rim"] / SURFACE
        assert compared.distance == pytest.approx(loose.limit * ratio, abs=2e-3)
        assert (compared.distance > loose.limit) == is_out == (SIGNS["rim"] in compared.signs)
    volume = compare(tissues(50, rim=1.5, noise=0), 1.0, loose)
    assert volume is not None
    assert volume.distance < loose.limit


def test_pixels_around_the_brain_count_for_its_surface_alone() -> None:
    x, reference = tissues(50), Reference.of(cohort())
    brain = x > 0
    grown = np.stack([ndimage.binary_dilation(one) for one in brain])
    fringed = np.where(grown & ~brain, np.float32(0.1), x)
    assert figures(fringed * brain, 1.0) == figures(x, 1.0) != figures(fringed, 1.0)
    alone, around = compare(x[:1], 1.0, reference), compare(fringed[:1], 1.0, reference, brain[:1])
    assert alone is not None
    assert around is not None
    assert around.distance <= alone.distance  # its surface is darker
    loose = loose_reference()
    around = compare(fringed[:1], 1.0, loose, brain[:1])
    assert around is not None
    assert around.distance == pytest.approx(
        loose.limit * figures(fringed[:1], 1.0)["rim"] / SURFACE, abs=2e-3
    )


def test_of_many_slices_24_are_compared() -> None:
    x, reference = np.concatenate([tissues(seed) for seed in range(50, 60)]), Reference.of(cohort())
    assert len(x) > 24
    brain = (x > 0) & (np.arange(x.shape[2]) % 7 > 0)
    used = np.linspace(0, len(x) - 1, 24).round().astype(int)
    assert compare(x, 1.0, reference, brain) == compare(x[used], 1.0, reference, brain[used])


def test_a_single_slice_may_differ_as_much_as_single_slices_do() -> None:
    spread = Spread(median=0, deviation=1, slice_deviation=3)
    assert spread.of(1) == pytest.approx(3)
    assert spread.of(4) == pytest.approx(np.sqrt(1 + 8 / 4))
    assert (
        Spread(median=0, deviation=1, slice_deviation=0.5).of(1) == Spread(median=0, deviation=1).of(1) == 1
    )
    prepared = cohort()
    middle = [figures(prepared.images[3 * n + 1 : 3 * n + 2], 1.0)["sulci"] for n in range(6)]
    assert Reference.of(prepared).figures["sulci"].slice_deviation == pytest.approx(np.std(middle), abs=1e-3)


def test_edge_slices_are_not_compared() -> None:
    known = cohort()
    edge = known.slices.iloc[:3].assign(label="edge", row=range(len(known.images), len(known.images) + 3))
    images = np.concatenate([known.images, 1 - tissues(7)])
    table = pd.concat([known.slices, edge], ignore_index=True)
    assert Reference.of(replace(known, images=images, slices=table)) == Reference.of(known)


def test_the_limit_is_above_the_farthest_volume_from_the_others() -> None:
    prepared = cohort()
    reference = Reference.of(prepared)
    assert reference.limit == pytest.approx(MARGIN * reference.farthest, abs=1e-3)
    own = [compare(prepared.images[3 * n : 3 * n + 3], 1.0, reference) for n in range(6)]
    assert all(each is not None and each.distance <= reference.limit for each in own)
    strange = replace(prepared, images=np.concatenate([tissues(7, rim=0.9), prepared.images[3:]]))
    assert Reference.of(strange).farthest > 2 * reference.farthest


def test_too_small_a_brain_and_one_without_contrast_are_not_compared() -> None:
    reference = Reference.of(cohort())
    small = np.zeros((2, 40, 40), dtype=np.float32)
    small[:, 10:30, 10:30] = tissues()[:2, 38:58, 38:58]
    assert compare(small, 1.0, reference) is None
    flat = (tissues() > 0).astype(np.float32)
    assert compare(flat, 1.0, reference) is None


def test_too_few_volumes_make_no_reference() -> None:
    with pytest.raises(InputError, match="2 training volumes have a brain large enough; expected 3"):
        Reference.of(cohort(2))


def test_a_reference_is_written_beside_the_weights_and_read_again(tmp_path: Path) -> None:
    assert Reference.read(tmp_path) is None
    written = write_reference(tmp_path, cohort())
    assert Reference.read(tmp_path) == written
    (tmp_path / FILE).write_text(json.dumps({**written.model_dump(), "format": 2}))
    with pytest.raises(InputError, match=r"training_distribution\.json: of another version"):
        Reference.read(tmp_path)
    (tmp_path / FILE).write_text("{")
    with pytest.raises(InputError, match=r"training_distribution\.json: cannot be read"):
        Reference.read(tmp_path)
    (tmp_path / FILE).write_text('{"limitt": 1}')
    with pytest.raises(InputError, match="limitt is not a setting; did you mean limit"):
        Reference.read(tmp_path)


@pytest.mark.parametrize(
    ("figure", "key", "value", "words"),
    [
        ("level", "median", 0, "figures.level.median is 0, expected more than 0, at most 1"),
        ("level", "median", 1.5, "figures.level.median is 1.5, expected more than 0, at most 1"),
        ("rim", "median", -1e308, r"figures\.rim\.median"),
        ("sulci", "deviation", 1e200, r"figures\.sulci\.deviation"),
        ("white", "deviation", -1, r"figures\.white\.deviation"),
        ("noise", "slice_deviation", 1e200, r"figures\.noise\.slice_deviation"),
        ("", "limit", 1e308, "limit"),
        ("", "farthest", -1, "farthest"),
    ],
)
def test_a_reference_beyond_all_measure_is_refused(
    tmp_path: Path, figure: str, key: str, value: float, words: str
) -> None:
    values = json.loads((bundled_weights() / FILE).read_text())
    (values["figures"][figure] if figure else values)[key] = value
    (tmp_path / FILE).write_text(json.dumps(values))
    with pytest.raises(InputError, match=words) as refused:
        Reference.read(tmp_path)
    assert len(str(refused.value).splitlines()) == 1


def test_the_bundled_reference_is_of_the_bundled_weights_data() -> None:
    reference = Reference.read(bundled_weights())
    config = json.loads((bundled_weights() / "config.json").read_text())
    assert reference is not None
    assert (reference.data, reference.volumes) == (config["data"]["key"], config["data"]["train"])


def as_trained_on(image: Volume) -> tuple[Array, NDArray[np.bool_]]:
    """The slices that would be trained on, and their brain."""
    settings = preprocessing("default")
    grid = Grid.of(image, settings, image.brain, cover=True)
    x = grid.to_canonical(Intensity.of(image.data, settings).normalised(image.data))
    brain = grid.to_canonical(image.brain, order=0) > 0
    chosen = training_slices(brain, settings.slice_selection)
    return x[chosen], brain[chosen]


def inverted(image: Volume) -> Volume:
    top = image.data.max()
    return replace(image, data=np.where(image.brain, top - image.data, 0).astype(np.float32))


def distances(images: Iterator[Volume]) -> NDArray[np.float64]:
    reference = Reference.read(bundled_weights())
    assert reference is not None
    slices = map(as_trained_on, images)
    compared = [compare(x, 1.0, reference, brain) for x, brain in slices]
    return np.array([np.nan if each is None else each.distance for each in compared])


def limit() -> float:
    reference = Reference.read(bundled_weights())
    assert reference is not None
    return reference.limit


@pytest.mark.slow
@pytest.mark.real_data
def test_the_test_patients_are_in_distribution_and_their_negatives_are_not(real_data: Path) -> None:
    patients = [volume for volume in read_cohort([real_data / "lgg"]).volumes if volume.split == "test"]
    images = [read_volume(volume.image) for volume in patients if volume.image]
    assert len(images) == 30
    assert np.count_nonzero(distances(iter(images)) <= limit()) >= 29
    assert (distances(map(inverted, images[::3])) > limit()).all()


@pytest.mark.slow
@pytest.mark.real_data
def test_flair_of_other_diseases_is_in_distribution_and_its_negative_is_not(real_data: Path) -> None:
    paths = sorted((real_data / "volumes").rglob("*[fF][lL][aA][iI][rR].nii.gz"))
    images = [read_volume(path) for path in paths if "head" not in path.name]
    assert len(images) == 5
    assert (distances(iter(images)) <= limit()).all()
    assert (distances(map(inverted, images)) > limit()).all()


@pytest.mark.slow
@pytest.mark.real_data
def test_single_slices_of_stroke_patients_are_in_distribution_and_their_negatives_are_not(
    real_data: Path,
) -> None:
    patients = [volume for volume in read_cohort([real_data / "soop"]).volumes if volume.split == "val"]
    images = [read_volume(volume.image) for volume in patients if volume.image]
    assert len(images) == 104
    assert np.count_nonzero(distances(iter(images)) > limit()) <= 8
    assert np.count_nonzero(distances(map(inverted, images)) > limit()) >= 100


def other_contrasts() -> Iterator[Volume]:
    """T1 (MNI152), and from its tissue maps T2, PD, and CT: sharp, smooth and without any tissue contrast."""
    from nilearn.datasets import load_mni152_template

    folder = Path(nibabel.__file__).parents[1] / "nilearn/datasets/data"
    gm, wm = (
        nibabel.load(folder / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz").get_fdata() / 255
        for name in ("gm", "wm")
    )
    template = load_mni152_template(resolution=1)
    t1 = np.asarray(template.dataobj, dtype=np.float32)
    brain = t1 > 0
    t1 = np.where(brain, t1 / t1.max(), 0)
    if gm.shape != t1.shape:
        pytest.skip("the template is on another grid than the tissue maps")
    rng = np.random.default_rng(0)
    csf, noise = (1 - gm - wm).clip(0), rng.normal(0, 1, t1.shape)
    ct = 8 + 30 * gm + 22 * wm + 4 * noise
    contrasts = [
        t1,
        t1 + 0.05 * noise,
        110 * gm + 75 * wm + 255 * csf + 5 * noise,
        120 * gm + 100 * wm + 130 * csf + 5 * noise,
        ct,
        ndimage.gaussian_filter(ct, 1),
        35 + 3 * noise,
    ]
    for data in contrasts:
        held = np.where(brain, np.maximum(data, 1e-3), 0).astype(np.float32)
        yield Volume(held, np.asarray(template.affine), None, held.shape, None)


@pytest.mark.real_data
def test_other_contrasts_are_out_of_distribution() -> None:
    found = distances(other_contrasts())
    assert (found > limit()).all(), found


@pytest.mark.parametrize("name", ["T1", "FLAIR"])
def test_a_phantom_as_t1_is_out_of_distribution_by_its_cortex(name: str) -> None:
    """Seeds beyond those that the limit was chosen on."""
    images = [contrasts(number, 4.0)[name] for number in (20, 21, 22)]
    found = distances(iter(images))
    assert ((found > limit()) == (name == "T1")).all(), found
