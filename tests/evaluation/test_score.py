from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from pseudohealthy.errors import InputError, PseudohealthyError
from pseudohealthy.evaluation.identity import volume_identity
from pseudohealthy.evaluation.score import Scored, score, summarise, write_scores
from pseudohealthy.evaluation.statistics import interval
from pseudohealthy.evaluation.truth import volume_truth

VOLUMES = np.array(["sub-2", "sub-1", "sub-2", "sub-3", "sub-1", "sub-2"])
INTERVAL = {"mean", "std", "low", "high"}


def cohort() -> Scored:
    """Six slices of three volumes with a bright lesion, of which a method leaves some, and a judge."""
    rng = np.random.default_rng(0)
    brains = np.zeros((6, 48, 40), dtype=np.bool_)
    brains[:, 4:44, 4:36] = True
    truth = np.clip(0.4 + 0.2 * gaussian_filter(rng.standard_normal(brains.shape), (0, 1, 1)), 0.05, 1)
    masks = np.zeros(brains.shape, dtype=np.uint8)
    for z in range(6):
        masks[z, 10 : 14 + 2 * z, 10:20] = 1
    truth = (truth * brains).astype(np.float32)
    images = np.clip(truth + 0.3 * masks, 0, 1).astype(np.float32)
    outputs = np.clip(truth + 0.05 * masks + 0.01 * brains, 0, 1).astype(np.float32)
    judged = (masks > 0) & (rng.random(masks.shape) < 0.1)
    judged_inputs = (masks > 0) & (rng.random(masks.shape) < 0.9)
    return Scored(
        images,
        outputs,
        masks,
        VOLUMES,
        brains=brains,
        judged=judged,
        judged_inputs=judged_inputs,
        truth=truth,
        spacing=(1.0, 0.9),
    )


def test_a_row_a_volume_with_that_volumes_own_measures() -> None:
    scored = cohort()
    table = score(scored)
    assert table.index.tolist() == ["sub-2", "sub-1", "sub-3"]
    assert table["slices"].tolist() == [3, 2, 1]
    assert table["lesion_voxels"].tolist() == [40 + 80 + 140, 60 + 120, 100]
    assert scored.brains is not None
    assert scored.truth is not None
    rows = VOLUMES == "sub-1"
    arguments = (scored.masks[rows] > 0, scored.brains[rows])
    outputs, images, truth = scored.outputs[rows], scored.images[rows], scored.truth[rows]
    expected = volume_identity(outputs, images, *arguments)
    errors = volume_truth(outputs, images, truth, *arguments, spacing=(1.0, 0.9))
    expected |= {f"truth.{name}": value for name, value in errors.items()}
    assert len(expected) == 14
    assert table.loc["sub-1", list(expected)].to_dict() == pytest.approx(expected)


def test_healthiness_by_hand() -> None:
    scored = cohort()
    judged = np.zeros(scored.masks.shape, dtype=np.bool_)
    judged[0, 10, 10:20] = True  # 10 voxels in sub-2, whose 3 slices are half of the cohort
    judged_inputs = scored.masks > 0
    scored = dataclasses.replace(scored, judged=judged, judged_inputs=judged_inputs)
    table = score(scored)
    assert table["found_voxels"].tolist() == [10, 0, 0]
    assert table["healthiness"].tolist() == pytest.approx([1 - (10 / 3) / (540 / 6), 1, 1])
    found = summarise(table)["healthiness"]
    assert set(found) == INTERVAL | {"pooled", "rel"}
    assert found["pooled"] == found["rel"] == pytest.approx(1 - 10 / 540)
    assert np.average(table["healthiness"], weights=table["slices"]) == pytest.approx(found["pooled"])


def test_a_copy_is_the_same_person_and_as_ill_as_before() -> None:
    scored = cohort()
    copied = dataclasses.replace(scored, outputs=scored.images, judged=scored.judged_inputs)
    summary = summarise(score(copied))
    for form in ("identity", "identity_normalised"):
        assert summary[form] == pytest.approx({"mean": 1, "std": 0, "low": 1, "high": 1})
    assert summary["healthiness"]["rel"] == 0.0
    assert summary["healthiness"]["pooled"] == pytest.approx(0.1, abs=0.05)
    assert summary["truth"]["mae_ratio"]["mean"] == 1.0


