"""The inpainter never sees what it is to make, and learns nothing but that."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pseudohealthy.config import Losses, Networks
from pseudohealthy.methods.inpainter import Inpainting
from pseudohealthy.sampling.batch import Batch


def case() -> tuple[Tensor, Tensor]:
    x, m = torch.rand(2, 1, 32, 32), torch.zeros(2, 1, 32, 32)
    m[0, :, 4:10, 5:9] = 1
    m[1, :, 20:22, 20:30] = 1
    return x, m


def test_what_is_inside_the_hole_reaches_nothing_but_the_target() -> None:
    method = Inpainting(Networks(segmentor_width=4), Losses())
    assert method.needs == {"healthy", "inpainting_masks"}
    x, m = case()
    seen: list[Tensor] = []
    method.generators["I"].register_forward_hook(lambda _m, _i, out: seen.append(out))
    first = method.generator_terms(Batch(x_h=x, m=m)).total
    second = method.generator_terms(Batch(x_h=torch.where(m > 0, torch.rand_like(x), x), m=m)).total
    assert torch.equal(*seen)
    assert first != second


def test_only_the_inside_of_the_hole_is_learnt_and_every_hole_counts_alike() -> None:
    method = Inpainting(Networks(segmentor_width=4), Losses())
    x, m = case()

    class FreeImage(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.image = nn.Parameter(x + torch.tensor([0.1, 0.3]).view(2, 1, 1, 1))

        def forward(self, _x: Tensor, _m: Tensor) -> Tensor:
            return self.image

    free = method.generators["I"] = FreeImage()
    terms = method.generator_terms(Batch(x_h=x, m=m))
    assert terms.total.item() == pytest.approx((0.1 + 0.3) / 2)
    terms.total.backward()
    assert free.image.grad is not None
    assert torch.equal(free.image.grad != 0, m > 0)


def test_a_slice_without_a_hole_teaches_nothing() -> None:
    method = Inpainting(Networks(segmentor_width=4), Losses())
    x, m = case()
    assert method.generator_terms(Batch(x_h=x, m=torch.zeros_like(m))).total == 0
