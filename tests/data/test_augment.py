"""Image and mask augmented alike."""

from __future__ import annotations

import numpy as np
import torch

from pseudohealthy.data.augment import FlipGamma


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
