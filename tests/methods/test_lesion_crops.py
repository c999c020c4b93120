"""Squares around lesions."""

from __future__ import annotations

import torch

from pseudohealthy.methods.lesion_crops import lesion_crops


def numbered(height: int, width: int, count: int = 1) -> torch.Tensor:
    """Images in which every pixel has a value of its own."""
    return torch.arange(float(count * height * width)).view(count, 1, height, width)


def test_a_lesion_is_in_the_middle_of_its_square() -> None:
    x, m = numbered(40, 30, 2), torch.zeros(2, 1, 40, 30)
    m[0, 0, 19:22, 14:17] = 1  # centre (20, 15)
    m[1, 0, 9:12, 9:12] = 1
    crops = lesion_crops(x, m, side=8)
    assert torch.equal(crops[0, 0], x[0, 0, 16:24, 11:19])
    assert torch.equal(crops[1, 0], x[1, 0, 6:14, 6:14])


def test_a_square_stays_within_the_image_and_is_no_larger_than_it() -> None:
    x, m = numbered(40, 30), torch.zeros(1, 1, 40, 30)
    m[..., 39, 0] = 1
    assert torch.equal(lesion_crops(x, m, side=8), x[..., 32:, :8])
    assert torch.equal(lesion_crops(x, m, side=32), x[..., 8:, :])
    assert lesion_crops(x, torch.zeros_like(m), side=8).shape == (1, 1, 8, 8)


def test_the_gradient_goes_to_the_square_alone() -> None:
    x, m = numbered(40, 30).requires_grad_(), torch.zeros(1, 1, 40, 30)
    m[..., 20, 15] = 1
    lesion_crops(x, m, side=4).sum().backward()
    assert x.grad is not None
    expected = torch.zeros_like(x)
    expected[..., 18:22, 13:17] = 1
    assert torch.equal(x.grad, expected)
