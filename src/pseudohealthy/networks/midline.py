"""A slice mirrored about its brain's midline."""

from __future__ import annotations

import torch
from torch import Tensor

TISSUE = 0.05  # of [0, 1]: darker pixels are background, which in a network's output is not exactly 0


def mirrored(x: Tensor) -> Tensor:
    """Slices `(N, 1, H, W)` in [0, 1] with left and right exchanged about the mean column of each brain.

    The midline is rounded to half a column, so that nothing is interpolated; pixels from outside the image
    are 0. All operations exist in ONNX and OpenVINO too, and exported graphs give exactly the same values.
    """
    columns = torch.arange(x.shape[3], device=x.device)
    source = (_both_sides(x, columns) - columns).expand_as(x)
    there = (source >= 0) & (source < x.shape[3])
    return torch.gather(x, 3, source.clamp(0, x.shape[3] - 1)) * there


def _both_sides(x: Tensor, columns: Tensor) -> Tensor:
    """`(N, 1, 1, 1)`: the sum of a column and of the one that mirrors it, twice the midline, rounded."""
    tissue = (x > TISSUE).long()  # whole numbers: no backend computes them in fewer digits
    count = tissue.sum((2, 3), keepdim=True).clamp(min=1)
    total = (tissue * columns).sum((2, 3), keepdim=True)
    return torch.div(4 * total + count, 2 * count, rounding_mode="floor")
