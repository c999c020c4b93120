"""Labels that can be read."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from pseudohealthy.report.table1.label_placement import Box, Label, place


def placed(points: list[tuple[float, float]]) -> tuple[Any, list[Any], list[Any]]:
    """The axis, the labels' extents in pixels, and the points in pixels."""
    figure = Figure(figsize=(5, 4), layout="constrained")
    canvas: Any = FigureCanvasAgg(figure)
    axis = figure.subplots()
    axis.plot(*zip(*points, strict=True), "o")
    place(axis, [Label(f"{number} name", x, y) for number, (x, y) in enumerate(points)])
    canvas.draw()
    boxes = [Text.get_window_extent(text, canvas.get_renderer()) for text in axis.texts]
    return axis, boxes, [axis.transData.transform(point) for point in points]


def test_boxes_meet_only_if_they_share_pixels() -> None:
    box = Box(0, 0, 10, 10)
    assert box.meets(Box(9, 9, 20, 20))
    assert not box.meets(Box(10, 0, 20, 10))
    assert not box.meets(Box(0, 11, 10, 20))
    assert Box(1, 1, 9, 9).within(box)
    assert not Box(1, 1, 11, 9).within(box)


@pytest.mark.parametrize(
    "points",
    [
        [(0.0, 0.0), (1.0, 1.0)],
        [(0.0, 0.0), (1.0, 1.0), *[(0.9, 0.5)] * 6],
        [(0.0, 0.0), *[(1 - 0.01 * n, 1 - 0.02 * n) for n in range(8)]],
    ],
)
def test_labels_lie_on_no_other_and_on_no_point_and_within_the_axis(
    points: list[tuple[float, float]],
) -> None:
    axis, boxes, pixels = placed(points)
    assert len(boxes) == len(points)
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert not any(box.contains(*pixel) for box in boxes for pixel in pixels)
    frame = axis.get_window_extent()
    assert all(frame.contains(box.x0, box.y0) and frame.contains(box.x1, box.y1) for box in boxes)


def test_a_lonely_label_stands_close_to_its_point() -> None:
    _, boxes, pixels = placed([(0.0, 0.0), (1.0, 1.0)])
    assert 0 < boxes[0].x0 - pixels[0][0] < 20
    assert boxes[0].y0 < pixels[0][1] < boxes[0].y1
