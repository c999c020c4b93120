"""A model folder read without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fixtures.models import saved
from pseudohealthy.errors import InputError
from pseudohealthy.training.weights import read_config


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
