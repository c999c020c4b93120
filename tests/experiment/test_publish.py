"""Every picture of a results folder has its own name and its caption, and none is of an earlier time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

from fixtures.experiments import experiment
from fixtures.results import curves, table1, volumes
from pseudohealthy.catalogue.rows import Row
from pseudohealthy.errors import InputError
from pseudohealthy.evaluation.slice_set import SliceSet
from pseudohealthy.experiment.publish import CAPTIONS, MADE, draw_pictures, refuse_others, render
from pseudohealthy.experiment.runner import reproduce
from pseudohealthy.experiment.steps import Step
from pseudohealthy.report.figures import contact_sheet
from scripts.migrate_0_1 import main

ROOT = Path(__file__).resolve().parents[2]

STACKS = ("healthy", "reconstructed", "without mask", "with moved mask", "moved mask")


def slices() -> SliceSet:
    """Two volumes of one slice each."""
    images, names = np.ones((2, 32, 32), dtype=np.float32), np.array(["A", "B"])
    masks = np.zeros(images.shape, dtype=bool)
    masks[0, 4:8, 4:8] = masks[1, 4:12, 4:12] = True
    return SliceSet(images, masks, names, names, np.zeros(2, dtype=np.int64), np.zeros(2))


def measured(out: Path, row: Row) -> Step:
    step = Step("measure", row.name, {}, (), row)
    step.folder(out).mkdir(parents=True)
    stack = np.ones((2, 32, 32), dtype=np.float32)
    np.savez(step.folder(out) / "pictures.npz", **dict.fromkeys(STACKS, stack))  # type: ignore[arg-type]
    return step


def results(folder: Path, *, valid: bool = True) -> Path:
    """What `render` needs."""
    folder.mkdir()
    (folder / "table1.json").write_text(json.dumps({**table1(), "valid": valid}), encoding="utf-8")
    for name, table in {"volumes": volumes(), "curves": curves()}.items():
        table.to_csv(folder / f"{name}.tsv", sep="\t", index=False, na_rep="n/a")
    return folder


def test_two_presets_of_a_method_have_a_picture_each(tmp_path: Path) -> None:
    rows = [Row("paired", preset, seed=0) for preset in ("midl2019", "media2020")]
    draw_pictures(tmp_path / "p", tmp_path, [measured(tmp_path, row) for row in rows], slices())
    moved = {path.name for path in (tmp_path / "p").glob("moved_mask*.png")}
    assert moved == {f"moved_mask_{row.name}.png" for row in rows}


def test_pictures_of_an_earlier_time_are_gone(tmp_path: Path) -> None:
    pictures, step = tmp_path / "p", measured(tmp_path, Row("paired", "midl2019", seed=0))
    pictures.mkdir()
    (pictures / "all_volumes_07.png").write_bytes(b"old")
    (pictures / "notes.txt").write_bytes(b"the user's")
    draw_pictures(pictures, tmp_path, [step], slices())
    names = {"methods.png", "cycles.png", "all_volumes.png", f"moved_mask_{step.name}.png", "notes.txt"}
    assert {path.name for path in pictures.iterdir()} == names


def test_until_new_pictures_are_drawn_the_earlier_ones_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    pictures, step = tmp_path / "p", measured(tmp_path, Row("paired", "midl2019", seed=0))
    draw_pictures(pictures, tmp_path, [step], slices())
    before = {path.name: path.read_bytes() for path in pictures.iterdir()}
    monkeypatch.setattr("pseudohealthy.experiment.publish.contact_sheet", interrupted)
    with pytest.raises(KeyboardInterrupt):
        draw_pictures(pictures, tmp_path, [step], slices())
    assert {path.name: path.read_bytes() for path in pictures.iterdir()} == before


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results with pictures known and unknown, rendered where an earlier chart lay."""
    folder = results(tmp_path_factory.mktemp("rendered") / "r")
    (folder / "charts").mkdir()
    (folder / "charts" / "old.png").write_bytes(b"old")
    (folder / "pictures").mkdir()
    for name in ("moved_mask_paired-midl2019-s0-raw", "all_volumes_02", "methods", "cycles", "sketch"):
        contact_sheet(folder / "pictures" / f"{name}.png", {"input": np.ones((1, 32, 32))})
    render(folder)
    return folder


def test_charts_of_an_earlier_time_are_gone(rendered: Path) -> None:
    names = {"distributions.png", "identity_healthiness.png", "validation_curves.png"}
    assert {path.name for path in (rendered / "charts").iterdir()} == names


