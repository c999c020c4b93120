import json
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from pseudohealthy.errors import RESEARCH_USE, InputError
from pseudohealthy.phantom.dataset import make_phantoms


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_phantoms(tmp_path_factory.mktemp("p") / "cohort", patients=4, controls=2, seed=1, spacing=6.0)


def _files(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_names_are_those_of_bids(cohort: Path) -> None:
    names = set(_files(cohort))
    roots = ("", "derivatives/lesions/", "derivatives/healthy/")
    expected = {f"{root}dataset_description.json" for root in roots} | {"README", "participants.tsv"}
    for label in ("sub-P001", "sub-P002", "sub-P003", "sub-P004", "sub-C001", "sub-C002"):
        for root, suffix in zip(roots, ("FLAIR", "label-lesion_mask", "desc-healthy_FLAIR"), strict=True):
            expected |= {f"{root}{label}/anat/{label}_{suffix}{end}" for end in (".nii.gz", ".json")}
    assert names == expected
    readme = (cohort / "README").read_text()
    assert "Synthetic" in readme
    assert "MNI152" in readme
    assert RESEARCH_USE in readme


def test_images_have_codes_units_and_one_grid(cohort: Path) -> None:
    for path in cohort.rglob("*.nii.gz"):
        image = nib.load(path)
        assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
        np.testing.assert_allclose(image.header.get_zooms(), (6.0, 6.0, 6.0))
        assert (int(image.header["qform_code"]), int(image.header["sform_code"])) == (1, 1)
        assert image.header.get_xyzt_units()[0] == "mm"
        assert image.get_data_dtype() == (np.uint8 if "mask" in path.name else np.int16)
    sidecar = json.loads((cohort / "sub-P001/anat/sub-P001_FLAIR.json").read_text())
    assert sidecar["SkullStripped"] is True


def test_table_agrees_with_the_masks(cohort: Path) -> None:
    table = pd.read_csv(cohort / "participants.tsv", sep="\t")
    assert list(table.columns) == ["participant_id", "group", "split", "lesions", "lesion_ml", "mass_effect"]
    assert list(table["group"]) == ["patient"] * 4 + ["control"] * 2
    assert set(table["split"][:4]) == {"train", "val", "test"}
    for row in table.to_dict("records"):
        label = row["participant_id"]
        mask = cohort / f"derivatives/lesions/{label}/anat/{label}_label-lesion_mask.nii.gz"
        millilitres = np.asarray(nib.load(mask).dataobj).sum() * 0.216
        assert row["lesion_ml"] == pytest.approx(millilitres, abs=0.01)
        assert (row["lesions"] > 0) == (row["group"] == "patient") == (millilitres > 0)


def test_seed_decides_the_files_whatever_the_number_of_subjects(cohort: Path, tmp_path: Path) -> None:
    same = _files(make_phantoms(tmp_path / "same", patients=4, controls=2, seed=1, spacing=6.0))
    assert same == _files(cohort)
    fewer = _files(make_phantoms(tmp_path / "fewer", patients=1, controls=1, seed=1, spacing=6.0))
    images = {name for name in fewer if name.endswith(".nii.gz")}
    assert len(images) == 6
    assert all(fewer[name] == same[name] for name in images)
    other = _files(make_phantoms(tmp_path / "other", patients=1, seed=2, spacing=6.0))
    name = "sub-P001/anat/sub-P001_FLAIR.nii.gz"
    assert other[name] != same[name]


def test_the_same_data_set_is_left_alone(cohort: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in cohort.rglob("*")}
    assert make_phantoms(cohort, patients=4, controls=2, seed=1, spacing=6.0) == cohort
    assert {path: path.stat().st_mtime_ns for path in cohort.rglob("*")} == before


def test_another_data_set_is_refused_and_kept(cohort: Path, tmp_path: Path) -> None:
    before = _files(cohort)
    with pytest.raises(InputError, match="is not the requested phantom data set"):
        make_phantoms(cohort, patients=5, controls=2, seed=1, spacing=6.0)
    assert _files(cohort) == before
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="give another folder"):
        make_phantoms(tmp_path, patients=1, spacing=6.0)
    with pytest.raises(InputError, match="give another folder"):
        make_phantoms(tmp_path / "notes.txt", patients=1, spacing=6.0)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_data_set_with_a_lost_image_is_refused(tmp_path: Path) -> None:
    out = make_phantoms(tmp_path / "out", patients=1, spacing=6.0)
    (out / "sub-P001/anat/sub-P001_FLAIR.nii.gz").unlink()
    with pytest.raises(InputError):
        make_phantoms(out, patients=1, spacing=6.0)


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int, label: str) -> None:
        assert (total, label) == (3, f"sub-P{done + 1:03d}")
        if done == 1:
            raise KeyboardInterrupt

    (tmp_path / "out").mkdir()
    with pytest.raises(KeyboardInterrupt):
        make_phantoms(tmp_path / "out", patients=3, spacing=6.0, progress=stop)
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"patients": 0}, "one subject or more"),
        ({"patients": -1, "controls": 3}, "one subject or more"),
        ({"patients": 10**9}, "at most 10000 of each"),
        ({"patients": 1, "controls": 10**9}, "at most 10000 of each"),
        ({"patients": 1, "seed": 2**32}, r"a seed below 2\^32"),
        ({"patients": 1, "spacing": 0.0}, "spacing is 0.0 mm"),
        ({"patients": 1, "splits": (0.5, 0.5, 0.5)}, "sum to 1"),
    ],
)
def test_values_out_of_range_are_told(values: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        make_phantoms(tmp_path / "out", **values)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_splits_have_their_shares(tmp_path: Path) -> None:
    out = make_phantoms(tmp_path / "out", patients=8, controls=3, spacing=6.0, splits=(0.5, 0.25, 0.25))
    table = pd.read_csv(out / "participants.tsv", sep="\t")
    found = Counter(zip(table["group"], table["split"], strict=True))
    assert [found["patient", split] for split in ("train", "val", "test")] == [4, 2, 2]
    assert [found["control", split] for split in ("train", "val", "test")] == [1, 1, 1]
