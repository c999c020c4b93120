"""The cohort's page: whole, self-contained, and its bars are the counts."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pseudohealthy.errors import RESEARCH_USE
from pseudohealthy.report.cohort import HEADS, HEIGHT, WIDTH, cohort_html, histogram


def row(image: str, **values: Any) -> dict[str, Any]:
    return {
        **dict.fromkeys(HEADS),
        "image": image,
        "outlier": None,
        "warnings": None,
        "lesion_caveat": None,
        **values,
    }


class Page(HTMLParser):
    """Links, sources and tags of a page; it fails where a tag is closed that is not open."""

    VOID = ("meta", "rect", "circle", "line", "br", "img")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.open: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for key, value in attrs if key in ("href", "src")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def written(path: Path, rows: list[dict[str, Any]], pages: dict[str, str], **missing: str) -> str:
    cohort_html(path, "A <study>", rows, pages, missing=missing, measures=("lesion_ml", "anomaly_mean"))
    return path.read_text()


def test_a_page_needs_nothing_but_itself(tmp_path: Path) -> None:
    rows = [
        row("a", lesion_ml=1.5, lesion_ml_z=0.1),
        row("b", lesion_ml=90.25, lesion_ml_z=9.0, outlier="lesion_ml"),
    ]
    text = written(tmp_path / "page.html", rows, {"a": "sub a/#1.html", "b": ""}, c="<broken>")
    page = Page(text)
    assert page.links == ["sub%20a/%231.html"]
    assert not {"script", "link", "iframe", "img"} & set(page.tags)
    assert "Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"" in text
    assert RESEARCH_USE in text
    assert "<h1>A &lt;study&gt;</h1>" in text
    assert "<b>c</b>: &lt;broken&gt;" in text
    assert "b: outlier in lesion_ml" in text
    assert "90.2" in text
    assert page.tags.count("svg") == 1  # nobody has an anomaly score


def test_a_cohort_of_one(tmp_path: Path) -> None:
    text = written(tmp_path / "page.html", [row("a", lesion_ml=0.0)], {"a": ""})
    assert "No outliers and no warnings" in text
    assert "Not processed" not in text
    Page(text)


def test_bars_are_counts_and_marks_lie_on_the_axis() -> None:
    rows = [row(str(n), lesion_ml=float(value)) for n, value in enumerate([0, 0, 0, 1, 2, 2, 4, 8])]
    rows[-1]["outlier"] = "lesion_ml"
    found = histogram("lesion", [*rows, row("unknown")], "lesion_ml")
    counts, _ = np.histogram([0, 0, 0, 1, 2, 2, 4, 8], bins=6)
    assert [round(high / HEIGHT * found.most) for *_, high in found.bars] == [n for n in counts if n]
    assert all(y + high == pytest.approx(HEIGHT) for _, y, _, high in found.bars)
    assert (found.low, found.high, found.most) == ("0.000", "8.000", counts.max())
    assert found.marks == [WIDTH]
