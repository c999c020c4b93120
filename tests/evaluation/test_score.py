from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from pkgutil import resolve_name
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fixtures.brains import box, slices
from pseudohealthy.catalogue.measures import MEASURES
from pseudohealthy.errors import InputError, PseudohealthyError
from pseudohealthy.evaluation.score import Judged, score, strict, summarise, write_scores
from pseudohealthy.evaluation.slice_set import SliceSet
from pseudohealthy.evaluation.statistics import interval

VOLUMES = np.array(["sub-2", "sub-1", "sub-2", "sub-3", "sub-1", "sub-2"])
JUDGES = ("f_pre", "wide", "last")
OF_ROWS = {key: measure.code for key, measure in MEASURES.items() if measure.code}
BRAIN = box((48, 40), (4, 44), (4, 36))
INTERVAL = {"mean", "std", "low", "high"}
HEALTHINESS = INTERVAL | {"pooled", "rel", "panel_mean", "panel_worst", "members", "held_out"}


@dataclass(frozen=True)
class Cohort:
    """What `score` is given."""

    outputs: Any
    slices: SliceSet
    judged: Judged
    detected: Any

    def score(self) -> pd.DataFrame:
        return score(self.outputs, self.slices, judged=self.judged, detected=self.detected)


def cohort() -> Cohort:
    """Six slices of three volumes with a bright lesion, of which a method leaves some, and three judges."""
    rng = np.random.default_rng(0)
    truth = slices(6, BRAIN, widths=(1,))
    masks = np.zeros(truth.shape, dtype=np.uint8)
    for z in range(6):
        masks[z, 10 : 14 + 2 * z, 10:20] = 1
    images = np.clip(truth + 0.3 * masks, 0, 1).astype(np.float32)
    outputs = np.clip(truth + 0.05 * masks + 0.01 * BRAIN, 0, 1).astype(np.float32)
    judged, judged_inputs = (
        {name: (masks > 0) & (rng.random(masks.shape) < share) for name in JUDGES} for share in (0.1, 0.9)
    )
    places = np.array([7, 3, 8, 3, 4, 9])
    case = SliceSet(images, masks, VOLUMES, z=places, truth=truth, spacing=(1.0, 0.9))
    found = masks * (rng.random(masks.shape) < 0.8)
    return Cohort(outputs, case, Judged(judged, judged_inputs, "last"), found)


def flat() -> Cohort:
    """Flat brains of 40 x 32 pixels, truth 0.4, lesions of 0.7: of 6 x 10 pixels, and in `b` two of 30.

    Outputs leave 0.1 of the lesion and add 0.02 elsewhere, and in the middle slice of `a` 0.05 more
    everywhere. The segmentor marks the upper half of what is in `a`, beside nothing; in `b` the first lesion,
    and four pixels apart from any.
    """
    brains = np.repeat(BRAIN[None], 4, axis=0)
    masks = np.zeros_like(brains)
    masks[:3, 10:16, 10:20] = True
    masks[3, 10:13, 10:20] = masks[3, 30:33, 10:20] = True
    truth = 0.4 * brains
    images = truth + 0.3 * masks
    outputs = truth + np.where(masks, 0.1, 0.02) * brains
    images[1] += 0.1 * brains[1]  # brighter as a whole, of which half is kept
    outputs[1] += 0.05 * brains[1]
    found = np.zeros_like(brains)
    found[:3, 10:13, 10:20] = found[3, 10:13, 10:20] = found[3, 20:22, 30:32] = True
    case = SliceSet(images, masks, np.array(["a", "a", "a", "b"]), z=np.array([1, 2, 3, 8]), truth=truth)
    return Cohort(outputs, case, Judged(), found)


