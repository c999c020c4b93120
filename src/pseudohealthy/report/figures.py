"""Pictures from plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pseudohealthy.errors import RESEARCH_USE

Slice = NDArray[np.floating]


def panel(
    path: Path,
    columns: Sequence[str],
    rows: Sequence[Sequence[Slice | None]],
    *,
    names: Sequence[str] = (),
    title: str = "",
) -> None:
    """Draw slices side by side into a PNG: one row a slice, one column a kind of image.

    Args:
        path: where to.
        columns: heads; one that begins with "difference" is drawn in colour about 0, all others in grey
            from 0 to 1.
        rows: slices `(H, W)`; None leaves a place empty.
        names: what to write beside the rows.
        title: one line above.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  (slow; not for every command)
    from matplotlib.figure import Figure  # noqa: PLC0415

    height, width = next(image for row in rows for image in row if image is not None).shape
    inches = 2.0
    size = (inches * len(columns) + 0.4, inches * height / width * len(rows) + 0.7)
    figure = Figure(figsize=size, facecolor="black", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    for axis_row, images in zip(axes, rows, strict=True):
        for axis, image, head in zip(axis_row, images, columns, strict=True):
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
            axis.set_facecolor("black")
            if image is None:
                continue
            if head.startswith("difference"):
                axis.imshow(image, cmap="RdBu_r", vmin=-0.5, vmax=0.5, interpolation="nearest")
            else:
                axis.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    for axis, head in zip(axes[0], columns, strict=True):
        axis.set_title(head, color="white", fontsize=9)
    for axis, name in zip(axes[:, 0], names, strict=False):
        axis.set_ylabel(name, color="white", fontsize=8, parse_math=False)
    if title:
        figure.suptitle(title, color="white", fontsize=9, parse_math=False)  # a file's name may hold $
    figure.supxlabel(RESEARCH_USE, color="0.7", fontsize=5)
    figure.savefig(path, dpi=110, facecolor="black", format="png", metadata={"Description": RESEARCH_USE})
