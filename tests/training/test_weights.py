"""A model folder read without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fixtures.models import saved
from pseudohealthy.errors import InputError
from pseudohealthy.training.weights import card, read_config

CONFIG = {"format": 1, "settings": {}, "preprocessing": {}, "data": {}, "images": 1, "averaged": False}


def test_reading_a_model_folder_does_not_import_torch() -> None:
    code = "import sys, pseudohealthy.training.weights; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_run_in_place_of_its_weights_is_answered_with_their_folder(tmp_path: Path) -> None:
    saved(tmp_path / "run/weights")
    with pytest.raises(InputError, match=r"run: a training run, not a weights folder; give \S+run/weights$"):
        read_config(tmp_path / "run")
    saved(tmp_path / "run/best")
    with pytest.raises(InputError, match=r"give \S+run/best$"):
        read_config(tmp_path / "run")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"settings": None}, "settings is null, expected a mapping"),
        ({"preprocessing": []}, "preprocessing is a list, expected a mapping"),
        ({"data": "lgg"}, "data is text, expected a mapping"),
        ({"images": None}, "images is null, expected a number"),
        ({"averaged": 1}, "averaged is a number, expected true or false"),
    ],
)
def test_a_part_of_another_kind_is_refused(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    assert read_config(tmp_path) == CONFIG
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, **change}))
    with pytest.raises(InputError, match=rf"config\.json: incomplete, {complaint}; expected one as training"):
        read_config(tmp_path)


@pytest.mark.parametrize("content", ["[" * 100_000, "null", '{"format": NaN}', "9" * 5000, ""])
def test_a_config_that_is_no_config_is_refused_in_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match="not a weights folder") as failure:
        read_config(tmp_path)
    assert "\n" not in str(failure.value)


def test_the_card_of_a_strangers_weights_says_what_is_not_stated() -> None:
    text = card({**CONFIG, "settings": {"method": "paired"}})
    assert "pseudohealthy weights: paired, preset (not stated)" in text
    assert "Trained by pseudohealthy (not stated) on the cohort (not stated)\n((not stated) training" in text
