"""The changelog names modules that there are, in place of those that there are no longer."""

from __future__ import annotations

import re
from pathlib import Path

import pseudohealthy

ROOT = Path(__file__).resolve().parents[2]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def is_module(name: str) -> bool:
    place = ROOT / "src/pseudohealthy" / name.replace(".", "/")
    return place.with_suffix(".py").is_file() or (place / "__init__.py").is_file()


def test_modules_were_renamed_as_the_table_says() -> None:
    section = re.split(r"^##", CHANGELOG.split("#### Modules\n")[1], flags=re.MULTILINE)[0]
    rows = re.findall(r"^\| `([\w.]+)` \| `([\w.]+)` \|$", section, re.MULTILINE)
    assert len(rows) > 30
    assert [new for _, new in rows if not is_module(new)] == []
    still_there = [old for old, new in rows if is_module(old) and not new.startswith(f"{old}.")]
    assert still_there == []


def test_the_newest_entry_is_of_the_version_that_the_package_has() -> None:
    assert re.findall(r"^## \[([\d.]+)\]", CHANGELOG, re.MULTILINE)[0] == pseudohealthy.__version__
    assert f"\nversion: {pseudohealthy.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
