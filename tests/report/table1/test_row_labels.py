"""Rows in order, and told apart."""

from __future__ import annotations

from typing import Any

from pseudohealthy.report.table1.row_labels import distinct_labels, ordered, row_label


def row(method: str, **more: Any) -> dict[str, Any]:
    return {"method": method, "preset": "midl2019", "output": "raw", "mask": None, "seed": 0, **more}


def test_a_row_tells_its_mask() -> None:
    assert row_label(row("paired")) == "proposed (paired)"
    assert row_label(row("fill", mask="true")) == "fill, true mask"
    assert (
        row_label(row("paired", output="blend", mask="segmentor"))
        == "proposed (paired), blend with segmentor's mask"
    )
    assert row_label(row("paired", output="blend")) == "proposed (paired), blend"
    assert row_label({"method": "copy"}) == "copy"


def test_rows_are_ordered_by_method_preset_output_and_seed() -> None:
    rows = [
        row("copy"),
        row("paired", preset="default"),
        row("paired", output="blend", mask="segmentor"),
        row("paired", seed=10),
        row("paired", seed=9),
        row("cyclegan", seed=None, preset=None),
    ]
    assert ordered(rows) == [rows[5], rows[4], rows[3], rows[2], rows[1], rows[0]]


def test_a_row_of_some_of_the_masks_tells_how_many_and_stands_behind_that_of_all() -> None:
    rows = [
        row("semi_supervised", labelled_fraction=0.0),
        row("semi_supervised", labelled_fraction=1 / 3, output="blend"),
        row("semi_supervised", labelled_fraction=None),
        row("semi_supervised", labelled_fraction=1 / 3),
    ]
    assert ordered(rows) == [rows[2], rows[3], rows[1], rows[0]]
    assert distinct_labels(ordered(rows)) == [
        "semi-supervised",
        "semi-supervised, 33 % of the masks",
        "semi-supervised, 33 % of the masks, blend",
        "semi-supervised, 0 % of the masks",
    ]


def test_preset_and_seed_are_shown_only_of_methods_with_several() -> None:
    rows = [
        row("unpaired"),
        row("unpaired", seed=1),
        row("paired"),
        row("paired", preset="media2020"),
        row("paired", output="blend", mask="segmentor"),
        row("copy", preset=None, seed=None),
    ]
    assert distinct_labels(rows) == [
        "proposed (unpaired), seed 0",
        "proposed (unpaired), seed 1",
        "proposed (paired), midl2019",
        "proposed (paired), media2020",
        "proposed (paired), midl2019, blend with segmentor's mask",
        "copy",
    ]
