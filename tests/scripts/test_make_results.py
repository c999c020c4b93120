"""What `make results` writes is what is there, and what it says of the figures is so."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from scripts.make_results import ROOT, ablations, columns, external, pages, read_table1, readme, whole


def summaries(folder: Path, scores: dict[str, dict[str, Any]]) -> Path:
    for name, summary in scores.items():
        (folder / name).mkdir()
        (folder / name / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    return folder


def test_the_results_page_and_the_readme_say_what_the_results_files_say() -> None:
    for path, content in pages().items():
        assert path.read_text(encoding="utf-8") == content, f"{path.name}: run `make results`"


def test_every_section_says_what_was_found_before_its_table() -> None:
    page = pages()[ROOT / "docs/results.md"]
    sections = [each.strip().splitlines() for each in page.split("\n## ")[1:-1]]
    assert len(sections) > 4
    for heading, _, first, *_ in sections:
        assert first.endswith("."), heading
        assert not first.startswith(("|", "`results")), heading


def test_every_column_is_explained() -> None:
    assert "| balance ↑ | harmonic mean" in columns()
    assert "re-segmentability above coordinates (0 is ideal)" in columns()


def test_another_result_is_another_table() -> None:
    begin, end = "<!-- results/phantom,lgg: written by `make results` -->\n", "<!-- /results -->"
    new = readme(f"before\n{begin}old\n{end}\nafter", ROOT / "results")
    assert new.startswith(f"before\n{begin}")
    assert new.endswith(f"{end}\nafter")
    assert "| method | phantoms: identity | phantoms: healthiness | glioma: identity |" in new
    assert "old\n" not in new
    with pytest.raises(SystemExit, match="lacks the marks"):
        readme("no marks", ROOT / "results")


def test_an_old_table_is_held_to_the_rule_of_today(tmp_path: Path) -> None:
    """What a healthy slice's marks say of h(real healthy) is what was measured where it was."""
    table1 = json.loads((ROOT / "results/lgg/table1.json").read_text(encoding="utf-8"))
    measured = table1.pop("healthy_slices")["pooled"]
    (tmp_path / "table1.json").write_text(json.dumps(table1), encoding="utf-8")
    shutil.copy(ROOT / "results/lgg/volumes.tsv", tmp_path)
    assert read_table1(tmp_path)["healthy_slices"] == {"pooled": pytest.approx(measured)}


def test_ablations_have_a_column_for_what_any_of_them_measured(tmp_path: Path) -> None:
    old = {"identity": {"mean": 0.9}, "healthiness": {"pooled": 0.5, "panel_mean": 0.6, "panel_worst": None}}
    new = {**old, "balance": {"mean": 0.75}, "texture": {"median": 0.25}}
    lines = ablations(summaries(tmp_path, {"base": old, "with_more": new}), "Changes")[2].splitlines()
    heads = (
        "identity ↑ | healthiness, pooled ↑ | healthiness, panel mean ↑ | balance ↑ | texture (1 is ideal)"
    )
    assert lines[0] == f"| changed | {heads} |"
    assert lines[2:] == [
        "| base | 0.900 | 0.500 | 0.600 | – | – |",
        "| with_more | 0.900 | 0.500 | 0.600 | 0.750 | 0.250 |",
    ]


def test_the_ablation_that_costs_most_is_named(tmp_path: Path) -> None:
    scores = {
        name: {"identity": {"mean": identity}, "healthiness": {"panel_mean": healthiness}}
        for name, identity, healthiness in (("base", 0.1, 0.1), ("a", 0.9, 0.2), ("b", 0.8, 0.7))
    }
    found = ablations(summaries(tmp_path, scores), "Changes")[1]
    assert found == "Of these changes, `a` costs the most healthiness and `b` the most identity."


def test_the_weights_that_mark_least_falsely_are_named(tmp_path: Path) -> None:
    keys = ("lesion_ml", "marked_ml", "changed_without_lesion", "changed_at_the_ends")
    false = ("false_ml_beside_lesions", "false_ml_without_lesion", "false_ml_at_the_ends")
    scores = {
        name: {"mean": dict.fromkeys(keys, 0.01) | dict.fromkeys(false, ml) | {"dice": dice}}
        for name, ml, dice in (("first", 9.0, 0.6), ("second", 1.0, 0.5))
    }
    found = whole(summaries(tmp_path, scores))[1]
    assert (
        found
        == "`second` mark the least where there is no lesion and `first` overlap the most with the lesions."
    )


def test_the_volumes_where_the_segmentor_fails_are_named(tmp_path: Path) -> None:
    heads = (
        *(
            "volume",
            "identity",
            "identity_normalised",
            "found.first",
            "found_in_inputs.first",
            "lesion_voxels",
        ),
        *("input.residual_contrast", "residual_contrast", "segmentor_dice"),
    )
    rows = [("tumour", 1, 1, 5, 10, 10, 0.4, 0.1, 0.9), ("stroke", 1, 1, 10, 10, 10, 0.2, 0.3, 0.2)]
    text = "\n".join("\t".join(map(str, row)) for row in (heads, *rows))
    (tmp_path / "volumes.tsv").write_text(text, encoding="utf-8")
    _, found, table = external(tmp_path)
    assert found == (
        "The contrast of the lesion falls in 1 of 2 volumes. "
        "The segmentor misses most of the lesion in: stroke."
    )
    assert "| tumour | 1.000 | 1.000 | 0.50 | 0.00 | 0.40 → 0.10 | 0.90 |" in table
