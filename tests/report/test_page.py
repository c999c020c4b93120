"""Templates filled: what is escaped, and what a missing value is."""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import UndefinedError

from pseudohealthy.errors import RESEARCH_USE
from pseudohealthy.report import page
from pseudohealthy.report.page import write_page


@pytest.fixture(autouse=True)
def template(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.html.jinja").write_text("{{ name }} {{ value | cell }} {{ research_use }}")
    monkeypatch.setattr(page, "FOLDERS", [tmp_path])


def test_values_are_escaped_and_every_page_says_what_it_is_for(tmp_path: Path) -> None:
    write_page(tmp_path / "x.html", "x.html.jinja", name="<script>", value=None)
    assert (tmp_path / "x.html").read_text(encoding="utf-8") == f"&lt;script&gt; – {RESEARCH_USE}"


def test_a_page_written_in_pieces_is_the_whole_one(tmp_path: Path) -> None:
    """With what UTF-8 cannot hold, as a name on disk may have it."""
    page_of = tmp_path / "x.html"
    (tmp_path / "x.html.jinja").write_text("{% for each in names %}{{ each }}\n{% endfor %}{{ missing }}")
    names = ["μ" * 10_000, "a\udcffb", "c"]
    write_page(page_of, "x.html.jinja", names=names, missing="")
    assert page_of.read_bytes() == ("μ" * 10_000 + "\na\\udcffb\nc\n").encode()
    with pytest.raises(UndefinedError, match="missing"):  # known only once the names are written
        write_page(page_of, "x.html.jinja", names=["another"])
    assert page_of.read_bytes().startswith("μ".encode())
    assert {path.name for path in tmp_path.iterdir()} == {"x.html", "x.html.jinja"}


def test_a_value_that_is_missing_leaves_no_page(tmp_path: Path) -> None:
    with pytest.raises(UndefinedError, match="value"):
        write_page(tmp_path / "x.html", "x.html.jinja", name="n")
    assert not (tmp_path / "x.html").exists()
