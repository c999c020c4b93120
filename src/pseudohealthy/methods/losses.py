"""The terms that the losses of section 3 of `docs/method.md` are made of, each a mean over a batch.

A `share` weighs the samples of a batch, `(N, 1, 1, 1)`: 0 leaves one out, and the mean is still over all N.
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


def least_squares(judged: Tensor, target: float, share: SampleWeight = 1.0) -> Tensor:
    """`(D(.) - target)^2`, a mean over patches; real is 1, fake is 0 (Mao 2017)."""
    return (share * (judged - target).square()).mean()


def soft_dice(
    m: Tensor, target: Tensor, form: Literal["plain", "squared"] = "plain", share: SampleWeight = 1.0
) -> Tensor:
    """`1 - (2 sum(p m) + 0.1) / (sum p + sum m + 0.1)` of each sample `(N, 1, H, W)`, then their mean.

    Args:
        m: soft mask in [0, 1].
        target: mask in {0, 1}.
        form: denominators as they are, or squared (Milletari 2016).
        share: of each sample.
    """
    axes = (1, 2, 3)
    both = (m * target).sum(axes, keepdim=True)
    if form == "squared":
        m, target = m.square(), target.square()
    dice = (2 * both + SMOOTH) / (m.sum(axes, keepdim=True) + target.sum(axes, keepdim=True) + SMOOTH)
    return (share * (1 - dice)).mean()


def discriminator_input(m: Tensor, form: Literal["soft", "noise", "straight_through"]) -> Tensor:
    """A mask as D_m is shown it: soft and binary masks are told apart trivially, unless this hides it.

    "noise" puts the same small noise on real and inferred masks; "straight_through" shows the binary mask
    and passes its gradient to the soft one.
    """
    if form == "noise":
        return m + MASK_NOISE * noise_like(m)
    if form == "straight_through":
        return (m > 0.5).to(m.dtype) + m - m.detach()
    return m


def noise_like(x: Tensor) -> Tensor:
    """Normal noise for images `(N, 1, H, W)`: this process's part of what one process would draw for all."""
    several = dist.is_available() and dist.is_initialized()
    rank, count = (dist.get_rank(), dist.get_world_size()) if several else (0, 1)
    drawn = torch.randn((count * len(x), *x.shape[1:]), dtype=x.dtype, device=x.device)
    return drawn[rank * len(x) : (rank + 1) * len(x)]


@contextlib.contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """What is computed meanwhile passes its gradient through `network`, which gets none itself."""
    learning = [p for p in network.parameters() if p.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
