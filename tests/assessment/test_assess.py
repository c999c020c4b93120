"""Every measure of a row: of models and judges whose figures are known by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from fixtures.drawn_cohort import AREA, drawn
from fixtures.models import bright, copied, dimmed, judge, lesioned, ruled, saved
from fixtures.protocols import SETTINGS
from pseudohealthy.assessment.assess import Assessment, assess, summary_of
from pseudohealthy.assessment.predictors import ModelPredictor, RowPredictor
from pseudohealthy.assessment.protocol import EvaluationProtocol
from pseudohealthy.assessment.references import References
from pseudohealthy.catalogue.rows import Row
from pseudohealthy.config import MethodName
from pseudohealthy.evaluation.reconstruction import moved
from pseudohealthy.evaluation.score import summarise
from pseudohealthy.evaluation.texture import texture, texture_over_slices
from pseudohealthy.synthesis.model import Model

SLICES, PIXELS = 7, 64 * 48
VOLUMES = ["T1", "T2", "T3", "T4"]
RAW = Row("paired", "default", "raw", seed=0)


@pytest.fixture(scope="module")
def protocol() -> EvaluationProtocol:
    """The first judge finds each lesion, two find all or nothing, the spare one those of T3 and T4."""
    judges = {"first": judge(0.6), "none": judge(2.0), "all": judge(0.0), "spare": judge(0.86)}
    return EvaluationProtocol.of(drawn(), judges, SETTINGS)


@pytest.fixture(scope="module")
def references(protocol: EvaluationProtocol) -> References:
    return References.of(protocol)


@pytest.fixture(scope="module")
def controlled() -> Model:
    """Removes and finds each lesion, and puts one where the mask says."""
    return ruled("paired", G=dimmed, S=bright(0.6), R=lesioned)


def measured(
    protocol: EvaluationProtocol, references: References, row: Row, own: Model | None = None
) -> Assessment:
    return assess(RowPredictor(row, own, ruled(S=bright(0.6)), protocol.threshold), protocol, references)


@pytest.fixture(scope="module")
def copy(protocol: EvaluationProtocol, references: References) -> Assessment:
    return measured(protocol, references, Row("copy"))


@pytest.fixture(scope="module")
def treated(protocol: EvaluationProtocol, references: References, controlled: Model) -> Assessment:
    return measured(protocol, references, RAW, controlled)


def test_a_copy_removes_nothing_and_keeps_all(copy: Assessment) -> None:
    assert copy.table.index.tolist() == VOLUMES
    assert copy.table.index.name == "volume"
    summary = summarise(copy.table)
    assert summary["healthiness"]["rel"] == summary["healthiness"]["pooled"] == 0
    assert summary["identity"]["mean"] == pytest.approx(1)
    assert summary["truth_transplant"]["mae_ratio"]["mean"] == 1
    assert summary["truth_phantom"]["mae_ratio"]["mean"] == 1
    assert summary["healthy_in"]["mae"]["mean"] == 0
    assert summary["through_plane_inconsistency"]["mean"] == pytest.approx(1)


def test_a_trained_copy_is_a_copy(
    tmp_path: Path, protocol: EvaluationProtocol, references: References, copy: Assessment
) -> None:
    """From a weights folder: G gives its input back, S finds nothing."""
    own = Model.load(saved(tmp_path, copying=True, finds=False), "cpu")
    found = measured(protocol, references, RAW, own)
    common = list(copy.table.columns)
    pd.testing.assert_frame_equal(found.table[common], copy.table)
    assert summarise(found.table)["healthiness"]["rel"] == 0
    assert found.table["segmentor_dice"].tolist() == [0.0] * 4
    assert found.numbers["detection.by_size"]["50-200"] == {"lesions": SLICES, "detected": 0, "rate": 0.0}


def test_where_lesions_are_removed_every_judge_says_so_but_the_one_that_sees_all(treated: Assessment) -> None:
    healthiness = summarise(treated.table)["healthiness"]
    assert healthiness["pooled"] == healthiness["rel"] == healthiness["held_out"] == 1
    assert healthiness["panel_worst"] == pytest.approx(1 - PIXELS / AREA)
    assert treated.table["identity"].tolist() == pytest.approx([1.0] * 4)
    assert (treated.table["truth_transplant.mae_ratio"] < 0.5).all()
    assert treated.table["truth_transplant.outside.mae"].tolist() == [0.0] * 4
    assert treated.table["segmentor_dice"].tolist() == [1.0] * 4


def test_the_held_out_judge_is_apart(copy: Assessment) -> None:
    """It finds the lesions of 3 slices of 7, the others of all, none, every pixel, and all."""
    healthiness = summarise(copy.table)["healthiness"]
    assert set(healthiness["members"]) == {"first", "none", "all", "threshold"}
    assert healthiness["held_out"] == pytest.approx(1 - 3 / 7)
    assert healthiness["panel_mean"] == pytest.approx((0 + 1 + (1 - PIXELS / AREA) + 0) / 4)
    assert "found.spare" not in copy.table
    assert copy.table["held_out.spare"].tolist() == [0, 0, 2 * AREA, AREA]


def test_lesions_are_found_by_size(
    protocol: EvaluationProtocol, references: References, treated: Assessment
) -> None:
    """Of 80 mm2 all are found; at 2 mm a pixel the same lesions are of 320 mm2."""
    sizes = treated.numbers["detection.by_size"]
    assert sizes["50-200"] == {"lesions": SLICES, "detected": SLICES, "rate": 1.0}
    empty = {"lesions": 0, "detected": 0, "rate": None}
    assert [sizes[name] for name in ("<50", "200-1000", ">=1000")] == [empty] * 3
    two_millimetres = replace(protocol, pathological=replace(protocol.pathological, spacing=(2.0, 2.0)))
    own = ruled("unpaired", G=dimmed, S=bright(0.86))
    sizes = measured(two_millimetres, references, RAW, own).numbers["detection.by_size"]
    assert sizes["200-1000"] == {"lesions": SLICES, "detected": 3, "rate": pytest.approx(3 / 7)}


def test_the_check_is_of_the_row_s_own_outputs(
    protocol: EvaluationProtocol, references: References, copy: Assessment
) -> None:
    blank = ruled("conditional_gan", G=lambda x: 0 * x)
    found = measured(protocol, references, Row("conditional_gan", "default", seed=0), blank)
    assert found.numbers["healthiness.insertion_recall"] == 0.0
    _, expected = protocol.insertion_check(protocol.pathological.images)
    assert copy.numbers["healthiness.insertion_recall"] == expected
    assert set(copy.numbers) == {"healthiness.insertion_recall", "texture"}
    assert expected > 0.3


def test_texture_is_of_the_row_s_own_outputs(protocol: EvaluationProtocol, copy: Assessment) -> None:
    """A copy has the noise of both sides; the smooth patch nothing inside; small lesions are not measured."""
    assert copy.numbers["texture"]["slices"] == 0
    assert copy.table["texture"].isna().all()
    x = protocol.pathological
    assert x.truth is not None
    masks = np.zeros_like(x.masks)
    masks[:, 18:46, 6:22] = True  # as in drawn cohorts: the brain's middle is column 23.5
    large = replace(protocol, pathological=replace(x, images=x.truth, masks=masks, truth=None))
    same = measured(large, References.of(large), Row("copy"))
    assert same.numbers["texture"] == texture_over_slices(
        texture(x.truth, masks, x.brains, x.volumes), x.volumes
    )
    assert same.numbers["texture"]["slices"] == SLICES
    assert same.numbers["texture"]["median"] == pytest.approx(1, abs=0.15)
    assert same.table["texture"].between(0.7, 1.3).all()
    filled = measured(large, References.of(large), Row("fill", mask="true"))
    assert filled.numbers["texture"]["median"] < 0.3
    assert list(filled.table["texture"].index) == VOLUMES


def test_where_no_lesion_fits_the_recall_is_not_known(
    protocol: EvaluationProtocol, references: References
) -> None:
    found = measured(replace(protocol, check_pairs=protocol.check_pairs.iloc[:0]), references, Row("copy"))
    assert np.isnan(found.numbers["healthiness.insertion_recall"])
    assert found.table["insertion_recall"].isna().all()
    assert found.table.index.tolist() == VOLUMES


def test_an_r_that_obeys_puts_lesions_where_the_mask_says(
    protocol: EvaluationProtocol, treated: Assessment
) -> None:
    """The cycle is off by the difference of each lesion's brightness to the 0.9 that R puts there."""
    table = treated.table
    assert table["mask_control.residual_without_mask"].tolist() == [0.0] * 4
    assert table["mask_control.moved_mask_dice"].tolist() == [1.0] * 4
    assert table["mask_control.leak_at_original_site"].tolist() == [0.0] * 4
    assert table["cycle.location_dice"].tolist() == [1.0] * 4
    assert table["cycle.location_dice_quantised"].tolist() == [1.0] * 4
    errors = np.array([0.10, 0.06, 0.02, 0.02]) * AREA / PIXELS
    assert table["cycle.l1"].to_numpy() == pytest.approx(errors, rel=1e-4)
    x = protocol.pathological
    shown = x.largest()
    elsewhere = moved(x.masks, x.brains, x.volumes)[shown]
    np.testing.assert_array_equal(treated.pictures["moved mask"], elsewhere)
    assert (treated.pictures["with moved mask"][elsewhere] == np.float32(0.9)).all()
    assert (treated.pictures["without mask"] <= 0.5).all()
    for stack in treated.pictures.values():
        assert stack.shape == (4, 64, 48)


