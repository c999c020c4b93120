"""Writes `docs/results.md` and the README's tables from the results files: `make results`.

Each section says first what was found, then shows its table, then how it was made. A folder of results may
hold `notes.md`, which is put behind its table as it is.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pseudohealthy.catalogue.measures import MEASURES
from pseudohealthy.errors import RESEARCH_USE
from pseudohealthy.files import read_tsv
from pseudohealthy.json_files import read_json
from pseudohealthy.report.table1.cells import MISSING, get_path
from scripts import make_registration, make_transplants
from scripts.headlines import COLUMNS, finding, goals, headlines, paper_form

ROOT = Path(__file__).resolve().parents[1]
FIRST = ("lgg", "phantom")  # the order of the page
# Around Table 1 in the README; the names are those of the folders of results
BLOCK = re.compile(
    r"(<!-- results/([\w,]+): written by `make results` -->\n).*?(<!-- /results -->)", re.DOTALL
)
ABLATED = {  # measure: which of its numbers
    "identity": "identity.mean",
    "identity_normalised": "identity_normalised.mean",
    "healthiness.pooled": "healthiness.pooled",
    "healthiness.panel_mean": "healthiness.panel_mean",
    "healthiness.panel_worst": "healthiness.panel_worst",
    "balance": "balance.mean",
    "texture": "texture.median",
    "residual_contrast": "residual_contrast.mean",
    "segmentor_dice": "segmentor_dice.pooled",
    "checkerboard": "checkerboard.mean",
}
EXTERNAL = (
    "volume",
    *(MEASURES[key].head for key in ("identity", "identity_normalised")),
    "healthiness, mean of the judges ↑",
    "healthiness of the input itself",
    "contrast of the lesion, input → output",
    MEASURES["segmentor_dice"].head,
)
WHOLE = {  # head: key, factor, digits
    "lesion, ml": ("lesion_ml", 1.0, 0),
    "marked, ml": ("marked_ml", 1.0, 0),
    "marked beside lesions, ml ↓": ("false_ml_beside_lesions", 1.0, 1),
    "marked in slices without a lesion, ml ↓": ("false_ml_without_lesion", 1.0, 1),
    "marked in edge slices, ml ↓": ("false_ml_at_the_ends", 1.0, 1),
    "Dice ↑": ("dice", 1.0, 2),
    "change in slices without a lesion, % ↓": ("changed_without_lesion", 100.0, 1),
    "change in edge slices, % ↓": ("changed_at_the_ends", 100.0, 1),
}
FALSELY_MARKED = ("false_ml_beside_lesions", "false_ml_without_lesion", "false_ml_at_the_ends")
FAR_OFF = 0.5  # a Dice under which the segmentor has rather missed the lesion
COHORTS = {"lgg": "glioma", "phantom": "phantoms"}  # in the heads of Table 1
ABLATIONS = {"ablations": "One change at a time", "ablations_warm_up": "One change at a time, in equal time"}
TITLES = {"lgg": "110 patients with lower-grade glioma", "phantom": "Phantoms, whose truth is known"}


def page(folders: list[Path]) -> str:
    """`docs/results.md`."""
    sections = [
        "# Results",
        f"> {RESEARCH_USE}",
        "Each section says what was found, shows the figures, and tells how they were made. The columns are "
        "explained at the end; [the measures](concepts/measures.md) says what each can and cannot tell. A "
        "judge is a segmentor that was trained apart and says how healthy an output is; the panel is several "
        "of them, and the held-out judge decided nothing else. Commits that are not in the history: "
        "`results/README.md`.",
    ]
    for folder in folders:
        sections += _experiment(folder)
    for name, title in ABLATIONS.items():
        sections += ablations(ROOT / "results" / name, title)
    sections += whole(ROOT / "results/whole")
    sections += external(ROOT / "results/volumes")
    sections += registration(make_registration.RESULTS)
    sections += transplants(make_transplants.RESULTS)
    sections += ["## The columns", columns()]
    return "\n\n".join([*sections, "Written by `make results` from the files under `results/`."]) + "\n"


def _experiment(folder: Path) -> list[str]:
    """What the tests say, the short table, the goals, the notes, and where the figures come from."""
    table1, name = read_table1(folder), folder.name
    split = table1["split"]
    commits = ", ".join(commit[:9] for commit in table1["commits"])
    patients = ", ".join(f"{split[key]} for {use}" for key, use in _USES.items())
    return [
        f"## {TITLES.get(name, name)}",
        finding(table1),
        headlines(table1),
        *(["### Goals", GOALS_SET, lines] if (lines := goals(table1)) else []),
        *_notes(folder),
        f"Patients: {patients}. Made at {commits}. `results/{name}` has every number (`table1.json`), "
        "every value by volume (`volumes.tsv`) and all tables (`table1.md`).",
    ]


GOALS_SET = "Set by this project before the measurement."
_USES = {"train": "training", "val": "validation", "test": "the test"}


def columns() -> str:
    """What each measure of the tables of this page is."""
    keys = dict.fromkeys(["identity", "healthiness", *COLUMNS, *ABLATED])
    return _markdown(("column", "what it is"), [(MEASURES[key].head, MEASURES[key].summary) for key in keys])


def ablations(folder: Path, title: str) -> list[str]:
    """One setting changed at a time: a row for each folder of scores, the base first, and the notes."""
    scores = _summaries(folder)
    if "base" not in scores:
        return []
    rows = {"base": scores.pop("base"), **scores}
    columns = {
        MEASURES[key].head: cells
        for key, path in ABLATED.items()
        if set(cells := [_value(scores, path) for scores in rows.values()]) != {MISSING}
    }
    body = list(zip(rows, *columns.values(), strict=True))
    healthiness, identity = (_least(scores, path) for path in ("healthiness.panel_mean", "identity.mean"))
    found = (
        f"Of these changes, `{healthiness}` costs the most healthiness and `{identity}` the most identity."
    )
    first = [found] if scores else []
    return [f"## {title}", *first, _markdown(("changed", *columns), body), *_notes(folder)]


def whole(folder: Path) -> list[str]:
    """Whole validation volumes, as a person sends them: a row for each folder of scores, and the notes."""
    means = {name: scores["mean"] for name, scores in _summaries(folder).items()}
    if not means:
        return []
    body = [
        [name, *(f"{factor * mean[key]:.{digits}f}" for key, factor, digits in WHOLE.values())]
        for name, mean in means.items()
    ]
    least = min(means, key=lambda name: sum(means[name][key] for key in FALSELY_MARKED))
    best = max(means, key=lambda name: float(means[name]["dice"]))
    both = "and" if best == least else f"and `{best}`"
    found = f"`{least}` mark the least where there is no lesion {both} overlap the most with the lesions."
    return ["## Whole volumes", found, _markdown(("weights", *WHOLE), body), *_notes(folder)]


def external(folder: Path) -> list[str]:
    """Volumes of other scanners and diseases: a row for each, and the notes."""
    if not (folder / "volumes.tsv").is_file():
        return []
    with (folder / "volumes.tsv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    body = [
        [
            row["volume"],
            *(f"{float(row[key]):.3f}" for key in ("identity", "identity_normalised")),
            *(f"{_healthiness(row, prefix):.2f}" for prefix in ("found.", "found_in_inputs.")),
            " → ".join(f"{float(row[key]):.2f}" for key in ("input.residual_contrast", "residual_contrast")),
            f"{float(row['segmentor_dice']):.2f}",
        ]
        for row in rows
    ]
    heading = "## External validation: other scanners and diseases"
    return [heading, _external_finding(rows), _markdown(EXTERNAL, body), *_notes(folder)]


def registration(results: Path) -> list[str]:
    """What a lesion does to registration, and what replacing it makes of that."""
    measured = read_json(results)
    return [
        "## Registration of a brain with a lesion",
        make_registration.found(measured),
        make_registration.tables(measured),
        *_explained_in(
            "[Lesion filling](howto/lesion_filling.md#does-it-help-registration)",
            "python -m scripts.measure_registration lgg=DATA --work FOLDER",
        ),
    ]


def transplants(results: Path) -> list[str]:
    """What transplanted lesions are worth to those who train a segmentor."""
    measured = read_json(results)
    return [
        "## Training with transplanted lesions",
        make_transplants.found(measured),
        make_transplants.table(measured),
        *_explained_in(
            "[The how-to](howto/transplant.md#does-it-help-to-train-others)",
            "python -m scripts.measure_transplants NAME=DATA --work FOLDER",
        ),
    ]


def _explained_in(page: str, command: str) -> list[str]:
    """The end of a section whose tables stand in a how-to, too."""
    how = f"`{command}`, with the weights in the package. {page} says what the figures are."
    return ["### How it was made", how]


def _external_finding(rows: Sequence[Mapping[str, str]]) -> str:
    falls = [
        row["volume"]
        for row in rows
        if abs(float(row["residual_contrast"])) < abs(float(row["input.residual_contrast"]))
    ]
    missed = [row["volume"] for row in rows if float(row["segmentor_dice"]) < FAR_OFF]
    contrast = "every volume" if len(falls) == len(rows) else f"{len(falls)} of {len(rows)} volumes"
    fails = f"The segmentor misses most of the lesion in: {', '.join(missed)}." if missed else ""
    return f"The contrast of the lesion falls in {contrast}. {fails}".strip()


def _healthiness(row: Mapping[str, str], prefix: str) -> float:
    """Healthiness of one volume, mean over judges."""
    counts = [float(value) for key, value in row.items() if key.startswith(prefix)]
    return 1 - sum(counts) / len(counts) / float(row["lesion_voxels"])


def _summaries(folder: Path) -> dict[str, dict[str, Any]]:
    """Each folder of scores by its name."""
    return {path.parent.name: json.loads(path.read_text()) for path in sorted(folder.glob("*/summary.json"))}


def _least(scores: Mapping[str, Mapping[str, Any]], path: str) -> str:
    return min(scores, key=lambda name: float(get_path(scores[name], path)), default="")


def _markdown(heads: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---", *[":---:"] * (len(heads) - 1)], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _notes(folder: Path) -> list[str]:
    notes = folder / "notes.md"
    return [notes.read_text(encoding="utf-8").strip()] if notes.is_file() else []


def _value(scores: Mapping[str, Any], path: str) -> str:
    value = get_path(scores, path)
    return MISSING if value is None else f"{value:.3f}"


def readme(text: str, results: Path) -> str:
    """The README with its tables made again from the folders under `results`."""
    if not BLOCK.search(text):
        raise SystemExit("README.md lacks the marks <!-- results/NAME: written by `make results` -->")

    def written(match: re.Match[str]) -> str:
        experiments = {COHORTS.get(name, name): read_table1(results / name) for name in match[2].split(",")}
        return f"{match[1]}\n{paper_form(experiments)}\n\n{match[3]}"

    return BLOCK.sub(written, text)


def pages() -> dict[Path, str]:
    """Each file with what it is to hold."""
    there = {path.parent.name: path.parent for path in sorted((ROOT / "results").glob("*/table1.json"))}
    folders = [there.pop(name) for name in FIRST if name in there] + list(there.values())
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return {
        ROOT / "docs/results.md": page(folders),
        ROOT / "README.md": readme(text, ROOT / "results"),
    }


def read_table1(folder: Path) -> dict[str, Any]:
    """`table1.json`; an old one lacks the first judge's h(real healthy), which follows from what it marks."""
    table1: dict[str, Any] = json.loads((folder / "table1.json").read_text(encoding="utf-8"))
    marked = get_path(table1, "judge.false_positive_voxels_per_healthy_slice")
    if "healthy_slices" not in table1 and marked is not None:
        volumes = read_tsv(folder / "volumes.tsv")
        copies = volumes[(volumes["method"] == "copy") & (volumes["measure"] == "lesion_voxels")]
        mean_lesion = copies["value"].sum() / table1["slices"]["test"]["pathological"]
        table1["healthy_slices"] = {"pooled": 1 - marked / mean_lesion}
    return table1


if __name__ == "__main__":
    for path, content in pages().items():
        path.write_text(content, encoding="utf-8")
        print(path, file=sys.stderr)
