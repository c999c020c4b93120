"""Each ablation changes one setting, is trained and scored by the program itself, and is not done twice."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fixtures.models import saved
from pseudohealthy.config import settings
from scripts.run_ablations import RESULTS, RETIRED, STUDIES, Ablations, Study

SMALL = replace(
    STUDIES["losses"],
    base=(
        *(f"networks.{name}=4" for name in ("width", "segmentor_width", "discriminator_width")),
        *("training.images=4", "training.batch_size=2", "training.preview_every=100"),
    ),
)


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


@pytest.mark.parametrize("study", STUDIES.values(), ids=list(STUDIES))
def test_each_ablation_changes_one_setting_of_the_base(study: Study) -> None:
    base = dict(flat(settings("paired", overrides=study.base).model_dump()))
    for name, change in study.changes.items():
        changed = dict(
            flat(settings("paired", overrides=[*study.base, *([change] if change else [])]).model_dump())
        )
        differing = [key for key, value in changed.items() if value != base[key]]
        assert differing == ([] if change is None else [change.partition("=")[0]]), name


@pytest.mark.parametrize("study", STUDIES.values(), ids=list(STUDIES))
def test_every_folder_of_scores_is_of_an_ablation_that_there_is(study: Study) -> None:
    scored = {path.parent.name for path in (RESULTS / study.folder).glob("*/summary.json")}
    assert scored <= {*study.changes, *RETIRED}


def test_it_is_trained_and_scored_once(tmp_path: Path, prepared_folder: Path) -> None:
    judge = saved(tmp_path / "judge", "judge", finds=True)
    ablations = Ablations(SMALL, prepared_folder, tmp_path / "runs", [judge], tmp_path / "scores")
    ablations.run("whole_image")
    written = tmp_path / "scores/whole_image/summary.json"
    summary = json.loads(written.read_text(encoding="utf-8"))
    assert 0 <= summary["identity"]["mean"] <= 1
    config = json.loads((tmp_path / "runs/whole_image/weights/config.json").read_text(encoding="utf-8"))
    assert config["settings"]["networks"]["output_mode"] == "image"
    before = written.stat().st_mtime_ns
    ablations.run("whole_image")
    assert written.stat().st_mtime_ns == before


def test_a_failure_says_where_its_log_is(tmp_path: Path) -> None:
    ablations = Ablations(SMALL, tmp_path / "nowhere", tmp_path / "runs", [], tmp_path / "scores")
    with pytest.raises(RuntimeError, match=r"base failed; see .*base\.log"):
        ablations.run("base")
    assert "nowhere" in (tmp_path / "runs/base.log").read_text(encoding="utf-8")
    assert not (tmp_path / "scores").exists()