def test_an_r_that_does_not_obey_is_found_out(protocol: EvaluationProtocol, references: References) -> None:
    """It ignores its mask, and G hides nothing: the lesion stays where it was."""
    own = ruled("paired", G=copied, S=bright(0.6), R=lambda x, _: x)
    table = measured(protocol, references, RAW, own).table
    assert table["mask_control.residual_without_mask"].tolist() == [1.0] * 4
    assert table["mask_control.moved_mask_dice"].tolist() == [0.0] * 4
    assert table["mask_control.leak_at_original_site"].tolist() == [1.0] * 4
    assert table["cycle.l1"].tolist() == [0.0] * 4


def test_what_is_hidden_in_small_differences_is_lost_to_noise(
    protocol: EvaluationProtocol, references: References
) -> None:
    """CycleGAN's trick: where the lesion was, G leaves a value found nowhere else, and F looks for it."""

    def hides(x: torch.Tensor) -> torch.Tensor:
        coarse = torch.round(x * 128) / 128
        return torch.where(x > 0.6, torch.full_like(x, 0.4375 + 1 / 512), coarse)

    def reveals(x: torch.Tensor) -> torch.Tensor:
        exact = (x - (0.4375 + 1 / 512)).abs() < 1e-6
        return torch.where(exact, torch.full_like(x, 0.9), x)

    own = ruled("cyclegan", G=hides, F=reveals)
    found = measured(protocol, references, Row("cyclegan", "default", seed=0), own)
    assert found.table["cycle.location_dice"].tolist() == [1.0] * 4
    assert found.table["cycle.location_dice_quantised"].tolist() == [0.0] * 4
    assert not [
        name for name in found.table if str(name).startswith(("mask_control.", "detection", "segmentor"))
    ]
    assert set(found.pictures) == {"healthy", "reconstructed"}
    x = protocol.pathological
    assert (found.pictures["reconstructed"][x.masks[x.largest()]] == np.float32(0.9)).all()


