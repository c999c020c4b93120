"""The built wheel in an environment of its own, as a user installs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from cohorts import LPS, brain, lesion, write
from conftest import ROOT


def run(*command: str | Path, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_works_in_an_empty_environment(tmp_path: Path) -> None:
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, cwd=ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    venv.create(tmp_path / "env", with_pip=True)
    python, program = tmp_path / "env/bin/python", tmp_path / "env/bin/pseudohealthy"
    run(python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", wheel, cwd=tmp_path)
    facts = json.loads(run(program, "info", "--json", cwd=tmp_path))
    assert str(tmp_path / "env") in facts["weights"]["folder"]
    image = brain() + 200 * lesion()
    write(tmp_path / "sub-01_FLAIR.nii.gz", image.astype(np.int16))
    run(program, "synthesize", "sub-01_FLAIR.nii.gz", "-o", "out", cwd=tmp_path)
    healthy = nib.load(tmp_path / "out/sub-01_desc-pseudohealthy_FLAIR.nii.gz")
    assert healthy.shape == image.shape
    assert np.array_equal(healthy.affine, LPS)
    assert len(list((tmp_path / "out").iterdir())) == 7 + 4  # four of them images with sidecars
