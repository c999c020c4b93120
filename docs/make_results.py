"""Writes `docs/results.md` and the README's table from the results files: `make results`.

A folder of results may hold `notes.md`, what was tried and what the numbers mean, which is put in as it is.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pseudohealthy.errors import RESEARCH_USE
from pseudohealthy.report.headlines import goals, headlines

ROOT = Path(__file__).resolve().parents[1]
FIRST = ("lgg", "phantom")  # the order of the page; the README shows the first that is there
BEGIN, END = "<!-- results: written by `make results` -->\n", "<!-- /results -->"
TITLES = {"lgg": "110 patients with lower-grade glioma", "phantom": "Phantoms, whose truth is known"}


def page(folders: list[Path]) -> str:
    """`docs/results.md`."""
    sections = [
        "# Results",
        f"> {RESEARCH_USE}",
        "Written by `make results` from the files under `results/`.",
    ]
    for folder in folders:
        table1 = json.loads((folder / "table1.json").read_text(encoding="utf-8"))
        split, name = table1["split"], folder.name
        sections += [
            f"## {TITLES.get(name, name)}",
            f"`results/{name}/table1.json`: {split['train']} patients for training, {split['val']} for "
            f"validation, {split['test']} for the test, commit {table1['commit']}. Every value by volume: "
            "`volumes.tsv` beside it; all tables: `table1.md`.",
            headlines(table1),
            "### Goals",
            goals(table1),
        ]
        if (notes := folder / "notes.md").is_file():
            sections.append(notes.read_text(encoding="utf-8").strip())
    return "\n\n".join(sections) + "\n"


def readme(text: str, folder: Path) -> str:
    """The README with its table made again."""
    table1 = json.loads((folder / "table1.json").read_text(encoding="utf-8"))
    before, _, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise SystemExit(f"README.md lacks the marks {BEGIN.strip()} and {END}")
    return f"{before}{BEGIN}\n{headlines(table1)}\n\n{END}{after}"


def pages() -> dict[Path, str]:
    """Each file with what it is to hold."""
    there = {path.parent.name: path.parent for path in sorted((ROOT / "results").glob("*/table1.json"))}
    folders = [there.pop(name) for name in FIRST if name in there] + list(there.values())
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return {ROOT / "docs/results.md": page(folders), ROOT / "README.md": readme(text, folders[0])}


if __name__ == "__main__":
    for path, content in pages().items():
        path.write_text(content, encoding="utf-8")
        print(path, file=sys.stderr)