def test_the_summary_has_an_interval_of_each_measure_in_its_group() -> None:
    table = score(cohort())
    summary = summarise(table, seed=5)
    assert summary["volumes"] == 3
    assert summary["slices"] == 6
    assert summary["psnr_outside"] == interval(table["psnr_outside"], 5)
    assert summary["truth"]["rim"]["ssim"] == interval(table["truth.rim.ssim"], 5)
    assert set(summary) == {
        *("volumes", "slices", "identity", "identity_normalised"),
        *("psnr_outside", "mae_outside", "truth", "healthiness"),
    }
    assert {name for name, values in summary["truth"].items() if set(values) == {"psnr", "ssim", "mae"}} == {
        *("inside", "rim", "outside")
    }


def test_what_is_not_given_is_absent() -> None:
    full = cohort()
    table = score(Scored(full.images, full.outputs, full.masks, full.volumes))
    assert not [name for name in table if "truth" in str(name) or "found" in str(name)]
    assert "healthiness" not in summarise(table)
    judged_only = score(dataclasses.replace(full, judged_inputs=None))
    assert "rel" not in summarise(judged_only)["healthiness"]


def test_without_brains_the_brain_is_where_the_image_is_not_black() -> None:
    full = cohort()
    pd.testing.assert_frame_equal(score(dataclasses.replace(full, brains=None)), score(full))


def test_memory_maps_give_the_same_table(tmp_path: Path) -> None:
    full = cohort()
    mapped: dict[str, Any] = {}
    for field in ("images", "outputs", "masks", "brains", "judged", "judged_inputs", "truth"):
        np.save(tmp_path / f"{field}.npy", getattr(full, field))
        mapped[field] = np.load(tmp_path / f"{field}.npy", mmap_mode="r")
    pd.testing.assert_frame_equal(score(dataclasses.replace(full, **mapped)), score(full))


def test_unusable_arrays_are_refused_in_one_line() -> None:
    full = cohort()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"outputs": full.outputs[1:]}, r"outputs have shape \(5, 48, 40\), but images have \(6, 48, 40\)"),
        ({"volumes": VOLUMES[1:]}, "expected a label a slice"),
        ({"images": full.images[0]}, r"expected \(N, H, W\)"),
        ({"outputs": 2 * full.outputs}, r"volume sub-2: outputs run from 0 to 1\.\d+, expected \[0, 1\]"),
        ({"outputs": full.outputs * np.float32("nan")}, "outputs run from nan to nan"),
        ({"truth": full.images - 1}, "truth run from -1"),
        (
            {"masks": full.masks * (VOLUMES != "sub-3")[:, None, None]},
            "volume sub-3: a slice has an empty mask",
        ),
    ]
    for change, message in cases:
        with pytest.raises(InputError, match=message) as caught:
            score(dataclasses.replace(full, **change))
        assert "\n" not in str(caught.value)


def test_files_are_read_back_as_they_were(tmp_path: Path) -> None:
    table = score(cohort())
    summary = summarise(table)
    write_scores(tmp_path / "a" / "b", table, summary)
    assert json.loads((tmp_path / "a" / "b" / "summary.json").read_text()) == summary
    read = pd.read_csv(tmp_path / "a" / "b" / "volumes.tsv", sep="\t", index_col="volume")
    pd.testing.assert_frame_equal(read, table, check_exact=False, rtol=1e-15)


def test_what_could_not_be_measured_is_null_in_strict_json(tmp_path: Path) -> None:
    full = cohort()
    one = dataclasses.replace(full, volumes=np.zeros(6, dtype=int), brains=full.masks)
    table = score(one)
    write_scores(tmp_path, table, summarise(table))

    def refuse(token: str) -> None:
        raise AssertionError(token)

    read = json.loads((tmp_path / "summary.json").read_text(), parse_constant=refuse)
    assert read["psnr_outside"] == dict.fromkeys(("mean", "std", "low", "high"))
    assert read["identity"]["mean"] > 0.5
    assert read["identity"]["low"] is None
    assert "\tn/a" in (tmp_path / "volumes.tsv").read_text()


def test_a_second_run_replaces_whole_files_and_leaves_nothing_else(tmp_path: Path) -> None:
    table = score(cohort())
    write_scores(tmp_path, table, {"volumes": 1})
    with pytest.raises(TypeError):
        write_scores(tmp_path, table, {"volumes": object()})
    assert json.loads((tmp_path / "summary.json").read_text()) == {"volumes": 1}
    reader = (tmp_path / "summary.json").open()
    write_scores(tmp_path, table, {"volumes": 2})
    with reader:  # whoever had the file open still reads the old one, whole
        assert json.load(reader) == {"volumes": 1}
    assert json.loads((tmp_path / "summary.json").read_text()) == {"volumes": 2}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["summary.json", "volumes.tsv"]


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(PseudohealthyError, match="taken: no folder can be made there"):
        write_scores(tmp_path / "taken", score(cohort()), {})
