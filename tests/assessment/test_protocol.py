"""What rows are measured against: inserted lesions, the threshold, and what judges are worth."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fixtures.drawn_cohort import AREA, PATIENTS, Drawn, drawn, rows_of_split, without
from fixtures.rule_models import judge
from pseudohealthy.assessment.protocol import (
    EvaluationProtocol,
    insertion_check,
    read_judged,
    transplanted,
    write_references,
)
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import InputError
from pseudohealthy.evaluation.texture import texture, texture_over_slices

JUDGES = {"first": judge(0.6), "none": judge(2.0), "all": judge(0.0), "spare": judge(0.86)}
TWO = (Drawn("T1", "test", (1,), (3,), 0.8), Drawn("T2", "test", (3,), (1,), 0.84))
VALIDATION = Drawn("V1", "val", (1,), (), 0.7)


@pytest.fixture(scope="module")
def cohort() -> Prepared:
    return drawn()


@pytest.fixture(scope="module")
def bench(cohort: Prepared) -> EvaluationProtocol:
    return EvaluationProtocol.of(cohort, JUDGES, "spare", seed=0)


@pytest.fixture(scope="module")
def written(bench: EvaluationProtocol, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("references")
    write_references(folder, bench, seed=0, steps=1)
    return folder


def judges_of(folder: Path) -> dict[str, Any]:
    """`judges.json`, which must be strict."""

    def refuse(name: str) -> None:
        raise AssertionError(name)

    found: dict[str, Any] = json.loads((folder / "judges.json").read_text(), parse_constant=refuse)
    return found


def test_lesions_of_others_are_put_into_healthy_slices(bench: EvaluationProtocol) -> None:
    """A patient's lesion is known by its brightness, scaled from the donor's tissue to the recipient's."""
    case, pairs = bench.transplants, bench.truth_pairs
    assert len(case.images) == len(pairs) == len(bench.healthy.images)
    for image, mask, pair in zip(case.images, case.masks, pairs.to_dict("records"), strict=True):
        donor, recipient = pair["donor"], pair["recipient"]
        assert bench.pathological.subjects[donor] != bench.healthy.subjects[recipient]
        assert bench.pathological.z[donor] == bench.healthy.z[recipient]
        tissue = bench.pathological.brains[donor] & ~bench.pathological.masks[donor]
        scale = np.median(bench.healthy.images[recipient][bench.healthy.brains[recipient]]) / np.median(
            bench.pathological.images[donor][tissue]
        )
        level = bench.pathological.images[donor][22, 14]
        assert image[mask].max() == pytest.approx(scale * level, rel=1e-5)
        assert mask.sum() == AREA


def test_outside_the_lesions_no_bit_changes_and_the_truth_is_the_recipient(bench: EvaluationProtocol) -> None:
    case, rows = bench.transplants, bench.truth_pairs["recipient"].to_numpy()
    healthy = bench.healthy
    assert case.truth is not None
    np.testing.assert_array_equal(case.truth, healthy.images[rows])
    np.testing.assert_array_equal(case.images[~case.masks], healthy.images[rows][~case.masks])
    assert (case.images[case.masks] > case.truth[case.masks]).all()
    for name in ("volumes", "subjects", "z", "heights"):
        np.testing.assert_array_equal(getattr(case, name), getattr(healthy, name)[rows])


def test_lesions_of_the_check_keep_off_the_slice_s_own(bench: EvaluationProtocol) -> None:
    x, pairs = bench.pathological, bench.check_pairs
    checked = transplanted(x, x, pairs, 1.0)
    own = x.masks[pairs["recipient"].to_numpy()]
    assert pairs["recipient"].tolist() == np.flatnonzero(x.z < 4).tolist()  # nobody else's is at z = 4
    assert (np.count_nonzero(checked.masks & own, axis=(1, 2)) <= 0.1 * AREA).all()
    donors = x.subjects[pairs["donor"].to_numpy()]
    assert (donors != checked.subjects).all()
    before = x.images[pairs["recipient"].to_numpy()]
    np.testing.assert_array_equal(checked.images[~checked.masks], before[~checked.masks])


def test_the_draw_is_the_seed_s(cohort: Prepared, bench: EvaluationProtocol) -> None:
    again = EvaluationProtocol.of(cohort, JUDGES, "spare", seed=0)
    pd.testing.assert_frame_equal(again.truth_pairs, bench.truth_pairs)
    pd.testing.assert_frame_equal(again.check_pairs, bench.check_pairs)
    donors = [tuple(EvaluationProtocol.of(cohort, {}, "", seed).truth_pairs["donor"]) for seed in range(4)]
    assert len(set(donors)) > 1


def test_the_threshold_is_the_best_on_validation(cohort: Prepared, bench: EvaluationProtocol) -> None:
    """The lowest multiple of 1/256 above all of the validation patients' tissue."""
    rows = rows_of_split(cohort, "val")
    tissue = cohort.images[rows][cohort.masks[rows] == 0].max()
    assert bench.threshold == np.ceil(tissue * 256) / 256


