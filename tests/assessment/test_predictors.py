"""What a row makes of slices: a control is its definition inside the right mask, a method its network's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fixtures.drawn_cohort import drawn
from fixtures.rule_models import bright, copied, dimmed, painted, ruled
from pseudohealthy.assessment.predictors import FilePredictor, ModelPredictor, NetworkOutputs, RowPredictor
from pseudohealthy.catalogue.rows import Row
from pseudohealthy.evaluation import controls
from pseudohealthy.evaluation.slice_set import SliceSet
from pseudohealthy.synthesis.model import Model

SPACING = (1.0, 2.0)
THRESHOLD = 0.82


@pytest.fixture(scope="module")
def slices() -> SliceSet:
    return replace(SliceSet.of(drawn(), "test"), spacing=SPACING)


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


def lower_half(slices: SliceSet) -> Any:
    """What `beside` finds inside the brain."""
    half = slices.masks.copy()
    half[:, :25] = False
    return half


def synthesized(row: Row, slices: SliceSet, own: Model | None = None, segmentor: Model | None = None) -> Any:
    return RowPredictor(row, own, segmentor, THRESHOLD).synthesize(slices)


def test_controls_without_a_mask_need_no_model(slices: SliceSet) -> None:
    x = slices.images
    np.testing.assert_array_equal(synthesized(Row("copy"), slices), x)
    np.testing.assert_array_equal(synthesized(Row("blur"), slices), controls.blur(x, SPACING))
    np.testing.assert_array_equal(
        synthesized(Row("constant"), slices), controls.constant(x, slices.brains, slices.volumes)
    )


def test_the_threshold_fill_is_inside_thresholded_flair(slices: SliceSet) -> None:
    """Of the lesions of 0.80, 0.84, 0.88 and 0.92 all but the first are above the threshold of 0.82."""
    above = slices.masks & (slices.subjects != "T1")[:, None, None]
    out = synthesized(Row("threshold_fill"), slices)
    np.testing.assert_array_equal(out, controls.fill(slices.images, above))
    assert (out[above] < 0.6).all()
    np.testing.assert_array_equal(out[~above], slices.images[~above])


@pytest.mark.parametrize("method", ["mirror", "fill"])
def test_a_control_fills_what_s_finds_inside_the_brain(
    method: str, slices: SliceSet, segmentor: Model
) -> None:
    mask = lower_half(slices)
    expected = {
        "mirror": lambda: controls.mirror(slices.images, mask, slices.brains, slices.volumes),
        "fill": lambda: controls.fill(slices.images, mask),
    }[method]()
    out = synthesized(Row(method, mask="segmentor"), slices, segmentor=segmentor)
    np.testing.assert_array_equal(out, expected)
    assert (out != slices.images).any()


@pytest.mark.parametrize("method", ["mirror", "fill"])
def test_an_oracle_fills_the_true_lesion(
    method: str, slices: SliceSet, healthy: SliceSet, segmentor: Model
) -> None:
    expected = {
        "mirror": lambda: controls.mirror(slices.images, slices.masks, slices.brains, slices.volumes),
        "fill": lambda: controls.fill(slices.images, slices.masks),
    }[method]()
    for given in (None, segmentor):
        out = synthesized(Row(method, mask="true"), slices, segmentor=given)
        np.testing.assert_array_equal(out, expected)
    assert (out[slices.masks] < 0.6).all()
    np.testing.assert_array_equal(synthesized(Row(method, mask="true"), healthy), healthy.images)


def test_the_inpainter_works_inside_s_s_mask_or_the_true_one(slices: SliceSet, segmentor: Model) -> None:
    """Its network paints 0.3 everywhere; what is outside the hole stays."""
    own = ruled("inpainter", I=lambda x, _: torch.full_like(x, 0.3))
    for mask, hole in (("segmentor", lower_half(slices)), ("true", slices.masks)):
        row = Row("inpainter", "default", mask=mask, seed=0)  # type: ignore[arg-type]
        out = synthesized(row, slices, own, segmentor)
        np.testing.assert_array_equal(out, np.where(hole, np.float32(0.3), slices.images))


def test_a_raw_row_is_what_g_makes(slices: SliceSet, segmentor: Model) -> None:
    own = ruled("cyclegan", G=dimmed, F=copied)
    out = synthesized(Row("cyclegan", "default", "raw", seed=0), slices, own, segmentor)
    np.testing.assert_array_equal(out, np.minimum(slices.images, np.float32(0.5)))


def test_a_blend_is_inside_the_row_s_own_s(slices: SliceSet, segmentor: Model) -> None:
    """The row's own S finds the lesions of 0.88 and 0.92, the other one the lower half of each."""
    own = ruled("paired", G=lambda x: 0 * x + 0.1, S=bright(0.86))
    out = synthesized(Row("paired", "default", "blend", seed=0), slices, own, segmentor)
    mask = slices.masks & np.isin(slices.subjects, ["T3", "T4"])[:, None, None]
    np.testing.assert_array_equal(out, np.where(mask, np.float32(0.1), slices.images))