def test_every_measure_by_hand() -> None:
    table = flat().score()
    a, b = table.loc["a"], table.loc["b"]
    assert (a["slices"], a["lesion_voxels"], b["slices"], b["lesion_voxels"]) == (3, 180, 1, 60)
    # outside the lesion the errors are 0.02, 0.03 and 0.02, and 0.02
    assert (a["mae_outside"], b["mae_outside"]) == pytest.approx((0.07 / 3, 0.02))
    squares = (0.02**2 + 0.03**2 + 0.02**2) / 3
    assert (a["psnr_outside"], b["psnr_outside"]) == pytest.approx((-10 * np.log10(squares), 33.9794))
    assert (a["residual_contrast"], b["residual_contrast"]) == pytest.approx((0.08, 0.08))
    # |x - x~| is 0.2 or 0.25 in lesions, 0.02 or 0.03 beside; the image itself ranks the lesion first too
    assert table[["anomaly_auprc", "anomaly_auprc_flair"]].to_numpy().tolist() == [[1, 1], [1, 1]]
    # the middle slice stands out by 0.1, in the output by 0.05, at every pixel
    assert a["through_plane_inconsistency"] == pytest.approx(0.5)
    assert np.isnan(b["through_plane_inconsistency"])
    assert a["segmentor_dice"] == pytest.approx(2 * 90 / (90 + 180))
    assert b["segmentor_dice"] == pytest.approx(2 * 30 / (34 + 60))
    assert (a["segmentor.both"], a["segmentor.marked"]) == (90, 90)
    assert (b["segmentor.both"], b["segmentor.marked"]) == (30, 34)
    assert (a["detection.rate"], b["detection.rate"]) == (1.0, 0.5)
    assert (a["detection.false_alarms_per_slice"], b["detection.false_alarms_per_slice"]) == (0, 1)
    # against the truth of 0.4, in whose middle slice there is another 0.05
    assert a["truth_phantom.inside.mae"] == pytest.approx((0.1 + 0.15 + 0.1) / 3)
    assert b["truth_phantom.inside.mae"] == pytest.approx(0.1)
    assert b["truth_phantom.inside.psnr"] == pytest.approx(20)
    assert b["truth_phantom.outside.mae"] == pytest.approx(0.02)
    assert b["truth_phantom.mae_ratio"] == pytest.approx(1 / 3)
    assert a["truth_phantom.mae_ratio"] == pytest.approx(0.35 / 1.0)


def test_identity_does_not_look_into_the_lesion() -> None:
    """And what changes elsewhere lowers it, in the volume where it does and in no other."""
    given = flat()
    inside = np.where(given.slices.masks, 0.9, given.outputs)
    forms = ["identity", "identity_normalised"]
    before, after = given.score()[forms], replace(given, outputs=inside).score()[forms]
    pd.testing.assert_series_equal(after["identity"], before["identity"])
    noisy = given.outputs.copy()
    noisy[3, 20:30, 20:30] = 0.9
    lower = replace(given, outputs=noisy).score()[forms]
    assert (lower.loc["b"] < before.loc["b"]).all()
    assert lower.iloc[0].to_list() == before.iloc[0].to_list()  # of a


def test_the_spacing_is_that_of_the_slices() -> None:
    """At 5 mm a pixel the rim is one pixel wide, so that what lies further off does not count."""
    given = flat()
    far = given.outputs.copy()
    far[3, 10:13, 23:25] = 0.9
    given = replace(given, outputs=far)
    coarse = replace(given, slices=replace(given.slices, spacing=(5.0, 5.0)))
    contrasts = [each.score()["residual_contrast"].to_list()[-1] for each in (given, coarse)]
    assert contrasts[0] < 0.075
    assert contrasts[1] == pytest.approx(0.08)


def test_a_row_a_volume_in_order_of_first_appearance() -> None:
    table = cohort().score()
    assert table.index.tolist() == ["sub-2", "sub-1", "sub-3"]
    assert table["slices"].tolist() == [3, 2, 1]
    assert table["lesion_voxels"].tolist() == [40 + 80 + 140, 60 + 120, 100]
    assert table["through_plane_inconsistency"].notna().tolist() == [True, False, False]


def test_slices_of_a_volume_need_not_be_neighbours() -> None:
    """Sorted by volume, the same slices give the same table."""
    full = cohort()
    order = np.argsort(VOLUMES, kind="stable")
    judged = Judged(
        {name: stack[order] for name, stack in full.judged.outputs.items()},
        {name: stack[order] for name, stack in full.judged.inputs.items()},
        "last",
    )
    in_order = Cohort(full.outputs[order], full.slices.at(order), judged, full.detected[order])
    pd.testing.assert_frame_equal(in_order.score().loc[full.score().index], full.score())


def test_healthiness_by_hand() -> None:
    full = cohort()
    judged = np.zeros(full.slices.masks.shape, dtype=np.bool_)
    judged[0, 10, 10:20] = True  # 10 voxels in sub-2, whose 3 slices are half of the cohort
    judged_inputs = full.slices.masks > 0
    judged_inputs[:, 10] = False  # 10 voxels of each slice it does not find
    table = replace(full, judged=Judged({"f_pre": judged}, {"f_pre": judged_inputs})).score()
    assert table["found.f_pre"].tolist() == [10, 0, 0]
    assert table["found_in_inputs.f_pre"].tolist() == [230, 160, 90]
    assert table["healthiness"].tolist() == pytest.approx([1 - (10 / 3) / (540 / 6), 1, 1])
    found = summarise(table)["healthiness"]
    assert set(found) == HEALTHINESS - {"held_out"}
    assert found["pooled"] == pytest.approx(1 - 10 / 540)  # over what is there, not what the judge found
    assert found["rel"] == pytest.approx(1 - 10 / 480)
    assert np.average(table["healthiness"], weights=table["slices"]) == pytest.approx(found["pooled"])
    assert found["pooled"] != pytest.approx((1 - 10 / 260 + 1 + 1) / 3, abs=1e-3)  # the mean of ratios


