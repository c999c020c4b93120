"""What rows are measured against: inserted lesions, the threshold, and what judges are worth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fixtures.drawn_cohort import AREA, PATIENTS, Drawn, drawn, rows_of_split, without
from fixtures.models import judge
from fixtures.protocols import JUDGES, SETTINGS, VALIDATION
from pseudohealthy.assessment.protocol import EvaluationProtocol, ProtocolSettings
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.errors import InputError
from pseudohealthy.evaluation.insertion import insert
from pseudohealthy.evaluation.slice_set import SliceSet


@pytest.fixture(scope="module")
def cohort() -> Prepared:
    return drawn()


@pytest.fixture(scope="module")
def protocol(cohort: Prepared) -> EvaluationProtocol:
    return EvaluationProtocol.of(cohort, JUDGES, SETTINGS)


def experiment(protocol: EvaluationProtocol) -> tuple[SliceSet, pd.DataFrame, SliceSet]:
    """What an experiment's protocol has besides: transplants, their pairs, healthy slices."""
    assert protocol.transplants is not None
    assert protocol.truth_pairs is not None
    assert protocol.healthy is not None
    return protocol.transplants, protocol.truth_pairs, protocol.healthy


def test_lesions_of_others_are_put_into_healthy_slices(protocol: EvaluationProtocol) -> None:
    """A patient's lesion is known by its brightness, scaled from the donor's tissue to the recipient's."""
    case, pairs, healthy = experiment(protocol)
    assert len(case.images) == len(pairs) == len(healthy.images)
    for image, mask, pair in zip(case.images, case.masks, pairs.to_dict("records"), strict=True):
        donor, recipient = pair["donor"], pair["recipient"]
        assert protocol.pathological.subjects[donor] != healthy.subjects[recipient]
        assert protocol.pathological.required("z")[donor] == healthy.required("z")[recipient]
        tissue = protocol.pathological.brains[donor] & ~protocol.pathological.masks[donor]
        scale = np.median(healthy.images[recipient][healthy.brains[recipient]]) / np.median(
            protocol.pathological.images[donor][tissue]
        )
        level = protocol.pathological.images[donor][22, 14]
        assert image[mask].max() == pytest.approx(scale * level, rel=1e-5)
        assert mask.sum() == AREA


def test_outside_the_lesions_no_bit_changes_and_the_truth_is_the_recipient(
    protocol: EvaluationProtocol,
) -> None:
    case, pairs, healthy = experiment(protocol)
    rows = pairs["recipient"].to_numpy()
    assert case.truth is not None
    np.testing.assert_array_equal(case.truth, healthy.images[rows])
    np.testing.assert_array_equal(case.images[~case.masks], healthy.images[rows][~case.masks])
    assert (case.images[case.masks] > case.truth[case.masks]).all()
    for name in ("volumes", "subjects", "z", "heights"):
        np.testing.assert_array_equal(getattr(case, name), getattr(healthy, name)[rows])


def test_lesions_of_the_check_keep_off_the_slice_s_own(protocol: EvaluationProtocol) -> None:
    x, pairs = protocol.pathological, protocol.check_pairs
    checked = insert(x, x, pairs)
    own = x.masks[pairs["recipient"].to_numpy()]
    assert (
        pairs["recipient"].tolist() == np.flatnonzero(x.required("z") < 4).tolist()
    )  # nobody else's is at z = 4
    assert (np.count_nonzero(checked.masks & own, axis=(1, 2)) <= 0.1 * AREA).all()
    donors = x.subjects[pairs["donor"].to_numpy()]
    assert (donors != checked.subjects).all()
    before = x.images[pairs["recipient"].to_numpy()]
    np.testing.assert_array_equal(checked.images[~checked.masks], before[~checked.masks])


def test_the_draw_is_the_seed_s(cohort: Prepared, protocol: EvaluationProtocol) -> None:
    again = EvaluationProtocol.of(cohort, JUDGES, SETTINGS)
    pd.testing.assert_frame_equal(experiment(again)[1], experiment(protocol)[1])
    pd.testing.assert_frame_equal(again.check_pairs, protocol.check_pairs)
    seeds = [replace(SETTINGS, seed=seed) for seed in range(4)]
    donors = [tuple(experiment(EvaluationProtocol.of(cohort, {}, each))[1]["donor"]) for each in seeds]
    assert len(set(donors)) > 1


def test_the_threshold_is_the_best_on_validation(cohort: Prepared, protocol: EvaluationProtocol) -> None:
    """The lowest multiple of 1/256 above all of the validation patients' tissue."""
    rows = rows_of_split(cohort, "val")
    tissue = cohort.images[rows][cohort.masks[rows] == 0].max()
    assert protocol.threshold == np.ceil(tissue * 256) / 256


def test_test_slices_do_not_move_the_threshold(cohort: Prepared, protocol: EvaluationProtocol) -> None:
    """Of masks that are the whole brain a threshold of 0 would be the best."""
    rows = rows_of_split(cohort, "test")
    masks, images = cohort.masks.copy(), cohort.images.copy()
    masks[rows] = np.roll(masks[rows], 6, axis=1)
    images[rows] = images[rows] / 2
    changed = without(cohort, masks=masks, images=images)
    assert EvaluationProtocol.of(changed, {}, SETTINGS).threshold == protocol.threshold
    rows = rows_of_split(cohort, "val")
    masks[rows] = images[rows] > 0
    assert EvaluationProtocol.of(without(cohort, masks=masks), {}, SETTINGS).threshold == 0


