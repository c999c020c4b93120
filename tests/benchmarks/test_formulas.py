"""The formulas say what a real step computes, and no more than a step needs."""

from __future__ import annotations

from typing import get_args

import pytest
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import training
from benchmarks.formulas import PASSES, forward, learning, step, widened
from benchmarks.training import noise, stepping
from benchmarks.yardstick import Machine
from pseudohealthy.config import MethodName
from pseudohealthy.methods.factory import build

WIDTH, FIELD, IMAGES = 4, (64, 48), 4


def test_a_discriminator_is_counted_as_by_hand() -> None:
    """Four 4 x 4 convolutions of stride 2, one of stride 1; a product and a sum for each weight and pixel."""
    widths = [1, WIDTH, 4 * WIDTH, 8 * WIDTH, 16 * WIDTH]
    layers = [2 * 16 * widths[i] * widths[i + 1] * (FIELD[0] * FIELD[1] // 4 ** (i + 1)) for i in range(4)]
    last = 2 * 16 * widths[4] * (FIELD[0] // 16) * (FIELD[1] // 16)
    assert forward("paired", WIDTH, FIELD)["D_x"] == sum(layers) + last
    assert learning("paired", WIDTH, FIELD)["D_x"] == 3 * (sum(layers) + last) - layers[0]


@pytest.mark.parametrize("method", PASSES)
def test_a_real_step_computes_what_the_formula_says(
    method: MethodName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "FIELD", FIELD)
    work = stepping(Machine.of("cpu", quick=True), widened(method, WIDTH))
    with FlopCounterMode(display=False) as counter:
        work()
    needed = step(method, WIDTH, IMAGES, FIELD)
    # D_m gets the masks of labelled images too, whose weight in its loss is 0
    wasted = needed_by_d_m() if method == "semi_supervised" else 0
    assert counter.get_total_flops() == needed + wasted


def needed_by_d_m() -> float:
    return step("unpaired", WIDTH, IMAGES, FIELD) - step("semi_supervised", WIDTH, IMAGES, FIELD)


@pytest.mark.parametrize("method", get_args(MethodName))
def test_a_batch_holds_what_the_method_needs_alone(method: MethodName) -> None:
    needs = build(widened(method, WIDTH)).needs
    batch = noise(needs, (2, 1, *FIELD))
    assert (batch.x_p is None) == ("inpainting_masks" in needs)
    assert (batch.labelled is not None) == ("labelled" in needs)
    assert (batch.m is not None) == bool(needs & {"library", "inpainting_masks"})
    assert (batch.x_k is not None) == bool(needs & {"lesion_free", "lesion_free_balanced"})
