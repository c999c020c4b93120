"""Panels: every slice in its place, as bright as it is, outlined on request; the sentence in the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from pseudohealthy.errors import RESEARCH_USE, PseudohealthyError
from pseudohealthy.report.figures import OUTLINE, Slice, contact_sheet, panel

LEAST_PIXELS = 5000  # of a slice; letters are smaller


def white(shape: tuple[int, int] = (60, 40)) -> Slice:
    return np.ones(shape, dtype=np.float32)


def pixels(path: Path) -> NDArray[np.int_]:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), dtype=np.int_)


def places(path: Path, colour: tuple[int, int, int] = (255, 255, 255)) -> list[tuple[slice, ...]]:
    """Where there are large areas of a colour, from the top, then from the left."""
    near = (np.abs(pixels(path) - colour) <= 8).all(axis=2)
    labels, _ = ndimage.label(near)
    sizes = np.bincount(labels.ravel())
    boxes = ndimage.find_objects(labels)
    large = [box for label, box in enumerate(boxes, 1) if sizes[label] >= LEAST_PIXELS]
    return sorted(large, key=lambda box: (box[0].start // 20, box[1].start))


def test_a_panel_carries_the_sentence_of_research_use(tmp_path: Path) -> None:
    panel(tmp_path / "p.png", ["input"], [[white()]], title="patient")
    with Image.open(tmp_path / "p.png") as image:
        assert image.format == "PNG"
        assert image.info["Description"] == RESEARCH_USE


def test_every_slice_has_its_place(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    panel(path, ["input", "healthy", "truth"], [[white()] * 3, [white()] * 3], names=["a", "b"], title="t")
    cells = places(path)
    assert len(cells) == 6
    rows, columns = [box[0].start for box in cells], [box[1].start for box in cells]
    assert len(set(rows[:3])) == len(set(rows[3:])) == 1
    assert columns[:3] == columns[3:] == sorted(set(columns))
    for height, width in [(box[0].stop - box[0].start, box[1].stop - box[1].start) for box in cells]:
        assert abs(height / width - 60 / 40) < 0.05


def test_the_patients_right_is_marked_in_the_first_column(tmp_path: Path) -> None:
    black = np.zeros((60, 40))
    panel(tmp_path / "black.png", ["input", "healthy"], [[black, black]])
    panel(tmp_path / "none.png", ["input", "healthy"], [[None, black]])
    marked = (pixels(tmp_path / "black.png") != pixels(tmp_path / "none.png")).any(axis=2)
    rows, columns = np.nonzero(marked)
    assert 20 < marked.sum() < 200
    assert columns.max() < marked.shape[1] / 4
    assert abs(rows.mean() - (2 * 22 + 5 + 165)) < 10  # half of a slice of 330 pixels below the heads


def test_a_missing_image_leaves_a_black_place(tmp_path: Path) -> None:
    columns, full = ["input", "healthy"], [[white(), white()], [white(), white()]]
    panel(tmp_path / "full.png", columns, full)
    panel(tmp_path / "gap.png", columns, [full[0], [None, white()]])
    drawn, expected = places(tmp_path / "gap.png"), places(tmp_path / "full.png")
    assert drawn == [expected[0], expected[1], expected[3]]
    assert not pixels(tmp_path / "gap.png")[expected[2]].any()


def test_grey_runs_from_0_to_1_whatever_the_slice_holds(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    panel(path, ["a", "b"], [[0.5 * white(), 2 * white()]])
    assert len(places(path, (128, 128, 128))) == 1
    assert len(places(path)) == 1


def test_a_slice_lies_as_its_rows_and_columns_do(tmp_path: Path) -> None:
    """Row 0 above, column 0 on the left."""
    image = white()
    image[:30] = image[:, :20] = 0
    panel(tmp_path / "full.png", ["a"], [[white()]])
    panel(tmp_path / "p.png", ["a"], [[image]])
    (whole,), (corner,) = places(tmp_path / "full.png"), places(tmp_path / "p.png")
    for part, of in zip(corner, whole, strict=True):
        assert part.stop == of.stop
        assert abs((part.stop - part.start) / (of.stop - of.start) - 0.5) < 0.05


def test_a_difference_is_red_where_more_and_blue_where_less(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    image = np.zeros((60, 60), dtype=np.float32)
    image[:20], image[40:] = 0.3, -0.3
    panel(path, ["difference"], [[image]])
    (zero,) = places(path, (247, 247, 247))  # the middle of the colours
    above, below = (pixels(path)[row, zero[1].start + 20] for row in (zero[0].start - 20, zero[0].stop + 20))
    assert above[0] > above[2] + 50
    assert below[2] > below[0] + 50


def test_names_may_hold_any_letter(tmp_path: Path) -> None:
    """A file's name may look like a formula."""
    panel(tmp_path / "p.png", ["a"], [[white()]], names=[r"$\b_{$"], title=r"sub-$\frac$_FLAIR.nii")
    assert len(places(tmp_path / "p.png")) == 1


