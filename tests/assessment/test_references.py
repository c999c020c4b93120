"""What judges are worth, what coordinates tell, and the pairs of synthetic lesions, on disk."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fixtures.drawn_cohort import AREA, Drawn, drawn
from fixtures.protocols import JUDGES, SETTINGS, TWO, VALIDATION
from pseudohealthy.assessment.protocol import EvaluationProtocol
from pseudohealthy.assessment.references import References, judge_quality, validity, write_references
from pseudohealthy.assessment.resegmentation import coordinates_auroc
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.evaluation.texture import texture, texture_over_slices


@pytest.fixture(scope="module")
def cohort() -> Prepared:
    return drawn()


@pytest.fixture(scope="module")
def protocol(cohort: Prepared) -> EvaluationProtocol:
    return EvaluationProtocol.of(cohort, JUDGES, SETTINGS)


@pytest.fixture(scope="module")
def written(protocol: EvaluationProtocol, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("references")
    write_references(folder, protocol)
    return folder


def judges_of(folder: Path) -> dict[str, Any]:
    """`judges.json`, which must be strict."""

    def refuse(name: str) -> None:
        raise AssertionError(name)

    found: dict[str, Any] = json.loads((folder / "judges.json").read_text(), parse_constant=refuse)
    return found


def test_what_judges_make_of_the_inputs_is_written(written: Path, protocol: EvaluationProtocol) -> None:
    x = protocol.pathological
    references = References.read(written)
    found, expected = references.judged, protocol.judged(x.images)
    assert list(found) == list(expected)
    for name, stack in expected.items():
        np.testing.assert_array_equal(found[name], stack)
    expected_coordinates = coordinates_auroc(x, seed=0, steps=1)
    assert references.coordinates is not None
    pd.testing.assert_frame_equal(references.coordinates, expected_coordinates)
    assert expected_coordinates.index.tolist() == ["T1", "T2", "T3", "T4"]


def test_a_judge_s_worth_by_hand(written: Path, protocol: EvaluationProtocol) -> None:
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
    assert facts["threshold"] == protocol.threshold
    assert (facts["valid"], facts["invalid_reason"]) == (True, None)
    assert first["insertion_recall"] == protocol.insertion_check(protocol.pathological.images)[1]


def test_the_texture_of_healthy_slices_is_with_others_masks(
    protocol: EvaluationProtocol, tmp_path: Path
) -> None:
    """Noise on both sides, for lesions large enough; drawn lesions have nothing left when eroded."""
    case = protocol.transplants
    assert case is not None
    assert case.truth is not None
    masks = np.zeros_like(case.masks)
    masks[:, 18:46, 6:22] = True
    large = replace(protocol, transplants=replace(case, masks=masks, images=np.where(masks, 1, case.images)))
    write_references(tmp_path, large)
    found = judges_of(tmp_path)["texture_of_healthy_slices"]
    assert found == texture_over_slices(texture(case.truth, masks, case.brains, case.volumes), case.volumes)
    assert found["slices"] == len(case.images)
    assert found["median"] == pytest.approx(1, abs=0.15)


def test_where_no_texture_can_be_measured_it_is_null(written: Path) -> None:
    found = judges_of(written)["texture_of_healthy_slices"]
    assert found.pop("slices") == 0
    assert set(found.values()) == {None}


def test_a_blind_first_judge_makes_the_table_invalid(protocol: EvaluationProtocol, tmp_path: Path) -> None:
    blind = replace(protocol, judges={"none": JUDGES["none"], "spare": JUDGES["spare"]})
    write_references(tmp_path, blind)
    facts = judges_of(tmp_path)
    assert facts["valid"] is False
    assert "Dice is 0.000" in facts["invalid_reason"]
    assert "h(copy) is 1.000" in facts["invalid_reason"]


def test_pairs_on_disk_say_whose_they_are(written: Path, protocol: EvaluationProtocol) -> None:
    pairs = pd.read_csv(written / "pairs.tsv", sep="\t")
    assert pairs["use"].value_counts().to_dict() == {
        "truth": len(protocol.transplants or ()),
        "check": len(protocol.check_pairs),
    }
    assert (pairs["donor_subject"] != pairs["recipient_subject"]).all()
    assert (pairs["donor_z"] == pairs["recipient_z"]).all()
    truth, transplants = pairs[pairs["use"] == "truth"], protocol.transplants
    assert transplants is not None
    assert truth["recipient_subject"].tolist() == transplants.subjects.tolist()
    assert truth["recipient_z"].tolist() == transplants.required("z").tolist()


def test_references_are_strict_where_no_lesion_fits_the_check(tmp_path: Path) -> None:
    """Two patients whose lesions lie at different heights: none goes into the other's pathological slices."""
    protocol = EvaluationProtocol.of(drawn(VALIDATION, *TWO), JUDGES, SETTINGS)
    assert (len(protocol.transplants or ()), len(protocol.check_pairs)) == (2, 0)
    write_references(tmp_path, protocol)
    facts = judges_of(tmp_path)["judges"]["all"]
    assert (facts["insertion_recall"], facts["insertion_recall_in_healthy_slices"]) == (None, 1)
    assert set(pd.read_csv(tmp_path / "pairs.tsv", sep="\t")["use"]) == {"truth"}


def test_of_one_subject_or_without_steps_there_are_no_coordinates() -> None:
    lonely = drawn(VALIDATION, Drawn("T1", "test", (1, 2), (), 0.8))
    assert References.of(EvaluationProtocol.of_lesions(lonely, JUDGES, SETTINGS)).coordinates is None
    without_steps = replace(SETTINGS, resegmentation_steps=0)
    assert References.of(EvaluationProtocol.of_lesions(drawn(), {}, without_steps)).coordinates is None


def test_without_healthy_slices_a_judge_may_not_be_believed() -> None:
    protocol = EvaluationProtocol.of_lesions(
        drawn(VALIDATION, Drawn("T1", "test", (1,), (), 0.8)), JUDGES, SETTINGS
    )
    quality = judge_quality(protocol, "first", protocol.judged(protocol.pathological.images)["first"])
    assert (quality["dice_pooled"], quality["h_copy"]) == (1, 0)
    assert np.isnan(quality["h_real_healthy"])
    assert "insertion_recall_in_healthy_slices" not in quality
    assert not validity(quality)["valid"]
    assert "not known" in validity(quality)["invalid_reason"]