def test_every_picture_has_its_caption_and_an_unknown_one_its_name(rendered: Path) -> None:
    page = (rendered / "report.html").read_text(encoding="utf-8").replace("&#39;", "'")
    for words in CAPTIONS.values():
        assert page.count(f"</b> {words}</figcaption>") == 1, words
    assert "<b>sketch.</b> sketch</figcaption>" in page


@pytest.mark.parametrize("valid", [True, False])
def test_an_invalid_judge_is_named_in_each_chart_of_healthiness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, valid: bool
) -> None:
    heads: list[str] = []
    head = Figure.suptitle

    def recorded(self: Figure, words: str, **more: Any) -> None:
        heads.append(words)
        head(self, words, **more)

    monkeypatch.setattr(Figure, "suptitle", recorded)
    render(results(tmp_path / "r", valid=valid))
    assert ["INVALID" in words for words in heads] == [not valid, not valid, False]


def test_results_of_version_0_1_are_refused_until_they_are_migrated(tmp_path: Path) -> None:
    folder = results(tmp_path / "r")
    path = folder / "table1.json"
    old = path.read_text(encoding="utf-8").replace('"through_plane_inconsistency"', '"flicker"')
    path.write_text(old, encoding="utf-8")
    with pytest.raises(InputError, match="flicker is now through_plane_inconsistency") as refusal:
        render(folder)
    assert str(refusal.value).endswith(f"rewrite it with python scripts/migrate_0_1.py {folder}")
    main([str(folder)])
    render(folder)
    assert (folder / "report.html").is_file()


@pytest.mark.parametrize("name", ["lgg", "phantom"])
def test_the_records_of_earlier_experiments_can_be_rendered(tmp_path: Path, name: str) -> None:
    for file in ("table1.json", "volumes.tsv", "curves.tsv"):
        shutil.copyfile(ROOT / "results" / name / file, tmp_path / file)
    render(tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    steps = json.loads((tmp_path / "table1.json").read_text(encoding="utf-8"))["steps"]
    assert all(step["key"][:8] in page or step["name"] in page for step in steps)


def test_what_is_not_of_the_experiment_is_not_replaced(tmp_path: Path) -> None:
    """Noticed by `reproduce` before it does anything."""
    refuse_others(tmp_path / "none", experiment(name="x"))
    (tmp_path / "notes.txt").touch()
    refuse_others(tmp_path, experiment(name="x"))
    for name in MADE:
        (tmp_path / name).touch()
        with pytest.raises(InputError, match=f"{name}: exists already, and is no result"):
            reproduce(experiment(name="x"), tmp_path / "out", results=tmp_path)
        (tmp_path / name).unlink()
    (tmp_path / "table1.json").write_text('{"experiment": "y"}')
    with pytest.raises(InputError, match=r"holds the results of y, not of x; .* \(--results\)"):
        reproduce(experiment(name="x"), tmp_path / "out", results=tmp_path)
    assert not (tmp_path / "out").exists()
    (tmp_path / "report.html").touch()
    refuse_others(tmp_path, experiment(name="y"))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "not a folder of results (it is empty); run the experiment again"),
        ("[]", "not a folder of results (expected a mapping, found a list)"),
        ("[" * 100_000, "not a folder of results (nested more than 50 levels deep)"),
        ('{"rows": NaN}', "not a folder of results (NaN is not a finite number)"),
        ("{}", "incomplete, split is missing; run the experiment again"),
        ('{"split": {}, "judge": {}, "rows": null}', "incomplete, rows is null, expected a list"),
        ('{"split": {}, "judge": {}, "rows": [null]}', "incomplete, a row is null, expected a mapping"),
    ],
)
def test_a_table_that_is_none_is_refused_in_one_line(tmp_path: Path, content: str, complaint: str) -> None:
    (tmp_path / "table1.json").write_text(content)
    with pytest.raises(InputError) as failure:
        render(tmp_path)
    assert f"table1.json: {complaint}" in str(failure.value)
    assert [path.name for path in tmp_path.iterdir()] == ["table1.json"]


def test_results_with_values_of_another_kind_are_refused_in_one_line(tmp_path: Path) -> None:
    folder = results(tmp_path / "r", valid=True)
    (folder / "volumes.tsv").write_text("method\tmeasure\tvalue\npaired\tidentity\tmuch\n")
    with pytest.raises(InputError, match=rf"{folder}: damaged results \(.+\); run the experiment again"):
        render(folder)
