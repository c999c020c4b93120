from __future__ import annotations

import shutil
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from fixtures.brains import LPS, brain, lesion, write
from fixtures.cohorts import FITTING, bids, brats, isles
from pseudohealthy.config import Preprocessing
from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.data.predicted_images import read_outputs
from pseudohealthy.data.prepare import prepare
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import InputError


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Patients sub-01 to sub-04 with a bright lesion, and their healthy truth."""
    return bids(tmp_path_factory.mktemp("data") / "phantoms", 4, truths=True)


@pytest.fixture(scope="module")
def cohort(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    folder = tmp_path_factory.mktemp("cohort") / "prepared"
    prepare(read_cohort([phantoms]), folder, FITTING, fractions=(0.25, 0.25, 0.5))
    return Prepared.open(folder)


@pytest.fixture
def predictions(phantoms: Path, tmp_path: Path) -> Path:
    """The inputs themselves, as somebody's outputs."""
    folder = tmp_path / "outputs"
    folder.mkdir()
    for path in phantoms.glob("sub-*/anat/*.nii.gz"):
        shutil.copy(path, folder / path.name.replace("_FLAIR", "_healed"))
    return folder


def of_split(cohort: Prepared, split: str = "test") -> pd.DataFrame:
    return cohort.slices[cohort.slices["split"] == split]


def image(path: Path) -> Any:
    return nib.load(path).get_fdata().astype(np.int16)


def test_the_inputs_as_outputs_are_the_cohort_s_own_slices(
    cohort: Prepared, phantoms: Path, predictions: Path
) -> None:
    for split, label in (("test", "pathological"), ("test", "healthy"), ("val", "pathological")):
        table = of_split(cohort, split)
        table = table[table["label"] == label]
        found = read_outputs(cohort, table, predictions, [phantoms])
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, cohort.images[table["row"]])


def test_rows_of_any_order_get_their_own_slices(cohort: Prepared, phantoms: Path, predictions: Path) -> None:
    table = cohort.slices.sample(frac=0.5, random_state=0)
    found = read_outputs(cohort, table, predictions, [phantoms])
    np.testing.assert_array_equal(found, cohort.images[table["row"]])


def test_an_output_is_scaled_by_its_input_and_not_by_itself(
    cohort: Prepared, phantoms: Path, tmp_path: Path
) -> None:
    """Without the bright lesion the truth's own V99.5 is lower: all of it would come out brighter."""
    for path in phantoms.glob("derivatives/healthy/sub-*/anat/*.nii.gz"):
        write(tmp_path / path.name, image(path))
    table = of_split(cohort)
    assert cohort.truth is not None
    found = read_outputs(cohort, table, tmp_path, [phantoms])
    np.testing.assert_array_equal(found, cohort.truth[table["row"]])
    assert found.max() < 0.75  # 199 of a ceiling of 300


def test_what_is_beyond_the_input_s_range_is_clipped(
    cohort: Prepared, phantoms: Path, predictions: Path
) -> None:
    for path in predictions.iterdir():
        data = image(path).astype(np.float32)
        data[20:24], data[24:28] = -50, 5000
        write(path, data)
    found = read_outputs(cohort, of_split(cohort), predictions, [phantoms])
    assert (found.min(), found.max()) == (0, 1)


TURNS: list[tuple[Callable[[Any], Any], Any]] = [
    (lambda data: data[::-1, ::-1], np.diag([1.0, 1, 1, 1])),  # RAS
    (lambda data: data.transpose(2, 0, 1), LPS[:, [2, 0, 1, 3]]),  # slices first
]


@pytest.mark.parametrize(("turn", "affine"), TURNS)
def test_an_output_that_is_stored_in_another_order_is_turned(
    turn: Callable[[Any], Any], affine: Any, cohort: Prepared, phantoms: Path, predictions: Path
) -> None:
    affine = affine.copy()
    corner = [-(n - 1) if sign > 0 else 0 for n, sign in zip((48, 64), np.diag(affine)[:2], strict=True)]
    if np.diag(affine)[0] > 0:
        affine[:2, 3] = corner  # where voxel 0 of the turned image lies
    for path in predictions.iterdir():
        write(path, turn(image(path)), affine)
    table = of_split(cohort)
    found = read_outputs(cohort, table, predictions, [phantoms])
    np.testing.assert_array_equal(found, cohort.images[table["row"]])


