"""Pictures from plain arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo
from scipy import ndimage

from pseudohealthy.errors import RESEARCH_USE
from pseudohealthy.files import replace

Slice = NDArray[np.floating]
Outline = NDArray[Any]

OUTLINE = "#ffb000"  # the colour-blind, too, distinguish it from grey, red and blue
CELL = 220  # px: width of a slice
GAP, EDGE = 6, 5  # px: between slices, and round everything
BESIDE, HEAD, FOOT = 33, 22, 17  # px: the column of names, a line of heads or the title, the sentence
HEADS, NAMES, SENTENCE = 14, 12, 9  # px: sizes of letters
DIFFERENCE = 0.5  # what is drawn in the fullest red
# ColorBrewer's RdBu, from less to more
COLOURS = ((5, 113, 176), (146, 197, 222), (247, 247, 247), (244, 165, 130), (202, 0, 32))


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

    The patient's right is on the left, and marked R.

    Args:
        path: where to.
        columns: heads; one that begins with "difference" is drawn in colour about 0, all others in grey
            from 0 to 1.
        rows: slices `(H, W)`, all of one shape; None leaves a place empty.
        names: what to write beside the rows.
        title: one line above.
        outlines: masks `(H, W)`, > 0 inside, whose outline is drawn over the slice in the same place; None
            for none there.
    """
    height, width = next(image for row in rows for image in row if image is not None).shape
    cell = (CELL, round(CELL * height / width))
    step = (CELL + GAP, cell[1] + GAP)
    heads, beside, sentence = (_font(size) for size in (HEADS, NAMES, SENTENCE))
    lines = max(heads.getlength(title), sentence.getlength(RESEARCH_USE))
    wide = max(BESIDE + len(columns) * step[0], math.ceil(lines) + EDGE) + EDGE
    top = EDGE + 2 * HEAD
    canvas = Image.new("RGB", (wide, top + len(rows) * step[1] + FOOT), "black")
    write = ImageDraw.Draw(canvas)
    left = (wide - len(columns) * step[0] - BESIDE) // 2 + BESIDE
    masks = outlines or [[None] * len(columns)] * len(rows)
    for y, (images, marks) in enumerate(zip(rows, masks, strict=True)):
        for x, (image, mark, head) in enumerate(zip(images, marks, columns, strict=True)):
            if image is not None:
                drawn = _drawn(image, mark, cell, coloured=head.startswith("difference"))
                canvas.paste(drawn, (left + x * step[0], top + y * step[1]))
        if images[0] is not None:
            middle = (left + GAP, top + y * step[1] + cell[1] // 2)
            write.text(middle, "R", "white", beside, "lm", stroke_width=1, stroke_fill="black")
    for x, head in enumerate(columns):
        write.text((left + x * step[0] + CELL // 2, top - HEAD // 2), head, "white", heads, "mm")
    for y, name in enumerate(names[: len(rows)]):
        upright = Image.new("RGB", (cell[1], BESIDE - EDGE), "black")
        ImageDraw.Draw(upright).text((cell[1] // 2, BESIDE // 2), name, "white", beside, "mm")
        canvas.paste(upright.rotate(90, expand=True), (left - BESIDE, top + y * step[1]))
    write.text((wide // 2, EDGE + HEAD // 2), title, "white", heads, "mm")
    write.text((wide // 2, canvas.height - FOOT // 2), RESEARCH_USE, "#b3b3b3", sentence, "mm")
    metadata = PngInfo()
    metadata.add_text("Description", RESEARCH_USE)
    canvas.save(path, "png", pnginfo=metadata)


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


def _drawn(image: Slice, mask: Outline | None, size: tuple[int, int], *, coloured: bool) -> Image.Image:
    """A slice in grey or colours, and over it the outermost pixels of its mask."""
    shades: NDArray[Any]
    if coloured:
        stops = np.linspace(-DIFFERENCE, DIFFERENCE, len(COLOURS))
        shades = np.stack([np.interp(image, stops, channel) for channel in zip(*COLOURS, strict=True)], -1)
    else:
        shades = 255 * np.repeat(np.clip(image, 0, 1)[..., None], 3, axis=2)
    drawn = Image.fromarray(np.rint(shades).astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
    if mask is not None:
        inside = np.asarray(Image.fromarray(mask > 0).resize(size, Image.Resampling.NEAREST))
        inner = ndimage.binary_erosion(inside, border_value=1)
        drawn.paste(OUTLINE, mask=Image.fromarray(inside & ~inner))
    return drawn


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which has many languages' letters, out of matplotlib, whose import would be slow."""
    home = find_spec("matplotlib")
    if home is None or home.origin is None:
        raise ModuleNotFoundError("matplotlib, which brings the letters of panels")
    return ImageFont.truetype(Path(home.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf", size)
