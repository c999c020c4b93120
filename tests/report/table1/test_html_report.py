"""One page that stands alone."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fixtures.results import one_volume, row, table1
from pseudohealthy.errors import RESEARCH_USE, InputError
from pseudohealthy.report.figures import contact_sheet
from pseudohealthy.report.table1.html_report import report_html

NO_END = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """What is in a page: words, tables, addresses; every element must be closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.alts: list[str] = []
        self.words = ""
        self.rows: list[list[str]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [
            value or "" for name, value in attrs if name in {"src", "href", "srcset", "action"}
        ]
        self.alts += [value or "" for name, value in attrs if name == "alt"]
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")
        if tag not in NO_END:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            assert "url(" not in data
            assert "@import" not in data
            return
        self.words += data
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


def page(folder: Path, values: dict[str, Any] | None = None, **figures: tuple[str, Path]) -> Page:
    path = folder / "report.html"
    report_html(path, table1() if values is None else values, figures)
    return Page(path.read_text(encoding="utf-8"))


def test_the_page_needs_no_network_and_no_script(tmp_path: Path) -> None:
    (figure,) = contact_sheet(tmp_path / "sheet.png", {"input": np.ones((1, 60, 40))})
    found = page(tmp_path, sheet=("Input.", figure))
    assert not {"script", "link", "iframe"} & set(found.tags)
    ids = [address for address in found.addresses if address.startswith("#")]
    pictures = [address for address in found.addresses if address.startswith("data:image/png;base64,")]
    assert len(ids) + len(pictures) == len(found.addresses)
    assert len(pictures) == 1
    with (
        Image.open(io.BytesIO(base64.b64decode(pictures[-1].split(",")[1]))) as last,
        Image.open(figure) as given,
    ):
        assert last.size == given.size
    assert found.alts[-1] == "sheet: Input."
    assert sorted(file.name for file in tmp_path.iterdir()) == ["report.html", "sheet.png"]
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert f'"Content-Security-Policy" content="{policy}">' in (tmp_path / "report.html").read_text()


def test_charts_stand_with_the_tables_and_nothing_is_shown_twice(tmp_path: Path) -> None:
    (given,) = contact_sheet(tmp_path / "sheet.png", {"input": np.ones((1, 60, 40))})
    names = ("other", "validation_curves", "distributions", "identity_healthiness")
    found = page(tmp_path, table1(), **{name: (f"Of {name}.", given) for name in names})
    shown = ["identity_healthiness", "distributions", "validation_curves", "other"]
    assert found.alts == [f"{name.replace('_', ' ')}: Of {name}." for name in shown]


def test_it_says_everything_that_is_asked_for(tmp_path: Path) -> None:
    found = page(tmp_path, table1())
    for words in (
        "Table 1",
        "Oracles",
        "Holm",
        "Judges",
        "Does the reconstructor follow its mask?",
        "0123456789abcdef",
        "2.13.0",
    ):
        assert words in found.words
    assert RESEARCH_USE in found.words
    assert table1()["choice_rule"] in found.words
    assert "INVALID" not in found.words
    (paired,) = (
        cells
        for cells in found.rows
        if cells[:3] == ["proposed (paired)", "midl2019", "0"] and len(cells) == 18
    )
    assert paired[4] == "0.912 ± 0.031*[0.893, 0.928]"
    assert paired[14:] == ["0.88 ± 0.03*", "0.99 ± 0.02*", "0.93 ± 0.02*", "0.98 ± 0.04*"]


def test_every_link_within_the_page_leads_somewhere(tmp_path: Path) -> None:
    (figure,) = contact_sheet(tmp_path / "sheet.png", {"input": np.ones((1, 60, 40))})
    found = page(tmp_path, table1(), sheet=("Input.", figure))
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    links = [address[1:] for address in found.addresses if address.startswith("#")]
    assert links
    assert all(text.count(f'id="{link}"') == 1 for link in links)


def test_an_invalid_judge_is_shown_before_any_number(tmp_path: Path) -> None:
    found = page(tmp_path, {**table1(), "valid": False, "invalid_reason": "its Dice is 0.61"})
    assert 0 < found.words.index("INVALID: its Dice is 0.61") < found.words.index("0.741")
    assert "may be believed" not in found.words


def test_names_are_words_and_never_code(tmp_path: Path) -> None:
    evil = "<script>alert('x')</script>&"
    (figure,) = contact_sheet(tmp_path / "sheet.png", {"input": np.ones((1, 60, 40))})
    values = {**table1(), "cohort": evil, "machine": evil, "choice_rule": evil}
    values["rows"].append(row("copy") | {"method": f"{evil}b", "device": evil, "hours": 1.0})
    found = page(tmp_path, values, **{f'"{evil}': (f'">{evil}', figure)})
    assert "script" not in found.tags
    assert found.words.count(evil) >= 6
    assert found.alts[-1] == f'"{evil}: ">{evil}'


def test_a_page_of_next_to_nothing_is_still_a_page(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    report_html(path, {}, {})
    assert "INVALID" in Page(path.read_text(encoding="utf-8")).words
    one = row("paired", identity=one_volume(0.75), healthiness=one_volume(0.5))
    report_html(path, {"valid": True, "rows": [one]}, {})
    found = Page(path.read_text(encoding="utf-8"))
    assert ["0.750", "0.500"] in [cells[4:6] for cells in found.rows]
    assert "nan" not in found.words.lower().split()


def test_a_figure_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.png: the figure cannot be read"):
        page(tmp_path, sheet=("Input.", tmp_path / "none.png"))
    assert not list(tmp_path.iterdir())
