"""The paper's two experiments, on phantoms laid out exactly as the two data sets come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from pseudohealthy.experiment.config import read_experiment
from pseudohealthy.experiment.runner import reproduce
from pseudohealthy.phantom.dataset import make_phantoms
from pseudohealthy.settings_files import read_yaml

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    "preprocessing={spacing: 4, slice_shape: [64, 48]}",
    "settings={networks: {width: 4, segmentor_width: 4, discriminator_width: 4}, training: {images: 8}}",
    "settings.training.snapshot_every=8",
    "judges.narrow.networks.segmentor_width=4",
    "judges.held_out.networks.segmentor_width=4",
    "resegmentation_steps=2",
]
FEWER = {"isles2015": [], "brats2018": ["data.choose=12"]}


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, Path]]:
    """Image and mask of 28 subjects."""
    root = make_phantoms(tmp_path_factory.mktemp("phantoms") / "bids", patients=28, spacing=4.0)
    images = sorted(root.glob("sub-*/anat/*_FLAIR.nii.gz"))
    masks = sorted(root.glob("derivatives/lesions/sub-*/anat/*_mask.nii.gz"))
    return list(zip(images, masks, strict=True))


def copied(source: Path, to: Path, values: int = 1) -> None:
    """A volume as LPS integers, as both data sets have it, with masks of some value."""
    image = nib.load(source)
    lps = image.as_reoriented(nib.orientations.io_orientation(np.diag([-1, -1, 1, 1])))
    data = np.asarray(lps.dataobj).astype(np.int16) * values
    to.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, lps.affine), to)


def isles(root: Path, phantoms: list[tuple[Path, Path]]) -> Path:
    for number, (image, mask) in enumerate(phantoms, 1):
        for source, name in (
            (image, f"VSD.Brain.XX.O.MR_Flair.{70600 + number}"),
            (mask, f"VSD.Brain.XX.O.OT.{70700 + number}"),
        ):
            copied(source, root / str(number) / name / f"{name}.nii")
    return root


def brats(root: Path, phantoms: list[tuple[Path, Path]]) -> Path:
    for number, (image, mask) in enumerate(phantoms, 1):
        case = f"Brats18_TCIA01_{number}_1"
        copied(image, root / case / f"{case}_flair.nii.gz")
        copied(mask, root / case / f"{case}_seg.nii.gz", values=4)
    return root


def single(root: Path, phantoms: list[tuple[Path, Path]]) -> Path:
    """A BIDS data set of one axial slice a patient: with a lesion, or at a height where there is none."""
    rows = [f"sub-{n:02d}\t{('train', 'val', 'test')[n // 2 % 3]}" for n in range(len(phantoms))]
    root.mkdir()
    (root / "participants.tsv").write_text("\n".join(["participant_id\tsplit", *rows]), encoding="utf-8")
    for number, (image, mask) in enumerate(phantoms):
        name = f"sub-{number:02d}/anat/sub-{number:02d}"
        lesion, brain = (np.asarray(nib.load(path).dataobj) > 0 for path in (mask, image))
        area = np.count_nonzero(lesion, axis=(0, 1))
        without = np.where(area == 0, np.count_nonzero(brain, axis=(0, 1)), 0)
        z = int(np.argmax(area if number % 2 else without))
        for source, to in (
            (image, root / f"{name}_FLAIR.nii.gz"),
            (mask, root / f"derivatives/lesions/{name}_label-lesion_mask.nii.gz"),
        ):
            to.parent.mkdir(parents=True, exist_ok=True)
            nib.save(nib.load(source).slicer[:, :, z : z + 1], to)
    return root


@pytest.mark.slow
def test_one_command_makes_a_table_of_one_slice_a_patient(
    tmp_path: Path, phantoms: list[tuple[Path, Path]]
) -> None:
    judges = ("first", "other_seed", "other_augmentation", "held_out")
    fewer = [f"judges.{name}.training.images=8" for name in judges]
    methods = read_yaml(ROOT / "configs/soop.yaml")["methods"]
    for method in methods:
        if "warm_up_images" in method.get("training", {}):
            method["training"]["warm_up_images"] = 8
    smaller = [option for option in SMALL if not option.startswith("judges.narrow")]
    options = [*smaller, *fewer, f"methods={json.dumps(methods)}"]
    experiment = read_experiment(ROOT / "configs/soop.yaml", options)
    results = reproduce(
        experiment, tmp_path / "out", folders=[single(tmp_path / "set", phantoms)], device="cpu"
    )
    table1 = json.loads((results / "table1.json").read_text(encoding="utf-8"))
    totals = table1["slices"]
    assert all(totals[split]["pathological"] and totals[split]["healthy"] for split in totals)
    assert all(totals[split]["edge"] == 0 for split in totals)
    assert all(np.isfinite(facts["h_real_healthy"]) for facts in table1["judges"].values())
    assert all(
        row["through_plane_inconsistency"] is None or row["through_plane_inconsistency"]["mean"] is None
        for row in table1["rows"]
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "lay_out", "split"),
    [
        ("isles2015", isles, {"train": 18, "val": 4, "test": 6}),
        ("brats2018", brats, {"train": 6, "val": 1, "test": 5}),
    ],
)
def test_one_command_makes_the_paper_s_table(
    tmp_path: Path, phantoms: list[tuple[Path, Path]], name: str, lay_out: Any, split: dict[str, int]
) -> None:
    experiment = read_experiment(ROOT / "configs" / f"{name}.yaml", [*SMALL, *FEWER[name]])
    results = reproduce(
        experiment, tmp_path / "out", folders=[lay_out(tmp_path / "set", phantoms)], device="cpu"
    )
    table1 = json.loads((results / "table1.json").read_text(encoding="utf-8"))
    assert table1["split"] == split
    raw = [row for row in table1["rows"] if row["output"] == "raw" and row["preset"] == "midl2019"]
    assert {row["method"] for row in raw} == {run.method for run in experiment.runs}
    assert all(row["truth_phantom"] is None for row in table1["rows"])
    tests = [test for method in table1["statistics"].values() for test in method.values()]
    assert len(tests) == (4 if table1["valid"] else 2), "an invalid judge's healthiness is not tested"
    assert all(test["n"] == split["test"] for test in tests)
    page = (results / "table1.md").read_text(encoding="utf-8")
    assert "0.93 ± 0.02" in page, "the paper's own figure stands beside ours"