def test_every_judge_and_the_threshold_rule_judge(protocol: EvaluationProtocol) -> None:
    x = protocol.pathological
    found = protocol.judged(x.images)
    assert list(found) == ["first", "none", "all", "spare", "threshold"]
    assert protocol.first_judge is JUDGES["first"]
    np.testing.assert_array_equal(found["first"], x.masks)
    np.testing.assert_array_equal(found["spare"], x.masks & np.isin(x.subjects, ["T3", "T4"])[:, None, None])
    np.testing.assert_array_equal(found["threshold"], x.masks)
    assert found["all"].all()
    assert not found["none"].any()
    outside = protocol.judged(np.ones_like(x.images))["threshold"]
    np.testing.assert_array_equal(outside, x.brains)


def test_patients_of_one_subject_cannot_be_measured() -> None:
    """Lesions go from one subject into another: here into the slices of one alone."""
    lonely = drawn(VALIDATION, Drawn("T1", "test", (1,), (3,), 0.8), Drawn("T2", "test", (3,), (5,), 0.84))
    with pytest.raises(InputError, match=r"too few test volumes: .* healthy slices of 1 other subjects"):
        EvaluationProtocol.of(lonely, {}, SETTINGS)


def test_one_subject_cannot_be_measured() -> None:
    with pytest.raises(InputError, match=r"too few test volumes: .* healthy slices of 0 other subjects"):
        EvaluationProtocol.of(drawn(VALIDATION, Drawn("T1", "test", (1,), (2, 3), 0.8)), {}, SETTINGS)


def test_a_split_without_healthy_slices_is_told() -> None:
    with pytest.raises(InputError, match="no healthy test slice"):
        EvaluationProtocol.of(drawn(*(replace(patient, healthy=()) for patient in PATIENTS)), {}, SETTINGS)


def test_a_judge_that_sees_all_or_none_finds_all_or_none_of_what_is_put_in(
    protocol: EvaluationProtocol,
) -> None:
    for level, expected in ((0.0, 1.0), (2.0, 0.0)):
        judged = replace(protocol, judges={"only": judge(level)})
        table, pooled = judged.insertion_check(protocol.pathological.images)
        assert pooled == expected
        assert table["insertion_recall"].tolist() == [expected] * 4
        assert table.index.tolist() == ["T1", "T2", "T3", "T4"]


def test_the_check_looks_at_the_outputs(protocol: EvaluationProtocol) -> None:
    """Where an output is black, what is put in takes its brightness, and nobody sees it."""
    x, pairs = protocol.pathological, protocol.check_pairs
    outputs = x.images.copy()
    outputs[x.subjects == "T1"] = 0
    table, pooled = protocol.insertion_check(outputs)
    in_inputs, _ = protocol.insertion_check(x.images)
    recall = table["insertion_recall"]
    assert recall["T1"] == 0
    assert recall.drop("T1").tolist() == in_inputs["insertion_recall"].drop("T1").tolist()
    assert (recall.drop("T1") > 0.3).all()
    slices = x.volumes[pairs["recipient"].to_numpy()]
    assert pooled == pytest.approx(recall[slices].mean())  # lesions of one size


def test_nothing_put_in_is_no_recall(protocol: EvaluationProtocol) -> None:
    nothing = replace(protocol, check_pairs=protocol.check_pairs.iloc[:0])
    table, pooled = nothing.insertion_check(protocol.pathological.images)
    assert (len(table), np.isnan(pooled)) == (0, True)


def test_the_check_draws_other_lesions_than_the_transplants() -> None:
    settings = ProtocolSettings(seed=7)
    assert (settings.transplant_seed, settings.insertion_check_seed) == (7, 8)
    assert settings.resegmentation_seed == 7


def test_of_lesions_alone_it_has_the_same_check_and_no_transplants(
    cohort: Prepared, protocol: EvaluationProtocol
) -> None:
    alone = EvaluationProtocol.of_lesions(cohort, JUDGES, SETTINGS)
    pd.testing.assert_frame_equal(alone.check_pairs, protocol.check_pairs)
    assert alone.threshold == protocol.threshold
    assert (alone.transplants, alone.truth_pairs) == (None, None)
    assert alone.healthy is not None
    np.testing.assert_array_equal(alone.healthy.images, experiment(protocol)[2].images)


def test_one_subject_s_lesions_can_be_measured_and_without_judges_nothing_is_drawn() -> None:
    lonely = drawn(VALIDATION, Drawn("T1", "test", (1,), (), 0.8))
    alone = EvaluationProtocol.of_lesions(lonely, JUDGES, SETTINGS)
    assert (len(alone.check_pairs), alone.healthy, alone.held_out) == (0, None, "spare")
    without_judges = EvaluationProtocol.of_lesions(drawn(Drawn("T1", "test", (1,), (2,), 0.8)), {}, SETTINGS)
    assert np.isnan(without_judges.threshold)
    assert without_judges.held_out is None
    assert without_judges.judged(without_judges.pathological.images) == {}