def test_the_panel_has_every_judge_but_the_one_held_out() -> None:
    full = cohort()
    table = full.score()
    lesions = int((full.slices.masks > 0).sum())
    h = {name: 1 - int(full.judged.outputs[name].sum()) / lesions for name in JUDGES}
    rel = {name: 1 - full.judged.outputs[name].sum() / full.judged.inputs[name].sum() for name in JUDGES}
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
        assert table[f"found.{name}"].sum() == full.judged.outputs[name].sum()
    assert table["held_out.last"].sum() == full.judged.outputs["last"].sum()
    assert table["held_out_in_inputs.last"].sum() == full.judged.inputs["last"].sum()
    whole = summarise(replace(full, judged=replace(full.judged, held_out=None)).score())["healthiness"]
    assert list(whole["members"]) == list(JUDGES)
    assert "held_out" not in whole


def test_balance_is_of_the_panel_and_the_normalised_identity() -> None:
    full = cohort()
    table = full.score()
    lesion = (full.slices.masks > 0).sum() / 6
    for volume, (_, row) in zip(pd.unique(VOLUMES), table.iterrows(), strict=True):
        own = volume == VOLUMES
        h = np.mean(
            [1 - full.judged.outputs[name][own].sum() / own.sum() / lesion for name in ("f_pre", "wide")]
        )
        i = row["identity_normalised"]
        assert row["balance"] == pytest.approx(2 * i * h / (i + h))
    assert summarise(table)["balance"] == interval(table["balance"])


def test_texture_that_was_joined_is_not_summarised_over_volumes() -> None:
    table = cohort().score()
    assert summarise(table.assign(texture=0.5)).keys() == summarise(table).keys()


def test_a_copy_is_the_same_person_and_as_ill_as_before() -> None:
    full = cohort()
    judged = replace(full.judged, outputs=full.judged.inputs)
    summary = summarise(replace(full, outputs=full.slices.images, judged=judged).score())
    for form in ("identity", "identity_normalised", "checkerboard"):
        assert summary[form] == pytest.approx({"mean": 1, "std": 0, "low": 1, "high": 1})
    assert summary["healthiness"]["rel"] == 0.0
    assert summary["healthiness"]["pooled"] == pytest.approx(0.1, abs=0.05)
    assert summary["truth_phantom"]["mae_ratio"]["mean"] == 1.0
    assert summary["residual_contrast"]["mean"] == pytest.approx(0.3, abs=0.05)


def test_intensities_are_taken_as_they_are_not_by_an_images_own_range() -> None:
    """The same error in a dim image: stretched to the image's range it would be three times as large."""
    full = cohort()
    given = full.slices.images
    errors = 0.02 * np.random.default_rng(0).standard_normal(given.shape)
    tables = [
        score(np.clip(x + errors, 0, 1), SliceSet(x, full.slices.masks, VOLUMES)) for x in (given / 3, given)
    ]
    found, expected = (table[["psnr_outside", "mae_outside"]] for table in tables)
    pd.testing.assert_frame_equal(found, expected, rtol=0.02)


def test_the_segmentors_pooled_dice_is_not_the_mean_over_volumes() -> None:
    full = cohort()
    found = full.slices.masks.copy()
    found[VOLUMES == "sub-3"] = 0
    summary = summarise(replace(full, detected=found).score())["segmentor_dice"]
    assert set(summary) == INTERVAL | {"pooled"}
    assert summary["mean"] == pytest.approx(2 / 3)
    assert summary["pooled"] == pytest.approx(2 * 440 / (440 + 540))


def test_the_summary_has_an_interval_of_each_measure_in_its_group() -> None:
    table = cohort().score()
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
        *OF_ROWS,
    }
    assert set(summary["detection"]) == {"rate", "false_alarms_per_slice"}
    grouped = {"psnr", "ssim", "mae"}
    assert {name for name, values in summary["truth_phantom"].items() if set(values) == grouped} == {
        *("inside", "rim", "outside")
    }


def test_joined_with_measures_of_other_volumes_its_own_figures_stay() -> None:
    table = cohort().score()
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


@pytest.mark.parametrize(("key", "code"), OF_ROWS.items())
def test_a_row_that_names_a_function_has_its_column(key: str, code: str) -> None:
    assert resolve_name(code)
    assert cohort().score()[key].notna().any()


def test_columns_stand_in_their_order() -> None:
    expected = [
        *("slices", "lesion_voxels", "identity", "identity_normalised", "psnr_outside", "mae_outside"),
        *("residual_contrast", "anomaly_auprc", "anomaly_auprc_flair"),
        *("checkerboard", "through_plane_inconsistency", "segmentor_dice", "segmentor.both"),
    ]
    assert [name for name in cohort().score() if name in expected] == expected


