"""Losses against cases worked by hand."""

from __future__ import annotations

import pytest
import torch

from pseudohealthy.methods.losses import (
    discriminator_input,
    gradient_l1_inside,
    l1,
    least_squares,
    lesion_crops,
    soft_dice,
)


def image(*values: float) -> torch.Tensor:
    return torch.tensor(values).view(1, 1, 1, -1)


def test_l1_and_least_squares_are_means() -> None:
    assert l1(image(0.0, 1.0), image(0.5, 0.0)).item() == pytest.approx(0.75)
    assert least_squares(image(0.5, 1.0), 1).item() == pytest.approx(0.125)


def test_gradients_count_where_one_of_two_neighbours_is_in_the_mask() -> None:
    m = torch.zeros(2, 1, 3, 4)
    m[0, 0, 1, 1] = 1
    target = torch.rand(2, 1, 3, 4)
    output = target + torch.arange(4.0)  # steps of 1 in a row, of 0 in a column
    # two of the four pairs are a step of 1 apart; the second image has no lesion
    assert gradient_l1_inside(output, target, m).item() == pytest.approx((2 / 4 + 0) / 2)
    assert gradient_l1_inside(target + 0.3, target, m).item() == pytest.approx(0, abs=1e-6)
    far = output.clone()
    far[..., 3] += 9  # none of these pixels is beside the lesion
    assert torch.equal(gradient_l1_inside(far, target, m), gradient_l1_inside(output, target, m))


def test_soft_dice_by_hand() -> None:
    m, target = image(0.5, 1.0, 0.0), image(1.0, 1.0, 0.0)
    assert soft_dice(m, target).item() == pytest.approx(1 - (2 * 1.5 + 0.1) / (1.5 + 2 + 0.1))
    assert soft_dice(m, target, "squared").item() == pytest.approx(1 - (2 * 1.5 + 0.1) / (1.25 + 2 + 0.1))


def test_soft_dice_is_per_sample_so_that_a_large_lesion_does_not_hide_a_small_one() -> None:
    target = torch.zeros(2, 1, 8, 8)
    target[0] = 1
    target[1, 0, 0, 0] = 1
    m = target.clone()
    m[1] = 0
    assert soft_dice(m, target).item() == pytest.approx((0 + 1 - 0.1 / 1.1) / 2)


def test_soft_dice_of_two_empty_masks_is_perfect() -> None:
    black = torch.zeros(1, 1, 4, 4)
    assert soft_dice(black, black).item() == pytest.approx(0)


def test_a_straight_through_mask_is_binary_and_passes_its_gradient() -> None:
    m = torch.tensor([0.2, 0.7], requires_grad=True)
    output = discriminator_input(m, "straight_through")
    assert output.tolist() == pytest.approx([0, 1])
    (output * torch.tensor([1.0, 3.0])).sum().backward()
    assert m.grad is not None
    assert m.grad.tolist() == [1, 3]


def test_noise_is_added_to_a_mask() -> None:
    m = torch.zeros(1000)
    assert discriminator_input(m, "soft") is m
    assert discriminator_input(m, "noise").std().item() == pytest.approx(0.1, rel=0.1)


def numbered(height: int, width: int, count: int = 1) -> torch.Tensor:
    """Images in which every pixel has a value of its own."""
    return torch.arange(float(count * height * width)).view(count, 1, height, width)


def test_a_lesion_is_in_the_middle_of_its_square() -> None:
    x, m = numbered(40, 30, 2), torch.zeros(2, 1, 40, 30)
    m[0, 0, 19:22, 14:17] = 1  # centre (20, 15)
    m[1, 0, 9:12, 9:12] = 1
    both = torch.cat([x, m], 1)
    expected = torch.stack([both[0, :, 16:24, 11:19], both[1, :, 6:14, 6:14]])
    assert torch.equal(lesion_crops(both, m, side=8), expected)


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
