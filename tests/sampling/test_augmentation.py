"""Image and mask augmented alike."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from fixtures.brains import ellipse
from pseudohealthy.sampling import augmentation
from pseudohealthy.sampling.augmentation import Deform, FlipGamma


def test_mask_and_image_turn_together_and_masks_stay_binary() -> None:
    """An image that is its own mask is still so afterwards, but for gamma, which keeps 0 and 1."""
    m = (torch.rand(16, 1, 8, 8) > 0.7).float()
    turn = FlipGamma(16, np.random.default_rng(0), slice(None))
    assert torch.equal(turn.image(m), turn.mask(m))
    assert set(turn.mask(m).unique().tolist()) == {0, 1}
    flipped = [not torch.equal(a, b) for a, b in zip(turn.mask(m), m, strict=True)]
    assert 3 < sum(flipped) < 13
    assert torch.equal(turn.mask(turn.mask(m)), m)


def test_flips_are_left_right() -> None:
    x = torch.zeros(32, 1, 4, 6)
    x[:, 0, 1, 0] = 1
    turn = FlipGamma(32, np.random.default_rng(0), slice(None))
    assert set(turn.mask(x).nonzero()[:, 3].tolist()) == {0, 5}
    assert set(turn.mask(x).nonzero()[:, 2].tolist()) == {1}


def test_gamma_bends_images_both_ways_and_never_masks() -> None:
    x = torch.full((64, 1, 2, 2), 0.5)
    turn = FlipGamma(64, np.random.default_rng(0), slice(None))
    bent = turn.image(x)
    assert bent.min() < 0.46
    assert bent.max() > 0.54
    assert torch.equal(turn.mask(x), x)


def blob(count: int) -> torch.Tensor:
    """A bright ellipse `(N, 1, 104, 80)`, off the middle, on grey tissue with black around it."""
    shape = (104, 80)
    image = 0.4 * ellipse(shape, (40, 28)) + 0.6 * ellipse(shape, (12, 7), centre=(40, 50))
    return torch.from_numpy(image).float().expand(count, 1, *shape).clone()


def test_deformed_image_and_mask_stay_together() -> None:
    """What was bright is where the mask says, however it was turned and bent; the rest is darker."""
    image = blob(16)
    turn = Deform(16, np.random.default_rng(0), slice(None))
    x, m = turn.image(image), turn.mask((image > 0.9).float())
    assert set(m.unique().tolist()) == {0, 1}
    for one, where in zip(x[:, 0].numpy(), m[:, 0].numpy() > 0, strict=True):
        inner, outer = (
            ndimage.binary_erosion(where, iterations=2),
            ndimage.binary_dilation(where, iterations=2),
        )
        assert one[inner].min() > one[~outer].max()
    areas = m.sum((1, 2, 3)) / (image[:1] > 0.9).sum()
    assert 1 / 1.15**2 / 1.2 < areas.min() < 0.9
    assert 1.1 < areas.max() < 1.15**2 * 1.2


def test_deformed_images_keep_their_range_and_a_black_background() -> None:
    turn = Deform(16, np.random.default_rng(1), slice(None))
    x = turn.image(blob(16))
    assert x.min() == 0
    assert x.max() <= 1
    assert (x[..., 0, :] == 0).all()
    assert torch.equal(turn.image(torch.zeros(16, 1, 8, 8)), torch.zeros(16, 1, 8, 8))


def test_rotations_keep_lengths_in_a_field_that_is_not_square(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pure turn by 15 degrees is scipy's, whatever the field's shape."""
    for name, value in {"SCALE": 1.0, "SHIFT": 0.0, "BEND": 0.0}.items():
        monkeypatch.setattr(augmentation, name, value)
    image = blob(8)
    turn = Deform(8, np.random.default_rng(0), slice(None))
    m = turn.mask((image > 0.9).float())[:, 0].numpy()
    flipped = FlipGamma(8, np.random.default_rng(0), slice(None)).mask((image > 0.9).float())[:, 0].numpy()
    for one, before, angle in zip(m, flipped, turn.angle.tolist(), strict=True):
        expected = ndimage.rotate(before, math.degrees(angle), reshape=False, order=1) > 0.5
        assert 2 * (expected & (one > 0)).sum() / (expected.sum() + one.sum()) > 0.97


def test_each_process_deforms_its_part_as_one_process_would() -> None:
    image = blob(6)
    whole = Deform(6, np.random.default_rng(2), slice(None)).image(image)
    half = Deform(6, np.random.default_rng(2), slice(3, 6)).image(image[3:])
    torch.testing.assert_close(half, whole[3:], rtol=0, atol=0)