@pytest.mark.parametrize("output", ["raw", "blend"])
@pytest.mark.parametrize("method", ["paired", "cyclegan", "conditional_gan", "inpainter"])
def test_only_raw_rows_with_a_way_back_have_a_cycle(
    protocol: EvaluationProtocol, references: References, method: MethodName, output: Any
) -> None:
    rules: dict[str, dict[str, Any]] = {
        "paired": {"G": dimmed, "S": bright(0.6), "R": lesioned},
        "cyclegan": {"G": dimmed, "F": copied},
        "conditional_gan": {"G": dimmed},
        "inpainter": {"I": lambda x, _: 0 * x + 0.45},
    }
    mask = "segmentor" if method == "inpainter" else None
    row = Row(method, "default", output, mask=mask, seed=0)  # type: ignore[arg-type]
    found = measured(protocol, references, row, ruled(method, **rules[method]))
    has_cycle = output == "raw" and method in {"paired", "cyclegan"}
    assert ("cycle.l1" in found.table) is has_cycle
    assert ("mask_control.moved_mask_dice" in found.table) is (has_cycle and method == "paired")
    assert ("reconstructed" in found.pictures) is has_cycle
    assert ("healthy_in.reconstructed_mae" in found.table) is (method == "paired")
    assert ("detection.by_size" in found.numbers) is (method == "paired")


