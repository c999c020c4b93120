"""What a row makes of slices: a control is its definition inside the right mask, a method its network's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fixtures.drawn_cohort import drawn
from fixtures.rule_models import bright, copied, dimmed, ruled
from pseudohealthy.assessment.predictors import Memory, Predictor
from pseudohealthy.catalogue.rows import Row
from pseudohealthy.evaluation import controls
from pseudohealthy.evaluation.slice_set import SliceSet
from pseudohealthy.synthesis.model import Model

SPACING = (1.0, 2.0)
THRESHOLD = 0.82


@pytest.fixture(scope="module")
def case() -> SliceSet:
    return SliceSet.of(drawn(), "test")


@pytest.fixture(scope="module")
def healthy() -> SliceSet:
    return SliceSet.of(drawn(), "test", "healthy")


def beside(x: torch.Tensor) -> torch.Tensor:
    """S that finds the lower half of each lesion, and all of the background."""
    lower = torch.arange(x.shape[2])[:, None] >= 25
    return (((x > 0.6) & lower) | (x == 0)).float()


@pytest.fixture(scope="module")
def segmentor() -> Model:
    return ruled(S=beside)


def found(case: SliceSet) -> Any:
    """What `beside` finds inside the brain."""
    half = case.masks.copy()
    half[:, :25] = False
    return half


def healed(row: Row, case: SliceSet, own: Model | None = None, segmentor: Model | None = None) -> Any:
    return Predictor(row, own, segmentor, THRESHOLD, SPACING).healed(case)


def test_controls_without_a_mask_need_no_model(case: SliceSet) -> None:
    x = case.images
    np.testing.assert_array_equal(healed(Row("copy"), case), x)
    np.testing.assert_array_equal(healed(Row("blur"), case), controls.blur(x, SPACING))
    np.testing.assert_array_equal(
        healed(Row("constant"), case), controls.constant(x, case.brains, case.volumes)
    )


def test_the_threshold_fill_is_inside_thresholded_flair(case: SliceSet) -> None:
    """Of the lesions of 0.80, 0.84, 0.88 and 0.92 all but the first are above the threshold of 0.82."""
    above = case.masks & (case.subjects != "T1")[:, None, None]
    out = healed(Row("threshold_fill"), case)
    np.testing.assert_array_equal(out, controls.fill(case.images, above))
    assert (out[above] < 0.6).all()
    np.testing.assert_array_equal(out[~above], case.images[~above])


@pytest.mark.parametrize("method", ["mirror", "fill"])
def test_a_control_fills_what_s_finds_inside_the_brain(method: str, case: SliceSet, segmentor: Model) -> None:
    mask = found(case)
    expected = {
        "mirror": lambda: controls.mirror(case.images, mask, case.brains, case.volumes),
        "fill": lambda: controls.fill(case.images, mask),
    }[method]()
    out = healed(Row(method, mask="segmentor"), case, segmentor=segmentor)
    np.testing.assert_array_equal(out, expected)
    assert (out != case.images).any()


@pytest.mark.parametrize("method", ["mirror", "fill"])
def test_an_oracle_fills_the_true_lesion(
    method: str, case: SliceSet, healthy: SliceSet, segmentor: Model
) -> None:
    expected = {
        "mirror": lambda: controls.mirror(case.images, case.masks, case.brains, case.volumes),
        "fill": lambda: controls.fill(case.images, case.masks),
    }[method]()
    for given in (None, segmentor):
        out = healed(Row(method, mask="true"), case, segmentor=given)
        np.testing.assert_array_equal(out, expected)
    assert (out[case.masks] < 0.6).all()
    np.testing.assert_array_equal(healed(Row(method, mask="true"), healthy), healthy.images)


def test_the_inpainter_works_inside_s_s_mask_or_the_true_one(case: SliceSet, segmentor: Model) -> None:
    """Its network paints 0.3 everywhere; what is outside the hole stays."""
    own = ruled("inpainter", I=lambda x, _: torch.full_like(x, 0.3))
    for mask, hole in (("segmentor", found(case)), ("true", case.masks)):
        row = Row("inpainter", "default", mask=mask, seed=0)  # type: ignore[arg-type]
        out = healed(row, case, own, segmentor)
        np.testing.assert_array_equal(out, np.where(hole, np.float32(0.3), case.images))


def test_a_raw_row_is_what_g_makes(case: SliceSet, segmentor: Model) -> None:
    own = ruled("cyclegan", G=dimmed, F=copied)
    out = healed(Row("cyclegan", "default", "raw", seed=0), case, own, segmentor)
    np.testing.assert_array_equal(out, np.minimum(case.images, np.float32(0.5)))


def test_a_blend_is_inside_the_row_s_own_s(case: SliceSet, segmentor: Model) -> None:
    """The row's own S finds the lesions of 0.88 and 0.92, the other one the lower half of each."""
    own = ruled("paired", G=lambda x: 0 * x + 0.1, S=bright(0.86))
    out = healed(Row("paired", "default", "blend", seed=0), case, own, segmentor)
    mask = case.masks & np.isin(case.subjects, ["T3", "T4"])[:, None, None]
    np.testing.assert_array_equal(out, np.where(mask, np.float32(0.1), case.images))


def test_a_blend_of_a_method_without_s_is_inside_the_reference_s(case: SliceSet, segmentor: Model) -> None:
    own = ruled("conditional_gan", G=lambda x: 0 * x + 0.1)
    out = healed(Row("conditional_gan", "default", "blend", seed=0), case, own, segmentor)
    np.testing.assert_array_equal(out, np.where(found(case), np.float32(0.1), case.images))


def test_what_the_row_s_own_s_finds_is_inside_the_brain(case: SliceSet, segmentor: Model) -> None:
    row = Row("paired", "default", seed=0)
    own = ruled("paired", G=copied, S=beside)
    marked = Predictor(row, own, None, THRESHOLD, SPACING).found(case)
    np.testing.assert_array_equal(marked, found(case))
    without_s = ruled("cyclegan", G=copied)
    for given in (None, without_s):
        assert Predictor(row, given, segmentor, THRESHOLD, SPACING).found(case) is None


@pytest.mark.parametrize(
    "row",
    [Row("fill", mask="segmentor"), Row("paired", "default"), Row("inpainter", "default", mask="true")],
    ids=lambda row: row.method,
)
def test_a_row_without_its_model_is_a_mistake_of_the_caller(row: Row, case: SliceSet) -> None:
    with pytest.raises(ValueError, match="needs a model that it was not given"):
        healed(row, case)


def test_what_a_network_made_of_slices_is_made_once(case: SliceSet) -> None:
    memory, calls = Memory(), []

    def counted(x: torch.Tensor) -> torch.Tensor:
        calls.append(len(x))
        return 0.5 * x

    own = ruled(G=counted)
    first = Predictor(Row("paired", "default"), own, None, THRESHOLD, SPACING, memory)
    second = replace(first, row=Row("paired", "default", "blend"), segmentor=ruled(S=bright(0.6)))
    raw, blend = (predictor.healed(case) for predictor in (first, second))
    assert sum(calls) == len(case.images)
    np.testing.assert_array_equal(raw, 0.5 * case.images)
    assert not np.array_equal(blend, raw)
    other = SliceSet.of(drawn(), "test")
    first.healed(other)
    assert sum(calls) == 2 * len(case.images)
    with pytest.raises(ValueError, match="read-only"):
        raw[0] = 0
