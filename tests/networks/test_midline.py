"""The mirror image of a slice."""

from __future__ import annotations

import torch

from pseudohealthy.networks.midline import mirrored


def brain(first: int, last: int) -> torch.Tensor:
    """One slice of 6 x 12 whose brain fills these columns, each of its own brightness."""
    x = torch.zeros(1, 1, 6, 12)
    x[..., 1:5, first : last + 1] = torch.linspace(0.2, 0.9, last - first + 1)
    return x


def test_a_brain_is_mirrored_in_its_own_place_wherever_that_is() -> None:
    for first, last in ((0, 11), (1, 6), (3, 9), (5, 5)):
        x = brain(first, last)
        expected = torch.zeros_like(x)
        expected[..., first : last + 1] = x[..., first : last + 1].flip(3)
        assert torch.equal(mirrored(x), expected)
        assert torch.equal(mirrored(mirrored(x)), x)


def test_each_slice_of_a_batch_has_a_midline_of_its_own() -> None:
    one, other = brain(0, 5), brain(4, 10)
    assert torch.equal(mirrored(torch.cat([one, other])), torch.cat([mirrored(one), mirrored(other)]))


def test_a_background_that_is_not_quite_black_does_not_move_the_midline() -> None:
    x = brain(1, 6)
    nearly = torch.where(x == 0, 0.01, x)
    assert torch.equal(mirrored(nearly)[..., 1:5, 1:7], mirrored(x)[..., 1:5, 1:7])


def test_what_lies_beyond_the_image_is_black_and_so_is_a_slice_without_a_brain() -> None:
    x = brain(8, 11)
    x[..., 0, 0] = 0.04  # its mirror image would be in column 19
    assert mirrored(x)[..., :8].abs().sum() == 0
    assert torch.equal(mirrored(torch.zeros(2, 1, 4, 4)), torch.zeros(2, 1, 4, 4))


def test_its_gradient_goes_to_the_mirrored_pixel() -> None:
    x = brain(1, 6).requires_grad_()
    mirrored(x)[0, 0, 2, 1].backward()
    assert x.grad is not None
    assert x.grad.nonzero().tolist() == [[0, 0, 2, 6]]