def test_what_is_not_given_is_absent() -> None:
    full = cohort()
    table = score(full.outputs, SliceSet(full.slices.images, full.slices.masks, VOLUMES))
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
    judged_only = replace(full, judged=replace(full.judged, inputs={})).score()
    healthiness = summarise(judged_only)["healthiness"]
    assert "rel" not in healthiness
    assert set(healthiness["members"]["wide"]) == {"pooled"}


def test_memory_maps_give_the_same_table_and_never_more_than_a_volume_is_read(tmp_path: Path) -> None:
    full = cohort()

    def mapped(name: str, array: Any) -> Any:
        np.save(tmp_path / f"{name}.npy", array)
        return np.load(tmp_path / f"{name}.npy", mmap_mode="r").view(OneVolume)

    of_slices = {name: mapped(name, getattr(full.slices, name)) for name in ("images", "masks", "truth")}
    outputs, inputs = (
        {judge: mapped(f"{name}_{judge}", stack) for judge, stack in getattr(full.judged, name).items()}
        for name in ("outputs", "inputs")
    )
    on_disk = Cohort(
        mapped("outputs", full.outputs),
        replace(full.slices, **of_slices),
        Judged(outputs, inputs, "last"),
        mapped("found", full.detected),
    )
    pd.testing.assert_frame_equal(on_disk.score(), full.score())


class OneVolume(np.memmap[Any, Any]):
    """A stack on disk of which nobody may compute with more than the slices of the largest volume."""

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        plain = [np.asarray(each) if isinstance(each, OneVolume) else each for each in inputs]
        assert all(len(each) <= 3 or np.ndim(each) < 3 for each in plain if np.ndim(each))
        return getattr(ufunc, method)(*plain, **options)


def test_unusable_arrays_are_refused_in_one_line() -> None:
    full = cohort()
    masks, truth = full.slices.masks, full.slices.truth
    assert truth is not None
    judged = Judged({"f_pre": masks[1:]})
    empty = masks * (VOLUMES != "sub-3")[:, None, None]
    nan = full.outputs * np.float32("nan")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"outputs": full.outputs[1:]}, r"outputs have shape \(5, 48, 40\), but images have \(6, 48, 40\)"),
        ({"detected": masks[:, 1:]}, r"detected have shape \(6, 47, 40\)"),
        ({"judged": judged}, r"judged of f_pre have shape \(5, 48, 40\)"),
        ({"slices": full.slices.at(np.arange(0))}, "no slice to score"),
        ({"outputs": 2 * full.outputs}, r"volume sub-2: outputs run from 0 to 1\.\d+, expected \[0, 1\]"),
        ({"outputs": nan}, "outputs run from nan to nan"),
        ({"slices": replace(full.slices, truth=truth - 1)}, "truth run from -1"),
        ({"slices": replace(full.slices, masks=empty)}, "volume sub-3: a slice has an empty mask"),
    ]
    for change, message in cases:
        with pytest.raises(InputError, match=message) as caught:
            replace(full, **change).score()
        assert "\n" not in str(caught.value)


def test_judges_that_do_not_fit_together_are_refused() -> None:
    outputs = cohort().judged.outputs
    for held_out in ("f_pre", "nobody"):
        with pytest.raises(InputError, match=f"held out, {held_out}, is not one after the first"):
            Judged(outputs, held_out=held_out)
    with pytest.raises(InputError, match=r"judges of the inputs alone: \['f_pre', 'last', 'wide'\]"):
        Judged({}, outputs)


def test_files_are_read_back_as_they_were(tmp_path: Path) -> None:
    table = (
        cohort().score().drop(columns="through_plane_inconsistency")
    )  # of one volume only: NaN is the next test's
    summary = summarise(table)
    write_scores(tmp_path / "a" / "b", table, summary)
    assert json.loads((tmp_path / "a" / "b" / "summary.json").read_text()) == summary
    read = pd.read_csv(tmp_path / "a" / "b" / "volumes.tsv", sep="\t", index_col="volume")
    pd.testing.assert_frame_equal(read, table, check_exact=False, rtol=1e-15)


def test_what_could_not_be_measured_is_null_in_strict_json(tmp_path: Path) -> None:
    full = cohort()
    all_lesion = np.where(full.slices.masks, full.slices.images, 0)
    slices = replace(full.slices, images=all_lesion, volumes=np.zeros(6, dtype=int))
    table = replace(full, outputs=np.where(full.slices.masks, full.outputs, 0), slices=slices).score()
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
    table = cohort().score()
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
        write_scores(tmp_path / "taken", cohort().score(), {})
