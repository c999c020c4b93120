"""What is installed, without torch; and the weights in the package."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fixtures.models import saved
from pseudohealthy import __version__
from pseudohealthy.errors import RESEARCH_USE, InputError
from pseudohealthy.synthesis.bundled_weights import bundled_weights, describe_installation
from pseudohealthy.synthesis.model import Model


def test_a_weights_folder_is_described(tmp_path: Path) -> None:
    facts = describe_installation(saved(tmp_path, "unpaired"))
    content = (tmp_path / "model.safetensors").read_bytes()
    assert facts["weights"] == {
        "folder": str(tmp_path),
        "method": "unpaired",
        "preset": "default",
        "images": 0,
        "data": {"key": "none", "cohort": "none", "train": 0},
        "averaged": False,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert (facts["version"], facts["research_use"]) == (__version__, RESEARCH_USE)
    assert facts["libraries"]["numpy"] == np.__version__
    assert json.loads(json.dumps(facts)) == facts


def test_the_description_of_a_model_is_its_provenance(tmp_path: Path) -> None:
    weights = describe_installation(saved(tmp_path))["weights"]
    assert Model.load(tmp_path).provenance == {key: weights[key] for key in weights if key != "folder"}


def test_what_is_no_weights_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a weights folder"):
        describe_installation(tmp_path)
    saved(tmp_path)
    (tmp_path / "config.json").write_text('{"format": 1, "settings": []}')
    with pytest.raises(InputError, match=r"config\.json: incomplete"):
        describe_installation(tmp_path)


def test_describing_does_not_import_torch() -> None:
    code = "import sys, pseudohealthy.synthesis.bundled_weights; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_package_carries_weights_of_the_paired_method() -> None:
    assert describe_installation()["weights"]["folder"] == str(bundled_weights())
    assert set(Model.load(bundled_weights(), "cpu").networks) == {"G", "R", "S"}