def test_the_picture_is_of_the_slice_with_the_largest_lesion(
    protocol: EvaluationProtocol, treated: Assessment
) -> None:
    x = protocol.pathological
    expected = np.minimum(x.images[x.largest()], np.float32(0.5))
    np.testing.assert_array_equal(treated.pictures["healthy"], expected)


def test_the_excess_is_over_the_coordinates_given(
    protocol: EvaluationProtocol, references: References, copy: Assessment
) -> None:
    assert references.coordinates is not None
    shifted = replace(references, coordinates=references.coordinates - 0.25)
    found = measured(protocol, shifted, Row("copy")).table["reseg_excess_auroc"]
    pd.testing.assert_series_equal(found, copy.table["reseg_excess_auroc"] + 0.25)


def test_without_transplants_the_slices_with_a_lesion_alone_are_measured(
    protocol: EvaluationProtocol, references: References, treated: Assessment, controlled: Model
) -> None:
    """As of `evaluate`: the same figures, and no others; what is through-plane then is over fewer slices."""
    alone = replace(protocol, transplants=None)
    found = assess(ModelPredictor(controlled), alone, references)
    beside = ("truth_transplant", "healthy_in", "cycle", "mask_control")
    common = [name for name in treated.table if not str(name).startswith((*beside, "through_plane"))]
    pd.testing.assert_frame_equal(found.table[common], treated.table[common])
    assert set(found.table) == {*common, "through_plane_inconsistency"}
    for name in ("healthiness.insertion_recall", "detection.by_size"):
        assert found.numbers[name] == treated.numbers[name]
    assert set(found.pictures) == {"healthy"}


def test_without_judges_and_steps_nothing_rests_on_them() -> None:
    alone = EvaluationProtocol.of_lesions(drawn(), {}, replace(SETTINGS, resegmentation_steps=0))
    found = assess(ModelPredictor(ruled(G=dimmed)), alone, References.of(alone))
    judged = ("healthiness", "balance", "insertion_recall", "found", "held_out", "reseg", "segmentor")
    assert not [name for name in found.table if str(name).startswith(judged)]
    assert set(found.numbers) == {"texture"}
    assert "healthiness" not in summary_of(found, None)
    pd.testing.assert_index_equal(found.table.index, pd.Index(VOLUMES, name="volume"), exact="equiv")


def test_the_summary_is_that_of_a_row(copy: Assessment) -> None:
    recall = copy.numbers["healthiness.insertion_recall"]
    for reference, expected in ((recall, False), (recall + 0.06, True), (None, True)):
        summary = summary_of(copy, reference)
        assert summary["healthiness"]["unreliable"] is expected
        assert summary["healthiness"]["insertion_recall"] == recall
        assert summary["identity"] == summarise(copy.table)["identity"]
        assert summary["texture"]["slices"] == 0
        assert "insertion_recall" not in summary
