"""Words beside points: none lies on another, or on a point, as long as there is room."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

STEPS = 16  # directions round a point
NEAREST, FARTHEST, RING = 8, 104, 8  # in points


class Label(NamedTuple):
    """What to write beside a point, which is given in the axis' units."""

    words: str
    x: float
    y: float


class Box(NamedTuple):
    """A rectangle in pixels."""

    left: float
    low: float
    right: float
    high: float

    def meets(self, other: Box) -> bool:
        """They have a pixel in common."""
        across = self.left < other.right and other.left < self.right
        return across and self.low < other.high and other.low < self.high

    def within(self, other: Box) -> bool:
        """Nothing of it lies outside of `other`."""
        across = other.left <= self.left and self.right <= other.right
        return across and other.low <= self.low and self.high <= other.high


def place(axis: Any, labels: Sequence[Label], size: float = 8) -> None:
    """Write each label where it meets nothing written before and no point, near its own; a line leads to it.

    Args:
        axis: of matplotlib, with its limits and layout as they will stay.
        labels: their points may lie on each other.
        size: of the letters, in points.
    """
    from matplotlib.text import Text  # noqa: PLC0415  (slow; not for every command)

    figure = axis.figure
    figure.draw_without_rendering()  # the layout settles before anything is measured in pixels
    unit = figure.dpi / 72
    frame = Box(*axis.get_window_extent().extents)
    points = [tuple(axis.transData.transform((label.x, label.y))) for label in labels]
    taken = [Box(x - 5 * unit, y - 5 * unit, x + 5 * unit, y + 5 * unit) for x, y in points]
    renderer = figure.canvas.get_renderer()
    for label, point in zip(labels, points, strict=True):
        note = axis.annotate(
            label.words,
            (label.x, label.y),
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=size,
            color="black",
            ha="center",
            va="center",
            parse_math=False,
            arrowprops={"arrowstyle": "-", "color": "0.4", "linewidth": 0.7, "shrinkA": 2, "shrinkB": 3},
        )
        extent = Text.get_window_extent(note, renderer)  # without its line
        wide, tall = extent.width + 4 * unit, extent.height + 2 * unit
        dx, dy, box = _free(point, (wide, tall), taken, frame, unit)
        note.set_position((dx, dy))
        note.set_in_layout(False)
        taken.append(box)


def _free(
    point: Sequence[float], size: tuple[float, float], taken: Sequence[Box], frame: Box, unit: float
) -> tuple[float, float, Box]:
    """The nearest free place: its offset in points, and its box; where there is none, the farthest tried."""
    (x, y), (wide, tall) = point, size
    dx, dy, box = 0.0, 0.0, frame
    for dx, dy in _offsets(wide / unit, tall / unit):
        left, low = x + dx * unit - wide / 2, y + dy * unit - tall / 2
        box = Box(left, low, left + wide, low + tall)
        if box.within(frame) and not any(box.meets(other) for other in taken):
            break
    return dx, dy, box


def _offsets(wide: float, tall: float) -> Iterator[tuple[float, float]]:
    """Of a box' middle from its point, in points: rings of growing distance, first to the right."""
    for distance in range(NEAREST, FARTHEST, RING):
        for step in range(STEPS):
            turn = 2 * math.pi * step / STEPS
            across, up = math.cos(turn), math.sin(turn)
            yield across * (distance + wide / 2), up * (distance + tall / 2)
