"""The experiment on transplanted lesions: its data sets, its painted lesions, and its sums."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fixtures.brains import ellipse
from fixtures.models import saved
from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.data.volume import read_labels
from pseudohealthy.evaluation.slice_set import SliceSet
from pseudohealthy.files import write_json
from pseudohealthy.phantom.dataset import make_phantoms
from scripts.measure_transplants import (
    Cohort,
    Draw,
    _subset,
    compared,
    expect_one_precision,
    main,
    painted,
    score,
    with_found,
)


def test_a_painted_lesion_is_bright_in_its_mask_and_leaves_the_rest() -> None:
    brain = ellipse((40, 32), (18, 14))[..., None] * np.ones(3)
    healthy = (100 * brain).astype(np.float32)
    lesion = np.zeros(healthy.shape, bool)
    lesion[12:22, 10:18, 1] = True
    made = painted(healthy, lesion, (3,))
    np.testing.assert_array_equal(made[..., [0, 2]], healthy[..., [0, 2]])
    far = ~lesion[..., 1]
    far[6:28, 4:24] = False
    np.testing.assert_allclose(made[far, 1], healthy[far, 1], atol=0.05)
    assert made[lesion].mean() > 110
    np.testing.assert_array_equal(made, painted(healthy, lesion, (3,)))


def test_a_subset_is_a_data_set_of_some_patients_all_for_training(tmp_path: Path) -> None:
    data = make_phantoms(tmp_path / "data", patients=4, seed=0, spacing=4.0)
    chosen = ["sub-P003", "sub-P001"]
    cohort = read_cohort([_subset(data, chosen, tmp_path / "some")])
    assert sorted(f"sub-{each.subject}" for each in cohort.volumes) == sorted(chosen)
    assert {each.split for each in cohort.volumes} == {"train"}
    assert all(each.mask for each in cohort.volumes)


def test_a_copy_of_a_subset_has_the_same_images_under_other_names(tmp_path: Path) -> None:
    data = make_phantoms(tmp_path / "data", patients=2, seed=0, spacing=4.0)
    _subset(data, ["sub-P001"], tmp_path / "once")
    _subset(data, ["sub-P001"], tmp_path / "again", split="val", suffix="copy1")
    once, again = (read_cohort([tmp_path / name]).volumes[0] for name in ("once", "again"))
    assert (once.subject, once.split, again.subject, again.split) == ("P001", "train", "P001copy1", "val")
    files = [[path.resolve() for path in (each.image, each.mask) if path] for each in (once, again)]
    assert len(files[0]) == 2
    assert files[0] == files[1]


def test_gains_are_of_the_same_patients_and_averaged_over_seeds() -> None:
    def scored(*values: float) -> tuple[pd.Series[float], float]:
        return pd.Series(values, index=["a", "b"]), 0.01

    found = compared(
        {
            "real": [scored(0.2, 0.4), scored(0.4, 0.4)],
            "painted": [scored(0.4, 0.4), scored(0.4, 0.4)],
            "transplanted": [scored(0.5, 0.4), scored(0.5, 0.6)],
        }
    )
    assert found["patients"] == 2
    assert found["dice"]["real"]["mean"] == pytest.approx(0.35)
    assert found["dice"]["transplanted"]["by_seed"] == pytest.approx([0.45, 0.55])
    assert found["gain"]["painted"]["mean"] == pytest.approx(0.05)
    assert found["gain"]["transplanted"]["mean"] == pytest.approx(0.15)
    assert found["gain"]["transplanted"]["by_seed"] == pytest.approx([0.15, 0.15])
    assert found["gain"]["transplanted_over_painted"]["mean"] == pytest.approx(0.10)
    assert found["marked_without_lesion"]["real"] == [0.01, 0.01]


def test_trainings_of_two_precisions_are_not_compared(tmp_path: Path) -> None:
    runs = [tmp_path / name for name in "abc"]
    for run, precision in zip(runs, ("bf16-mixed", "bf16-mixed", "32-true"), strict=True):
        run.mkdir()
        (run / "settings.yaml").write_text(f"precision: {precision}\n", encoding="utf-8")
    expect_one_precision(runs[:2])
    with pytest.raises(SystemExit, match=r"b in bf16-mixed and .*c in 32-true"):
        expect_one_precision(runs)


def test_what_is_found_stands_beside_what_was_found_before(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    for cohort, count in (("lgg", 60), ("soop", 20), ("lgg", 20), ("lgg", 60)):
        write_json(out, with_found(out, cohort, count, {"patients": count}))
    cohorts = json.loads(out.read_text(encoding="utf-8"))["cohorts"]
    assert cohorts == {
        "lgg": {"20": {"patients": 20}, "60": {"patients": 60}},
        "soop": {"20": {"patients": 20}},
    }
    assert list(cohorts["lgg"]) == ["20", "60"]


def test_a_patients_slices_count_together_and_what_is_marked_without_a_lesion_apart(tmp_path: Path) -> None:
    brain = ellipse((64, 48), (28, 20))
    masks = np.zeros((3, 64, 48), bool)
    masks[0, 30:40, 20:30] = True
    slices = SliceSet(np.stack([0.5 * brain] * 3).astype(np.float32), masks, np.array(["a", "a", "b"]))
    dice, share = score(saved(tmp_path, "judge", finds=True), slices)  # which marks every pixel
    area = np.count_nonzero(brain)
    assert list(dice.index) == ["a"]
    assert dice["a"] == pytest.approx(2 * 100 / (2 * area + 100))  # the patient's second slice has no lesion
    assert share == 1


def test_the_first_patients_of_a_seed_are_among_its_more_patients(tmp_path: Path) -> None:
    data = make_phantoms(tmp_path / "data", patients=8, seed=0, spacing=4.0)
    cohort = Cohort("phantoms", data, tmp_path / "work")
    few, more = (Draw(cohort, count, 1).patients()[0] for count in (2, 4))
    assert few == more[:2]
    assert set(more) <= set(cohort.training_patients()[0])
    assert few != Draw(cohort, 2, 0).patients()[0] or more != Draw(cohort, 4, 0).patients()[0]


@pytest.mark.slow
def test_the_whole_experiment_on_few_phantoms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patients alone, so that lesions are put beside lesions, and both are marked."""
    data = make_phantoms(tmp_path / "data", patients=8, seed=0, spacing=4.0)
    out, work = tmp_path / "results.json", tmp_path / "work"
    options = ["--work", work, "--out", out, "--patients", 2, "--lesions", 4, "--images", 8, "--seeds", 1]
    monkeypatch.setattr(sys, "argv", ["measure_transplants", f"phantoms={data}", *map(str, options)])
    main()
    found = json.loads(out.read_text(encoding="utf-8"))["cohorts"]["phantoms"]["2"]
    assert set(found["dice"]) == {"real", "painted", "transplanted"}
    assert found["patients"] > 0
    assert found["config"]["images"] == 8
    draw = work / "phantoms/2-patients-seed-0"
    for kind in ("real", "painted", "transplanted"):
        table = Prepared.open(draw / f"prepared_{kind}").slices
        ill = table[table["label"] == "pathological"]
        assert set(ill["split"]) == {"train", "val"}
        assert (ill["subject"].str.contains("copy")).any() == (kind != "real")
    for mask in draw.glob("transplanted/sub-*/**/*_mask.nii.gz"):
        new, both = (
            read_labels(draw / name / mask.relative_to(draw / "transplanted")).data > 0
            for name in ("new_lesions", "transplanted")
        )
        assert both[new].all()
        assert np.count_nonzero(both) > np.count_nonzero(new)