def test_test_slices_do_not_move_the_threshold(cohort: Prepared, bench: EvaluationProtocol) -> None:
    """Of masks that are the whole brain a threshold of 0 would be the best."""
    rows = rows_of_split(cohort, "test")
    masks, images = cohort.masks.copy(), cohort.images.copy()
    masks[rows] = np.roll(masks[rows], 6, axis=1)
    images[rows] = images[rows] / 2
    changed = without(cohort, masks=masks, images=images)
    assert EvaluationProtocol.of(changed, {}, "", 0).threshold == bench.threshold
    rows = rows_of_split(cohort, "val")
    masks[rows] = images[rows] > 0
    assert EvaluationProtocol.of(without(cohort, masks=masks), {}, "", 0).threshold == 0


def test_every_judge_and_the_threshold_rule_judge(bench: EvaluationProtocol) -> None:
    x = bench.pathological
    found = bench.judged(x.images, x.brains)
    assert list(found) == ["first", "none", "all", "spare", "threshold"]
    assert bench.first_judge is JUDGES["first"]
    np.testing.assert_array_equal(found["first"], x.masks)
    np.testing.assert_array_equal(found["spare"], x.masks & np.isin(x.subjects, ["T3", "T4"])[:, None, None])
    np.testing.assert_array_equal(found["threshold"], x.masks)
    assert found["all"].all()
    assert not found["none"].any()
    outside = bench.judged(np.ones_like(x.images), x.brains)["threshold"]
    np.testing.assert_array_equal(outside, x.brains)


def test_patients_of_one_subject_cannot_be_measured() -> None:
    """Lesions go from one subject into another: here into the slices of one alone."""
    lonely = drawn(VALIDATION, Drawn("T1", "test", (1,), (3,), 0.8), Drawn("T2", "test", (3,), (5,), 0.84))
    with pytest.raises(InputError, match=r"too few test volumes: .* healthy slices of 1 other subjects"):
        EvaluationProtocol.of(lonely, {}, "", 0)


def test_one_subject_cannot_be_measured() -> None:
    with pytest.raises(InputError, match=r"too few test volumes: .* healthy slices of 0 other subjects"):
        EvaluationProtocol.of(drawn(VALIDATION, Drawn("T1", "test", (1,), (2, 3), 0.8)), {}, "", 0)


def test_a_split_without_healthy_slices_is_told() -> None:
    with pytest.raises(InputError, match="no healthy test slice"):
        EvaluationProtocol.of(drawn(*(replace(patient, healthy=()) for patient in PATIENTS)), {}, "", 0)


def test_a_judge_that_sees_all_or_none_finds_all_or_none_of_what_is_put_in(bench: EvaluationProtocol) -> None:
    x, pairs = bench.pathological, bench.check_pairs
    for level, expected in ((0.0, 1.0), (2.0, 0.0)):
        table, pooled = insertion_check(x, x.images, pairs, judge(level), 1.0)
        assert pooled == expected
        assert table["insertion_recall"].tolist() == [expected] * 4
        assert table.index.tolist() == ["T1", "T2", "T3", "T4"]


def test_the_check_looks_at_the_outputs(bench: EvaluationProtocol) -> None:
    """Where an output is black, what is put in takes its brightness, and nobody sees it."""
    x, pairs = bench.pathological, bench.check_pairs
    outputs = x.images.copy()
    outputs[x.subjects == "T1"] = 0
    table, pooled = insertion_check(x, outputs, pairs, judge(0.6), 1.0)
    in_inputs, _ = insertion_check(x, x.images, pairs, judge(0.6), 1.0)
    recall = table["insertion_recall"]
    assert recall["T1"] == 0
    assert recall.drop("T1").tolist() == in_inputs["insertion_recall"].drop("T1").tolist()
    assert (recall.drop("T1") > 0.3).all()
    slices = x.volumes[pairs["recipient"].to_numpy()]
    assert pooled == pytest.approx(recall[slices].mean())  # lesions of one size


def test_nothing_put_in_is_no_recall(bench: EvaluationProtocol) -> None:
    x = bench.pathological
    table, pooled = insertion_check(x, x.images, bench.check_pairs.iloc[:0], judge(0.6), 1.0)
    assert (len(table), np.isnan(pooled)) == (0, True)


def test_what_judges_make_of_the_inputs_is_written(written: Path, bench: EvaluationProtocol) -> None:
    x = bench.pathological
    found, expected = read_judged(written), bench.judged(x.images, x.brains)
    assert list(found) == list(expected)
    for name, stack in expected.items():
        np.testing.assert_array_equal(found[name], stack)
    coordinates = pd.read_csv(written / "coordinates.tsv", sep="\t", index_col="volume")
    assert coordinates.index.tolist() == ["T1", "T2", "T3", "T4"]
    assert coordinates["reseg_auroc_coordinates"].between(0, 1).all()