def test_a_mirrored_header_is_another_place(cohort: Prepared, phantoms: Path, predictions: Path) -> None:
    for path in predictions.iterdir():
        write(path, image(path), np.diag([1.0, 1, 1, 1]))  # says RAS of voxels in LPS order
    with pytest.raises(InputError, match=r"sub-0\d_healed.nii.gz: not on the grid of .*_FLAIR.nii.gz"):
        read_outputs(cohort, of_split(cohort), predictions, [phantoms])


def test_masks_and_differences_are_not_taken_for_images(
    cohort: Prepared, phantoms: Path, predictions: Path
) -> None:
    kinds = ("mask", "label-lesion_probseg", "dseg", "seg", "desc-difference_FLAIR")
    for number in range(1, 5):
        for kind in kinds:
            write(predictions / f"sub-{number:02d}_{kind}.nii.gz", lesion())
    table = of_split(cohort)
    found = read_outputs(cohort, table, predictions, [phantoms])
    np.testing.assert_array_equal(found, cohort.images[table["row"]])


def subjects(cohort: Prepared, split: str = "test") -> list[str]:
    return list(dict.fromkeys(of_split(cohort, split)["subject"]))


def test_who_is_missing_is_told_and_what_was_looked_for(
    cohort: Prepared, phantoms: Path, predictions: Path
) -> None:
    first, second = subjects(cohort)
    (predictions / f"sub-{second}_healed.nii.gz").rename(predictions / f"sub-{second}9.nii.gz")
    (predictions / f"sub-{second}_mask.nii.gz").touch()
    with pytest.raises(
        InputError,
        match=rf"no image for 1 of 2 volumes: {second}; looked for {second}\*\.nii\[\.gz\] or sub-{second}\*",
    ) as error:
        read_outputs(cohort, of_split(cohort), predictions, [phantoms])
    assert f"sub-{first}" not in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="nowhere: no such folder"):
        read_outputs(cohort, of_split(cohort), predictions / "nowhere", [phantoms])


def test_only_the_volumes_of_the_rows_are_needed(cohort: Prepared, phantoms: Path, predictions: Path) -> None:
    for subject in subjects(cohort, "train") + subjects(cohort, "val"):
        (predictions / f"sub-{subject}_healed.nii.gz").unlink()
    assert len(read_outputs(cohort, of_split(cohort), predictions, [phantoms])) == 36


def test_two_images_of_one_volume_are_ambiguous(cohort: Prepared, phantoms: Path, predictions: Path) -> None:
    subject = subjects(cohort)[0]
    write(predictions / f"more/{subject}.nii", brain())
    names = rf"more/{subject}.nii, sub-{subject}_healed.nii.gz"
    with pytest.raises(InputError, match=rf"2 images for {subject}, expected one: {names}"):
        read_outputs(cohort, of_split(cohort), predictions, [phantoms])


def spoilt(data: Any, kind: str) -> Any:
    data = data.astype(np.float32)
    if kind == "nan":
        data[0, 0, 0] = np.nan
    return {
        "nan": data,
        "4-D": np.stack([data, data], axis=3),
        "black": 0 * data,
        "shape": data[1:],
        "unit scale": data / 3000,
        "bytes of a small scale": data * 1000,
    }[kind]


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("nan", "1 of 61440 voxels are NaN or infinite"),
        ("4-D", r"has shape \(48, 64, 20, 2\); expected one 3-D volume"),
        ("black", "every voxel is 0"),
        ("shape", "not on the grid of"),
        ("unit scale", "expected the intensity units of .*median"),
        ("bytes of a small scale", "expected the intensity units of .*median"),
    ],
)
def test_an_output_that_cannot_be_used_is_named(
    kind: str, says: str, cohort: Prepared, phantoms: Path, predictions: Path
) -> None:
    path = predictions / f"sub-{subjects(cohort)[1]}_healed.nii.gz"
    write(path, spoilt(image(path), kind))
    with pytest.raises(InputError, match=rf"{path.name}.*{says}") as error:
        read_outputs(cohort, of_split(cohort), predictions, [phantoms])
    assert "\n" not in str(error.value)


def test_an_input_that_is_gone_or_was_changed_is_named(
    cohort: Prepared, phantoms: Path, predictions: Path, tmp_path: Path
) -> None:
    changed = Path(shutil.copytree(phantoms, tmp_path / "changed"))
    name = f"sub-{subjects(cohort)[0]}"
    write(changed / f"{name}/anat/{name}_FLAIR.nii.gz", brain(77))
    with pytest.raises(
        InputError, match=rf"changed/{name}/.*: not the file that the cohort was prepared from"
    ):
        read_outputs(cohort, of_split(cohort), predictions, [changed])
    with pytest.raises(InputError, match=rf"no {name}/anat/.* in .*outputs; expected the data set phantoms"):
        read_outputs(cohort, of_split(cohort), predictions, [predictions])
    # The data set may have another name by now, and another one may hold a file of that name.
    moved = Path(shutil.copytree(phantoms, tmp_path / "moved"))
    assert len(read_outputs(cohort, of_split(cohort), predictions, [changed, moved])) == 36


