"""The terms that the losses of section 3 of `docs/method.md` are made of, each a mean over a batch.

And the inputs of the discriminators of masks and of lesion crops.

A `weight` `(N, 1, 1, 1)` is that of each sample: 0 leaves it out, and the mean is still over all N.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

SMOOTH = 0.1
MASK_NOISE = 0.1
CROP_SIDE = 64  # pixels

SampleWeight = Tensor | float


def l1(output: Tensor, target: Tensor) -> Tensor:
    """`|output - target|`, a mean over pixels."""
    return (output - target).abs().mean()


def l1_inside(output: Tensor, target: Tensor, m: Tensor) -> Tensor:
    """`|output - target|`, a mean over the pixels in each sample's mask `(N, 1, H, W)`, then over samples."""
    axes = (1, 2, 3)
    inside = (m * (output - target).abs()).sum(axes) / m.sum(axes).clamp(min=1)
    return inside.mean()


def gradient_l1_inside(output: Tensor, target: Tensor, m: Tensor) -> Tensor:
    """`|gradient of output - gradient of target|`, a mean over neighbours, then over samples.

    Neighbours in a row or a column count where one of the two is in the sample's mask `(N, 1, H, W)`.
    """
    total, count = torch.zeros(len(m), device=m.device), torch.zeros(len(m), device=m.device)
    for axis in (2, 3):
        first, second = slice(0, m.shape[axis] - 1), slice(1, m.shape[axis])
        before, after = (
            tuple(part if axis == each else slice(None) for each in range(4)) for part in (first, second)
        )
        gap = output - target
        near = torch.maximum(m[before], m[after])
        total = total + (near * (gap[after] - gap[before]).abs()).sum((1, 2, 3))
        count = count + near.sum((1, 2, 3))
    return (total / count.clamp(min=1)).mean()


def least_squares(output: Tensor, target: float, weight: SampleWeight = 1.0) -> Tensor:
    """`(D(.) - target)^2`, a mean over patches; real is 1, fake is 0 (Mao 2017)."""
    return (weight * (output - target).square()).mean()


def soft_dice(
    m: Tensor, target: Tensor, form: Literal["plain", "squared"] = "plain", weight: SampleWeight = 1.0
) -> Tensor:
    """`1 - (2 sum(p m) + 0.1) / (sum p + sum m + 0.1)` of each sample `(N, 1, H, W)`, then their mean.

    Args:
        m: soft mask in [0, 1].
        target: mask in {0, 1}.
        form: denominators as they are, or squared (Milletari 2016).
        weight: of each sample.
    """
    axes = (1, 2, 3)
    both = (m * target).sum(axes, keepdim=True)
    if form == "squared":
        m, target = m.square(), target.square()
    dice = (2 * both + SMOOTH) / (m.sum(axes, keepdim=True) + target.sum(axes, keepdim=True) + SMOOTH)
    return (weight * (1 - dice)).mean()


def discriminator_input(m: Tensor, form: Literal["soft", "noise", "straight_through"]) -> Tensor:
    """A mask `(N, 1, H, W)` in the form in which the discriminator of masks, D_m, gets it.

    D_m could separate soft from binary masks by their values alone. "noise" adds the same small noise to real
    and inferred masks; "straight_through" gives the binary mask, whose gradient goes to the soft one; "soft"
    leaves the mask as it is.
    """
    if form == "noise":
        return m + MASK_NOISE * noise_like(m)
    if form == "straight_through":
        return (m > 0.5).to(m.dtype) + m - m.detach()
    return m


def lesion_crops(x: Tensor, m: Tensor, side: int = CROP_SIDE) -> Tensor:
    """Squares of images `(N, C, H, W)` around the centre of each one's mask, `(N, C, side, side)`.

    They lie within the image, and are as large as the image where that is smaller. The mask `(N, 1, H, W)`
    alone decides the place; an empty one gives a corner.
    """
    rows, columns = _window(m.sum((1, 3)), side), _window(m.sum((1, 2)), side)
    images = torch.arange(len(x), device=x.device)[:, None, None]
    return x[images, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


def noise_like(x: Tensor) -> Tensor:
    """Normal noise for images `(N, 1, H, W)`: this process's part of what one process would draw for all."""
    several = dist.is_available() and dist.is_initialized()
    rank, count = (dist.get_rank(), dist.get_world_size()) if several else (0, 1)
    drawn = torch.randn((count * len(x), *x.shape[1:]), dtype=x.dtype, device=x.device)
    return drawn[rank * len(x) : (rank + 1) * len(x)]


@contextlib.contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Inside, gradients flow through `network` to its inputs, and its own parameters get none."""
    trainable = [p for p in network.parameters() if p.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trainable:
            parameter.requires_grad_(True)


def _window(profile: Tensor, side: int) -> Tensor:
    """Indices `(N, side)` along an axis, around the centre of mass of a mask's profile `(N, length)`."""
    length = profile.shape[1]
    side = min(side, length)
    indices = torch.arange(length, device=profile.device)
    middle = (profile * indices).sum(1) / profile.sum(1).clamp(min=1)
    first = (middle.round().long() - side // 2).clamp(0, length - side)
    return first[:, None] + indices[:side]