def test_a_judge_s_worth_by_hand(written: Path, bench: EvaluationProtocol) -> None:
    """7 slices of lesions of 80 pixels, of which the spare judge sees those of T3 and T4."""
    facts, pixels = judges_of(written), 64 * 48
    judges = facts["judges"]
    first, none, every = (judges[name] for name in ("first", "none", "all"))
    assert (first["dice_pooled"], first["dice_per_volume"], first["recall"]) == (1, 1, 1)
    assert (first["h_copy"], first["false_positive_voxels_per_healthy_slice"]) == (0, 0)
    assert (none["dice_pooled"], none["h_copy"], none["insertion_recall"], none["recall"]) == (0, 1, 0, 0)
    assert every["dice_pooled"] == pytest.approx(2 * AREA / (AREA + pixels))
    assert every["h_copy"] == pytest.approx(1 - pixels / AREA)
    assert every["false_positive_voxels_per_healthy_slice"] == pixels
    assert (first["h_real_healthy"], none["h_real_healthy"]) == (1, 1)
    assert every["h_real_healthy"] == pytest.approx(1 - pixels / AREA)
    assert judges["threshold"]["h_real_healthy"] == 1
    assert every["insertion_recall"] == every["insertion_recall_in_healthy_slices"] == 1
    spare = judges["spare"]
    assert spare["dice_pooled"] == pytest.approx(2 * 3 / (3 + 7))
    assert spare["dice_per_volume"] == pytest.approx(0.5)
    assert spare["h_copy"] == pytest.approx(1 - 3 / 7)
    assert [name for name, each in judges.items() if each["held_out"]] == ["spare"]
    assert facts["threshold"] == bench.threshold
    assert (facts["valid"], facts["invalid_reason"]) == (True, None)
    assert first["insertion_recall"] == pytest.approx(
        insertion_check(
            bench.pathological, bench.pathological.images, bench.check_pairs, JUDGES["first"], 1.0
        )[1]
    )


def test_the_texture_of_healthy_slices_is_with_others_masks(
    bench: EvaluationProtocol, tmp_path: Path
) -> None:
    """Noise on both sides, for lesions large enough; those of the bench have nothing left when eroded."""
    case = bench.transplants
    assert case.truth is not None
    masks = np.zeros_like(case.masks)
    masks[:, 18:46, 6:22] = True
    large = replace(bench, transplants=replace(case, masks=masks, images=np.where(masks, 1, case.images)))
    write_references(tmp_path, large, seed=0, steps=1)
    found = judges_of(tmp_path)["texture_of_healthy_slices"]
    assert found == texture_over_slices(texture(case.truth, masks, case.brains, case.volumes), case.volumes)
    assert found["slices"] == len(case.images)
    assert found["median"] == pytest.approx(1, abs=0.15)


def test_where_no_texture_can_be_measured_it_is_null(written: Path) -> None:
    found = judges_of(written)["texture_of_healthy_slices"]
    assert found.pop("slices") == 0
    assert set(found.values()) == {None}


def test_a_blind_first_judge_makes_the_table_invalid(bench: EvaluationProtocol, tmp_path: Path) -> None:
    blind = replace(bench, judges={"none": JUDGES["none"], "spare": JUDGES["spare"]})
    write_references(tmp_path, blind, seed=0, steps=1)
    facts = judges_of(tmp_path)
    assert facts["valid"] is False
    assert "Dice is 0.000" in facts["invalid_reason"]
    assert "h(copy) is 1.000" in facts["invalid_reason"]


def test_pairs_on_disk_say_whose_they_are(written: Path, bench: EvaluationProtocol) -> None:
    pairs = pd.read_csv(written / "pairs.tsv", sep="\t")
    assert pairs["use"].value_counts().to_dict() == {
        "truth": len(bench.truth_pairs),
        "check": len(bench.check_pairs),
    }
    assert (pairs["donor_subject"] != pairs["recipient_subject"]).all()
    assert (pairs["donor_z"] == pairs["recipient_z"]).all()
    truth = pairs[pairs["use"] == "truth"]
    assert truth["recipient_subject"].tolist() == bench.transplants.subjects.tolist()
    assert truth["recipient_z"].tolist() == bench.transplants.z.tolist()


def test_references_are_strict_where_no_lesion_fits_the_check(tmp_path: Path) -> None:
    """Two patients whose lesions lie at different heights: none goes into the other's pathological slices."""
    bench = EvaluationProtocol.of(drawn(VALIDATION, *TWO), JUDGES, "spare", 0)
    assert (len(bench.truth_pairs), len(bench.check_pairs)) == (2, 0)
    write_references(tmp_path, bench, seed=0, steps=1)
    facts = judges_of(tmp_path)["judges"]["all"]
    assert (facts["insertion_recall"], facts["insertion_recall_in_healthy_slices"]) == (None, 1)
    assert set(pd.read_csv(tmp_path / "pairs.tsv", sep="\t")["use"]) == {"truth"}