def outlined(path: Path) -> NDArray[np.bool_]:
    """Where the outline's colour is."""
    colour = [int(OUTLINE[at : at + 2], 16) for at in (1, 3, 5)]
    where: NDArray[np.bool_] = (np.abs(pixels(path) - colour) <= 60).all(axis=2)
    return where


def test_an_outline_lies_round_its_mask_in_its_place_only(tmp_path: Path) -> None:
    path, black = tmp_path / "p.png", np.zeros((60, 40), dtype=np.float32)
    mask = np.zeros((60, 40), dtype=np.uint8)
    mask[15:45, 20:40] = 1
    panel(tmp_path / "white.png", ["a", "b"], [[white(), white()]])
    panel(path, ["a", "b"], [[black, black]], outlines=[[None, mask]])
    ((_, across),) = [places(tmp_path / "white.png")[1]]
    rows, columns = np.nonzero(outlined(path))
    height = (across.stop - across.start) * 60 / 40
    assert columns.min() == pytest.approx((across.start + across.stop) / 2, abs=4)
    assert np.ptp(rows) == pytest.approx(height / 2, abs=8)
    assert not outlined(path)[:, : across.start].any()


@pytest.mark.parametrize("value", [0, 1])
def test_a_mask_of_nothing_or_of_all_has_no_outline(tmp_path: Path, value: int) -> None:
    panel(tmp_path / "p.png", ["a"], [[white()]], outlines=[[np.full((60, 40), value)]])
    assert not outlined(tmp_path / "p.png").any()


def test_a_contact_sheet_has_a_column_a_stack_and_a_row_a_slice(tmp_path: Path) -> None:
    stacks = {"input": np.ones((2, 60, 40)), "CycleGAN": np.stack([white(), 0 * white()])}
    files = contact_sheet(tmp_path / "sheet.png", stacks, names=["a", "b"], title="t")
    assert files == [tmp_path / "sheet.png"]
    assert len(places(files[0])) == 3
    panel(tmp_path / "p.png", list(stacks), [[white()] * 2, [white(), None]], names=["a", "b"], title="t")
    assert places(files[0]) == places(tmp_path / "p.png")


def test_many_slices_go_on_pages_of_like_size_none_lost(tmp_path: Path) -> None:
    stack = np.ones((5, 60, 40))
    mask = np.zeros((5, 60, 40), dtype=bool)
    mask[4, 20:40, 10:30] = True
    files = contact_sheet(tmp_path / "all.png", {"input": stack}, rows_a_page=4, outlines={"input": mask})
    assert [file.name for file in files] == ["all_01.png", "all_02.png"]
    assert sorted(tmp_path.iterdir()) == files  # nothing half written beside them
    assert [len(places(file)) for file in files] == [3, 2 + 1]  # the outline parts the last slice
    assert [outlined(file).any() for file in files] == [False, True]


def test_a_sheet_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(PseudohealthyError, match="cannot be written"):
        contact_sheet(tmp_path / "none" / "p.png", {"input": np.ones((1, 60, 40))})