def test_a_blend_of_a_method_without_s_is_inside_the_reference_s(slices: SliceSet, segmentor: Model) -> None:
    own = ruled("conditional_gan", G=lambda x: 0 * x + 0.1)
    out = synthesized(Row("conditional_gan", "default", "blend", seed=0), slices, own, segmentor)
    np.testing.assert_array_equal(out, np.where(lower_half(slices), np.float32(0.1), slices.images))


def test_what_the_row_s_own_s_finds_is_inside_the_brain(slices: SliceSet, segmentor: Model) -> None:
    row = Row("paired", "default", seed=0)
    own = ruled("paired", G=copied, S=beside)
    marked = RowPredictor(row, own, None, THRESHOLD).segment(slices)
    np.testing.assert_array_equal(marked, lower_half(slices))
    without_s = ruled("cyclegan", G=copied)
    for given in (None, without_s):
        assert RowPredictor(row, given, segmentor, THRESHOLD).segment(slices) is None


@pytest.mark.parametrize(
    "row",
    [Row("fill", mask="segmentor"), Row("paired", "default"), Row("inpainter", "default", mask="true")],
    ids=lambda row: row.method,
)
def test_a_row_without_its_model_is_a_mistake_of_the_caller(row: Row, slices: SliceSet) -> None:
    with pytest.raises(ValueError, match="needs a model that it was not given"):
        synthesized(row, slices)


def test_what_a_network_made_of_slices_is_made_once(slices: SliceSet) -> None:
    outputs, calls = NetworkOutputs(), []

    def counted(x: torch.Tensor) -> torch.Tensor:
        calls.append(len(x))
        return 0.5 * x

    own = ruled(G=counted)
    first = RowPredictor(Row("paired", "default"), own, None, THRESHOLD, outputs)
    second = replace(first, row=Row("paired", "default", "blend"), segmentor=ruled(S=bright(0.6)))
    raw, blend = (predictor.synthesize(slices) for predictor in (first, second))
    assert sum(calls) == len(slices)
    np.testing.assert_array_equal(raw, 0.5 * slices.images)
    assert not np.array_equal(blend, raw)
    first.synthesize(SliceSet.of(drawn(), "test"))
    assert sum(calls) == 2 * len(slices)
    with pytest.raises(ValueError, match="read-only"):
        raw[0] = 0


def test_of_another_model_and_other_slices_it_is_another_output(slices: SliceSet, healthy: SliceSet) -> None:
    outputs = NetworkOutputs()
    for factor in (0.5, 0.25):
        model = ruled(G=lambda x, factor=factor: factor * x, S=bright(factor))
        for each in (slices, healthy):
            np.testing.assert_array_equal(outputs.synthesized(model, each), factor * each.images)
            np.testing.assert_array_equal(outputs.segmented(model, each), each.images >= factor)


def test_a_model_s_own_output_and_its_segmentor_inside_the_brain(slices: SliceSet) -> None:
    model = ModelPredictor(ruled("paired", G=dimmed, S=beside, R=painted))
    np.testing.assert_array_equal(model.synthesize(slices), np.minimum(slices.images, np.float32(0.5)))
    np.testing.assert_array_equal(model.segment(slices), lower_half(slices) & slices.brains)
    assert model.reconstructor() is model.model
    assert not model.is_blend
    alone = ModelPredictor(ruled("conditional_gan", G=dimmed))
    assert alone.segment(slices) is None
    assert alone.reconstructor() is None


def test_only_a_row_with_a_way_back_has_a_reconstructor() -> None:
    row = Row("cyclegan", "default", "blend", seed=0)
    for own, expected in (
        (ruled("cyclegan", G=copied, F=copied), True),
        (ruled(G=copied), False),
        (None, False),
    ):
        predictor = RowPredictor(row, own, None, THRESHOLD)
        assert predictor.is_blend
        assert (predictor.reconstructor() is not None) is expected


def test_files_are_of_one_set_of_slices(slices: SliceSet, healthy: SliceSet) -> None:
    files = FilePredictor(slices, (slices.images / 2).astype(np.float32))
    np.testing.assert_array_equal(files.synthesize(slices), slices.images / 2)
    with pytest.raises(ValueError, match="one set of slices only"):
        files.synthesize(healthy)
