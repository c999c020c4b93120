"""Writes `docs/results.md` and the README's tables from the results files: `make results`.

A folder of results may hold `notes.md`, what was tried and what the numbers mean, which is put in as it is.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pseudohealthy.errors import RESEARCH_USE
from pseudohealthy.report.table1.cells import MISSING
from scripts.headlines import goals, headlines

ROOT = Path(__file__).resolve().parents[1]
FIRST = ("lgg", "phantom")  # the order of the page
# Around a table in the README; the name is that of the folder of results
BLOCK = re.compile(r"(<!-- results/(\w+): written by `make results` -->\n).*?(<!-- /results -->)", re.DOTALL)
ABLATED = {
    "identity": ("identity", "mean"),
    "mask-normalised": ("identity_normalised", "mean"),
    "healthiness, pooled": ("healthiness", "pooled"),
    "panel: mean": ("healthiness", "panel_mean"),
    "worst": ("healthiness", "panel_worst"),
    "balance": ("balance", "mean"),
    "texture": ("texture", "median"),
    "residual contrast": ("residual_contrast", "mean"),
    "Dice of S, pooled": ("segmentor_dice", "pooled"),
    "checkerboard": ("checkerboard", "mean"),
}
TRAVELLED = (
    "volume",
    "identity",
    "mask-normalised",
    "healthiness, mean of the judges",
    "of the input itself",
    "contrast of the lesion",
    "Dice of S",
)
WHOLE = {
    "lesion, ml": ("lesion_ml", 1.0, 0),
    "marked, ml": ("marked_ml", 1.0, 0),
    "beside lesions": ("false_ml_beside_lesions", 1.0, 1),
    "in slices without": ("false_ml_without_lesion", 1.0, 1),
    "at the brain's edges": ("false_ml_at_the_ends", 1.0, 1),
    "Dice": ("dice", 1.0, 2),
    "changed in slices without": ("changed_without_lesion", 100.0, 1),
    "at the ends, %": ("changed_at_the_ends", 100.0, 1),
}
TITLES = {"lgg": "110 patients with lower-grade glioma", "phantom": "Phantoms, whose truth is known"}


def page(folders: list[Path]) -> str:
    """`docs/results.md`."""
    sections = [
        "# Results",
        f"> {RESEARCH_USE}",
        "Written by `make results` from the files under `results/`.",
    ]
    for folder in folders:
        table1 = _table1(folder)
        split, name = table1["split"], folder.name
        commits = ", ".join(commit[:9] for commit in table1["commits"])
        sections += [
            f"## {TITLES.get(name, name)}",
            f"`results/{name}/table1.json`: {split['train']} patients for training, {split['val']} for "
            f"validation, {split['test']} for the test, made at {commits}. Every value by volume: "
            "`volumes.tsv` beside it; all tables: `table1.md`.",
            headlines(table1),
            *(["### Goals", asked] if (asked := goals(table1)) else []),
        ]
        sections += _notes(folder)
    sections += ablations(ROOT / "results/ablations")
    sections += whole(ROOT / "results/whole")
    sections += travel(ROOT / "results/volumes")
    return "\n\n".join(sections) + "\n"


def ablations(folder: Path) -> list[str]:
    """One setting changed at a time: a row for each folder of scores, the base first, and the notes."""
    found = {path.parent.name: json.loads(path.read_text()) for path in sorted(folder.glob("*/summary.json"))}
    if "base" not in found:
        return []
    rows = {"base": found.pop("base"), **found}
    columns = {
        head: cells
        for head, keys in ABLATED.items()
        if set(cells := [_value(scores, *keys) for scores in rows.values()]) != {MISSING}
    }
    body = list(zip(rows, *columns.values(), strict=True))
    return ["## One change at a time", _markdown(("changed", *columns), body), *_notes(folder)]


def whole(folder: Path) -> list[str]:
    """Whole validation volumes, as a person sends them: a row for each folder of scores, and the notes."""
    found = {path.parent.name: json.loads(path.read_text()) for path in sorted(folder.glob("*/summary.json"))}
    body = [
        [name, *(f"{factor * scores['mean'][key]:.{digits}f}" for key, factor, digits in WHOLE.values())]
        for name, scores in found.items()
    ]
    return ["## Whole volumes", _markdown(("weights", *WHOLE), body), *_notes(folder)] if body else []


def travel(folder: Path) -> list[str]:
    """Volumes of other scanners and diseases: a row for each, and the notes."""
    if not (folder / "volumes.tsv").is_file():
        return []
    with (folder / "volumes.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    body = [
        [
            row["volume"],
            *(f"{float(row[key]):.3f}" for key in ("identity", "identity_normalised")),
            *(f"{_healed(row, prefix):.2f}" for prefix in ("found.", "found_in_inputs.")),
            " → ".join(f"{float(row[key]):.2f}" for key in ("input.residual_contrast", "residual_contrast")),
            f"{float(row['segmentor_dice']):.2f}",
        ]
        for row in rows
    ]
    return ["## Does it travel?", _markdown(TRAVELLED, body), *_notes(folder)]


def _healed(row: dict[str, str], prefix: str) -> float:
    """Healthiness of one volume, mean over judges."""
    found = [float(value) for key, value in row.items() if key.startswith(prefix)]
    return 1 - sum(found) / len(found) / float(row["lesion_voxels"])


def _markdown(heads: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---", *[":---:"] * (len(heads) - 1)], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _notes(folder: Path) -> list[str]:
    notes = folder / "notes.md"
    return [notes.read_text(encoding="utf-8").strip()] if notes.is_file() else []


def _value(scores: dict[str, Any], *keys: str) -> str:
    value: Any = scores
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return MISSING if value is None else f"{value:.3f}"


def readme(text: str, results: Path) -> str:
    """The README with its tables made again from the folders under `results`."""
    if not BLOCK.search(text):
        raise SystemExit("README.md lacks the marks <!-- results/NAME: written by `make results` -->")
    return BLOCK.sub(
        lambda found: f"{found[1]}\n{headlines(_table1(results / found[2]))}\n\n{found[3]}", text
    )


def pages() -> dict[Path, str]:
    """Each file with what it is to hold."""
    there = {path.parent.name: path.parent for path in sorted((ROOT / "results").glob("*/table1.json"))}
    folders = [there.pop(name) for name in FIRST if name in there] + list(there.values())
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return {
        ROOT / "docs/results.md": page(folders),
        ROOT / "README.md": readme(text, ROOT / "results"),
    }


def _table1(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "table1.json").read_text(encoding="utf-8"))
    return content


if __name__ == "__main__":
    for path, content in pages().items():
        path.write_text(content, encoding="utf-8")
        print(path, file=sys.stderr)