@pytest.mark.parametrize("outside", ["../{0.name}", "{0}"])
def test_an_input_outside_the_data_set_is_not_read(
    cohort: Prepared, phantoms: Path, predictions: Path, outside: str
) -> None:
    manifest = deepcopy(cohort.manifest)
    for image in (record["inputs"]["image"] for record in manifest["volumes"]):
        image["path"] = f"{outside.format(phantoms)}/{image['path']}"
    with pytest.raises(InputError, match="expected the path of something inside") as error:
        read_outputs(replace(cohort, manifest=manifest), of_split(cohort), predictions, [phantoms])
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("make", [brats, isles])
def test_each_layout_s_outputs_may_be_called_after_case_or_image(tmp_path: Path, make: Any) -> None:
    """Case 1 is not case 10, `_1_1` not `_11_1`; `synthesize` calls its outputs after the image."""
    data = make(tmp_path / "data", 11)
    settings = Preprocessing(slice_shape=(64, 48))  # the paper's: the middle 60 slices, here all with brain
    prepare(read_cohort([data]), tmp_path / "prepared", settings)
    cohort = Prepared.open(tmp_path / "prepared")
    outputs = tmp_path / "outputs"
    for number, record in enumerate(cohort.manifest["volumes"]):
        path = data / record["inputs"]["image"]["path"]
        name = path.name.removesuffix(".gz").removesuffix(".nii").removesuffix("_flair")
        called = f"{name}_desc-pseudohealthy_FLAIR" if number % 2 else record["subject"]
        write(outputs / f"{called}.nii.gz", image(path))
        write(outputs / f"{called}_seg.nii.gz", lesion())
    found = read_outputs(cohort, cohort.slices, outputs, [data])
    np.testing.assert_array_equal(found, cohort.images)
    assert len(found) == 11 * 18


def test_of_several_sessions_each_has_its_own_output(tmp_path: Path) -> None:
    for number, sessions in enumerate(("12", "12", "1", "1"), 1):
        for session in sessions:
            name = f"sub-{number}/ses-{session}/anat/sub-{number}_ses-{session}"
            write(tmp_path / f"data/{name}_FLAIR.nii.gz", brain(10 * number + int(session)))
            write(tmp_path / f"data/derivatives/lesions/{name}_label-L_mask.nii.gz", lesion())
            called = f"sub-{number}_ses-{session}" if len(sessions) > 1 else f"sub-{number}"
            write(tmp_path / f"outputs/{called}_healed.nii", brain(10 * number + int(session)))
    prepare(read_cohort([tmp_path / "data"]), tmp_path / "prepared", FITTING)
    cohort = Prepared.open(tmp_path / "prepared")
    found = read_outputs(cohort, cohort.slices, tmp_path / "outputs", [tmp_path / "data"])
    np.testing.assert_array_equal(found, cohort.images)
    (tmp_path / "outputs/sub-2_ses-2_healed.nii").rename(tmp_path / "outputs/sub-2_healed.nii")
    with pytest.raises(InputError, match=r"2 session 2; looked for 2_ses-2\*.* or sub-2_ses-2\*"):
        read_outputs(cohort, cohort.slices, tmp_path / "outputs", [tmp_path / "data"])


def test_two_data_sets_with_the_same_names(tmp_path: Path) -> None:
    first, second = bids(tmp_path / "a", 3), bids(tmp_path / "b", 3, seed=50)
    prepare(read_cohort([first, second]), tmp_path / "prepared", FITTING)
    cohort = Prepared.open(tmp_path / "prepared")
    for number in range(1, 4):
        for source in (first, second):
            name = f"sub-{number:02d}"
            path = source / f"{name}/anat/{name}_FLAIR.nii.gz"
            write(tmp_path / f"outputs/{source.name}-{number:02d}.nii.gz", image(path))
    table = cohort.slices
    found = read_outputs(cohort, table, tmp_path / "outputs", [second, first])
    np.testing.assert_array_equal(found, cohort.images)
    (tmp_path / "outputs/a-01.nii.gz").rename(tmp_path / "outputs/sub-01.nii.gz")
    with pytest.raises(InputError, match=r"a-01; looked for a-01\*"):  # sub-01 could be of either
        read_outputs(cohort, table, tmp_path / "outputs", [first, second])
