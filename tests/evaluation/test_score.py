from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter

from pseudohealthy.errors import InputError, PseudohealthyError
from pseudohealthy.evaluation.anomaly import anomaly
from pseudohealthy.evaluation.checkerboard import checkerboard
from pseudohealthy.evaluation.contrast import residual_contrast
from pseudohealthy.evaluation.detection import detection
from pseudohealthy.evaluation.identity import volume_identity
from pseudohealthy.evaluation.score import Scored, score, strict, summarise, write_scores
from pseudohealthy.evaluation.segmentation import volume_dice
from pseudohealthy.evaluation.statistics import interval
from pseudohealthy.evaluation.through_plane import through_plane_inconsistency
from pseudohealthy.evaluation.truth import volume_truth

VOLUMES = np.array(["sub-2", "sub-1", "sub-2", "sub-3", "sub-1", "sub-2"])
JUDGES = ("f_pre", "wide", "last")
INTERVAL = {"mean", "std", "low", "high"}
HEALTHINESS = INTERVAL | {"pooled", "rel", "panel_mean", "panel_worst", "members", "held_out"}


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
    judged, judged_inputs = (
        {name: (masks > 0) & (rng.random(masks.shape) < share) for name in JUDGES} for share in (0.1, 0.9)
    )
    return Scored(
        images,
        outputs,
        masks,
        VOLUMES,
        brains=brains,
        judged=judged,
        judged_inputs=judged_inputs,
        held_out="last",
        found=masks * (rng.random(masks.shape) < 0.8),
        truth=truth,
        z=np.array([7, 3, 8, 3, 4, 9]),
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
    expected |= {f"truth_phantom.{name}": value for name, value in errors.items()}
    assert len(expected) == 14
    assert table.loc["sub-1", list(expected)].to_dict() == pytest.approx(expected)


def test_every_other_measure_is_that_of_the_whole_stack() -> None:
    scored = cohort()
    assert scored.found is not None
    assert scored.z is not None
    assert scored.brains is not None
    table, images, outputs, masks = score(scored), scored.images, scored.outputs, scored.masks
    dices = volume_dice(scored.found, masks, VOLUMES).rename("segmentor_dice")
    expected = [
        residual_contrast(outputs, masks, scored.brains, VOLUMES, (1.0, 0.9)),
        anomaly(images, outputs, masks, scored.brains, VOLUMES),
        checkerboard(outputs, images, VOLUMES),
        through_plane_inconsistency(outputs, images, scored.brains, VOLUMES, scored.z),
        detection(scored.found, masks, VOLUMES, (1.0, 0.9)),
        dices.to_frame(),
    ]
    for measure in expected:
        pd.testing.assert_frame_equal(table[measure.columns], measure, check_names=False)
    assert table["through_plane_inconsistency"].notna().tolist() == [True, False, False]


def test_healthiness_by_hand() -> None:
    scored = cohort()
    judged = np.zeros(scored.masks.shape, dtype=np.bool_)
    judged[0, 10, 10:20] = True  # 10 voxels in sub-2, whose 3 slices are half of the cohort
    judged_inputs = scored.masks > 0
    judged_inputs[:, 10] = False  # 10 voxels of each slice it does not find
    scored = dataclasses.replace(
        scored, judged={"f_pre": judged}, judged_inputs={"f_pre": judged_inputs}, held_out=None
    )
    table = score(scored)
    assert table["found.f_pre"].tolist() == [10, 0, 0]
    assert table["found_in_inputs.f_pre"].tolist() == [230, 160, 90]
    assert table["healthiness"].tolist() == pytest.approx([1 - (10 / 3) / (540 / 6), 1, 1])
    found = summarise(table)["healthiness"]
    assert set(found) == HEALTHINESS - {"held_out"}
    assert found["pooled"] == pytest.approx(1 - 10 / 540)  # over what is there, not what the judge found
    assert found["rel"] == pytest.approx(1 - 10 / 480)
    assert np.average(table["healthiness"], weights=table["slices"]) == pytest.approx(found["pooled"])
    assert found["pooled"] != pytest.approx((1 - 10 / 260 + 1 + 1) / 3, abs=1e-3)  # the mean of ratios


def test_the_panel_has_every_judge_but_the_one_held_back() -> None:
    full = cohort()
    table = score(full)
    lesions = int((full.masks > 0).sum())
    h = {name: 1 - int(full.judged[name].sum()) / lesions for name in JUDGES}
    rel = {name: 1 - full.judged[name].sum() / full.judged_inputs[name].sum() for name in JUDGES}
    found = summarise(table)["healthiness"]
    assert set(found) == HEALTHINESS
    assert found["held_out"] == pytest.approx(h["last"])
    assert list(found["members"]) == ["f_pre", "wide"]
    for name in ("f_pre", "wide"):
        assert found["members"][name] == pytest.approx({"pooled": h[name], "rel": rel[name]})
    assert (found["pooled"], found["rel"]) == pytest.approx((h["f_pre"], rel["f_pre"]))
    assert found["panel_mean"] == pytest.approx((h["f_pre"] + h["wide"]) / 2)
    assert found["panel_worst"] == pytest.approx(min(h["f_pre"], h["wide"]))
    for name in ("f_pre", "wide"):
        assert table[f"found.{name}"].sum() == full.judged[name].sum()
    assert table["held_out.last"].sum() == full.judged["last"].sum()
    assert table["held_out_in_inputs.last"].sum() == full.judged_inputs["last"].sum()
    whole = summarise(score(dataclasses.replace(full, held_out=None)))["healthiness"]
    assert list(whole["members"]) == list(JUDGES)
    assert "held_out" not in whole


def test_balance_is_of_the_panel_and_the_normalised_identity() -> None:
    full = cohort()
    table = score(full)
    lesion = (full.masks > 0).sum() / 6
    for volume, (_, row) in zip(pd.unique(VOLUMES), table.iterrows(), strict=True):
        own = volume == VOLUMES
        h = np.mean([1 - full.judged[name][own].sum() / own.sum() / lesion for name in ("f_pre", "wide")])
        i = row["identity_normalised"]
        assert row["balance"] == pytest.approx(2 * i * h / (i + h))
    assert summarise(table)["balance"] == interval(table["balance"])


def test_texture_that_was_joined_is_not_summarised_over_volumes() -> None:
    table = score(cohort())
    assert summarise(table.assign(texture=0.5)).keys() == summarise(table).keys()


def test_a_copy_is_the_same_person_and_as_ill_as_before() -> None:
    scored = cohort()
    copied = dataclasses.replace(scored, outputs=scored.images, judged=scored.judged_inputs)
    summary = summarise(score(copied))
    for form in ("identity", "identity_normalised", "checkerboard"):
        assert summary[form] == pytest.approx({"mean": 1, "std": 0, "low": 1, "high": 1})
    assert summary["healthiness"]["rel"] == 0.0
    assert summary["healthiness"]["pooled"] == pytest.approx(0.1, abs=0.05)
    assert summary["truth_phantom"]["mae_ratio"]["mean"] == 1.0
    assert summary["residual_contrast"]["mean"] == pytest.approx(0.3, abs=0.05)


def test_intensities_are_taken_as_they_are_not_by_an_images_own_range() -> None:
    """The same error in a dim image: stretched to the image's range it would be three times as large."""
    full = cohort()
    dim, given = full.images / 3, full.images
    errors = 0.02 * np.random.default_rng(0).standard_normal(dim.shape)
    tables = [
        score(Scored(x, np.clip(x + errors, 0, 1), full.masks, VOLUMES, full.brains)) for x in (dim, given)
    ]
    found, expected = (table[["psnr_outside", "mae_outside"]] for table in tables)
    pd.testing.assert_frame_equal(found, expected, rtol=0.02)


def test_the_segmentors_pooled_dice_is_not_the_mean_over_volumes() -> None:
    full = cohort()
    found = full.masks.copy()
    found[VOLUMES == "sub-3"] = 0
    summary = summarise(score(dataclasses.replace(full, found=found)))["segmentor_dice"]
    assert set(summary) == INTERVAL | {"pooled"}
    assert summary["mean"] == pytest.approx(2 / 3)
    assert summary["pooled"] == pytest.approx(2 * 440 / (440 + 540))


def test_the_summary_has_an_interval_of_each_measure_in_its_group() -> None:
    table = score(cohort())
    summary = summarise(table, seed=5)
    assert summary["volumes"] == 3
    assert summary["slices"] == 6
    assert summary["psnr_outside"] == interval(table["psnr_outside"], 5)
    assert summary["truth_phantom"]["rim"]["ssim"] == interval(table["truth_phantom.rim.ssim"], 5)
    assert set(summary) == {
        *("volumes", "slices", "identity", "identity_normalised", "psnr_outside", "mae_outside"),
        *(
            "residual_contrast",
            "anomaly_auprc",
            "anomaly_auprc_flair",
            "checkerboard",
            "through_plane_inconsistency",
        ),
        *("segmentor_dice", "detection", "truth_phantom", "healthiness", "balance"),
    }
    assert set(summary["detection"]) == {"rate", "false_alarms_per_slice"}
    grouped = {"psnr", "ssim", "mae"}
    assert {name for name, values in summary["truth_phantom"].items() if set(values) == grouped} == {
        *("inside", "rim", "outside")
    }


def test_joined_with_measures_of_other_volumes_its_own_figures_stay() -> None:
    table = score(cohort())
    others = pd.DataFrame(
        {"healthy_in.mae": [0.1, 0.3], "cycle.l1": [0.2, np.nan], "truth_transplant.inside.psnr": [20.0, 30]},
        index=pd.Index(["sub-1", "sub-9"], name="volume"),
    )
    joined = table.join(others, how="outer")
    assert joined["slices"].isna().any()
    expected, summary = summarise(table), summarise(joined)
    assert summary["healthy_in"] == {"mae": interval([0.1, 0.3])}
    assert summary["cycle"]["l1"]["mean"] == 0.2
    assert summary["truth_transplant"]["inside"]["psnr"]["mean"] == 25
    for group in ("healthy_in", "cycle", "truth_transplant"):
        del summary[group]
    assert set(summary) == set(expected)
    assert (summary["volumes"], summary["slices"]) == (3, 6)
    for name in ("pooled", "rel", "panel_mean", "panel_worst", "held_out", "mean"):
        assert summary["healthiness"][name] == pytest.approx(expected["healthiness"][name])
    assert summary["segmentor_dice"]["pooled"] == expected["segmentor_dice"]["pooled"]


def test_what_is_not_given_is_absent() -> None:
    full = cohort()
    table = score(Scored(full.images, full.outputs, full.masks, full.volumes))
    absent = (
        "truth",
        "found",
        "held_out",
        "segmentor",
        "detection",
        "through_plane_inconsistency",
        "healthiness",
    )
    assert not [name for name in table if str(name).startswith(absent)]
    assert not [name for name in summarise(table) if name.startswith(absent)]
    judged_only = score(dataclasses.replace(full, judged_inputs={}))
    healthiness = summarise(judged_only)["healthiness"]
    assert "rel" not in healthiness
    assert set(healthiness["members"]["wide"]) == {"pooled"}


def test_without_brains_the_brain_is_where_the_image_is_not_black() -> None:
    full = cohort()
    pd.testing.assert_frame_equal(score(dataclasses.replace(full, brains=None)), score(full))


def test_memory_maps_give_the_same_table_and_never_more_than_a_volume_is_read(tmp_path: Path) -> None:
    full = cohort()

    def mapped(name: str, array: Any) -> Any:
        np.save(tmp_path / f"{name}.npy", array)
        return np.load(tmp_path / f"{name}.npy", mmap_mode="r").view(OneVolume)

    changes: dict[str, Any] = {
        name: mapped(name, getattr(full, name))
        for name in ("images", "outputs", "masks", "brains", "found", "truth")
    }
    for name in ("judged", "judged_inputs"):
        judges = getattr(full, name)
        changes[name] = {judge: mapped(f"{name}_{judge}", judges[judge]) for judge in JUDGES}
    pd.testing.assert_frame_equal(score(dataclasses.replace(full, **changes)), score(full))


class OneVolume(np.memmap[Any, Any]):
    """A stack on disk of which nobody may compute with more than the slices of the largest volume."""

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        plain = [np.asarray(each) if isinstance(each, OneVolume) else each for each in inputs]
        assert all(len(each) <= 3 or np.ndim(each) < 3 for each in plain if np.ndim(each))
        return getattr(ufunc, method)(*plain, **options)


def test_unusable_arrays_are_refused_in_one_line() -> None:
    full = cohort()
    cases: list[tuple[dict[str, Any], str]] = [
        ({"outputs": full.outputs[1:]}, r"outputs have shape \(5, 48, 40\), but images have \(6, 48, 40\)"),
        ({"found": full.masks[:, 1:]}, r"found have shape \(6, 47, 40\)"),
        ({"judged": {"f_pre": full.masks[1:]}}, r"judged of f_pre have shape \(5, 48, 40\)"),
        ({"volumes": VOLUMES[1:]}, "volumes has shape .* expected one a slice"),
        ({"z": np.arange(5)}, "z has shape .* expected one a slice"),
        ({"images": full.images[0]}, r"expected \(N, H, W\)"),
        ({"outputs": 2 * full.outputs}, r"volume sub-2: outputs run from 0 to 1\.\d+, expected \[0, 1\]"),
        ({"outputs": full.outputs * np.float32("nan")}, "outputs run from nan to nan"),
        ({"truth": full.images - 1}, "truth run from -1"),
        (
            {"masks": full.masks * (VOLUMES != "sub-3")[:, None, None]},
            "volume sub-3: a slice has an empty mask",
        ),
        ({"held_out": "f_pre"}, "held back, f_pre, is not one after the first"),
        ({"held_out": "nobody"}, "held back, nobody, is not one"),
        ({"judged": {}, "held_out": None}, r"judges of the inputs alone: \['f_pre', 'last', 'wide'\]"),
    ]
    for change, message in cases:
        with pytest.raises(InputError, match=message) as caught:
            score(dataclasses.replace(full, **change))
        assert "\n" not in str(caught.value)


def test_files_are_read_back_as_they_were(tmp_path: Path) -> None:
    table = score(cohort()).drop(
        columns="through_plane_inconsistency"
    )  # of one volume only: NaN is the next test's
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


def test_strict_nulls_every_number_that_is_none_in_whatever_group() -> None:
    nan, endless = float("nan"), float("inf")
    given = {
        "a": nan,
        "b": MappingProxyType({"c": -endless, "d": {"e": np.float64(nan), "f": 0.5}}),
        "g": "n",
    }
    assert strict(given) == {"a": None, "b": {"c": None, "d": {"e": None, "f": 0.5}}, "g": "n"}


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
