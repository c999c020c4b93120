"""Squares cut out around lesions, the input of the discriminator D_l."""

from __future__ import annotations

import torch
from torch import Tensor

SIDE = 64  # pixels


def lesion_crops(x: Tensor, m: Tensor, side: int = SIDE) -> Tensor:
    """Squares of images `(N, 1, H, W)` around the centre of each one's mask, `(N, 1, side, side)`.

    They lie within the image, and are as large as the image where that is smaller. The mask alone decides the
    place; an empty mask gives a corner.
    """
    rows, columns = _window(m.sum((1, 3)), side), _window(m.sum((1, 2)), side)
    images = torch.arange(len(x), device=x.device)[:, None, None]
    return x[images, 0, rows[:, :, None], columns[:, None, :]][:, None]


def _window(profile: Tensor, side: int) -> Tensor:
    """Indices `(N, side)` along an axis, around the centre of mass of a mask's profile `(N, length)`."""
    length = profile.shape[1]
    side = min(side, length)
    indices = torch.arange(length, device=profile.device)
    middle = (profile * indices).sum(1) / profile.sum(1).clamp(min=1)
    first = (middle.round().long() - side // 2).clamp(0, length - side)
    return first[:, None] + indices[:side]
