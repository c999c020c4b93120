"""Pictures from plain arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pseudohealthy.errors import RESEARCH_USE
from pseudohealthy.files import replace

Slice = NDArray[np.floating]
Outline = NDArray[Any]

OUTLINE = "#ffb000"  # told from grey, red and blue by the colour-blind too


def panel(
    path: Path,
    columns: Sequence[str],
    rows: Sequence[Sequence[Slice | None]],
    *,
    names: Sequence[str] = (),
    title: str = "",
    outlines: Sequence[Sequence[Outline | None]] = (),
) -> None:
    """Draw slices side by side into a PNG: one row a slice, one column a kind of image.

    Args:
        path: where to.
        columns: heads; one that begins with "difference" is drawn in colour about 0, all others in grey
            from 0 to 1.
        rows: slices `(H, W)`; None leaves a place empty.
        names: what to write beside the rows.
        title: one line above.
        outlines: masks `(H, W)`, > 0 inside, whose outline is drawn over the slice in the same place; None
            for none there.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415  (slow; not for every command)
    from matplotlib.figure import Figure  # noqa: PLC0415

    height, width = next(image for row in rows for image in row if image is not None).shape
    inches = 2.0
    size = (inches * len(columns) + 0.4, inches * height / width * len(rows) + 0.7)
    figure = Figure(figsize=size, facecolor="black", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    masks = outlines or [[None] * len(columns)] * len(rows)
    for axis_row, images, masks_row in zip(axes, rows, masks, strict=True):
        for axis, image, mask, head in zip(axis_row, images, masks_row, columns, strict=True):
            _draw(axis, image, mask, coloured=head.startswith("difference"))
    for axis, head in zip(axes[0], columns, strict=True):
        axis.set_title(head, color="white", fontsize=9, parse_math=False)
    for axis, name in zip(axes[:, 0], names, strict=False):
        axis.set_ylabel(name, color="white", fontsize=8, parse_math=False)
    if title:
        figure.suptitle(title, color="white", fontsize=9, parse_math=False)  # a file's name may hold $
    figure.supxlabel(RESEARCH_USE, color="0.7", fontsize=5)
    figure.savefig(path, dpi=110, facecolor="black", format="png", metadata={"Description": RESEARCH_USE})


def contact_sheet(
    path: Path,
    images: Mapping[str, NDArray[np.floating]],
    *,
    names: Sequence[str] = (),
    title: str = "",
    outlines: Mapping[str, NDArray[Any]] | None = None,
    rows_a_page: int = 12,
) -> list[Path]:
    """Stacks side by side as `panel` draws them, on as many pages as it takes (the paper's Figures 2 and 4).

    Args:
        path: of the PNG; where there are several pages, `name.png` becomes `name_01.png` and so on.
        images: stacks `(N, H, W)` by the head of their column: the input and each method (Figure 4), or
            input, pseudo-healthy image and reconstruction (Figure 2).
        names: what to write beside each of the N slices.
        title: one line above each page.
        outlines: masks `(N, H, W)` by the head of the column over which their outline is drawn.
        rows_a_page: the most slices on a page.

    Returns:
        The files, each written whole or not at all.

    Raises:
        PseudohealthyError: they cannot be written.
    """
    number = len(next(iter(images.values())))
    pages = math.ceil(number / rows_a_page)
    masks = {head: (outlines or {}).get(head, [None] * number) for head in images}
    rows, marks = _by_slice(images), _by_slice(masks)
    files = []
    for page, part in enumerate(np.array_split(np.arange(number), pages), 1):
        chosen = slice(part[0], part[-1] + 1)
        file = path if pages == 1 else path.with_stem(f"{path.stem}_{page:02d}")
        head = title if pages == 1 else f"{title} ({page} of {pages})".strip()
        draw = partial(panel, columns=list(images), rows=rows[chosen], names=names[chosen])
        replace(file, partial(draw, title=head, outlines=marks[chosen]))
        files.append(file)
    return files


def _by_slice(columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> list[list[Any]]:
    """From a stack a column to a list a slice."""
    return [list(row) for row in zip(*columns.values(), strict=True)]


def _draw(axis: Any, image: Slice | None, mask: Outline | None, *, coloured: bool) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
    axis.set_facecolor("black")
    if image is None:
        return
    if coloured:
        axis.imshow(image, cmap="RdBu_r", vmin=-0.5, vmax=0.5, interpolation="nearest")
    else:
        axis.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    inside = None if mask is None else mask > 0
    if inside is not None and inside.any() and not inside.all():
        axis.contour(inside, levels=[0.5], colors=OUTLINE, linewidths=0.8)
