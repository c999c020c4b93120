"""The built wheel in an environment of its own, as a user installs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import ROOT
from fixtures.brains import LPS, brain, lesion, write
from pseudohealthy.evaluation.identity import identity
from pseudohealthy.evaluation.segmentation import dice
from pseudohealthy.phantom.subject import phantom

DIGEST = ROOT / "tests/embedded_weights.json"  # with new weights: what the failing test found


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
    assert digest(program, tmp_path) == pytest.approx(json.loads(DIGEST.read_text()), abs=0.01)


def digest(program: Path, folder: Path) -> dict[str, Any]:
    """What the package's weights make of a phantom, in figures."""
    case = phantom("patient", 0, seed=11, spacing=2.0)
    write(folder / "sub-02_FLAIR.nii.gz", case.image, np.diag([2.0, 2, 2, 1]))
    run(program, "synthesize", "sub-02_FLAIR.nii.gz", "-o", "phantom", "--backend", "torch", cwd=folder)

    def made(name: str) -> NDArray[np.float32]:
        data = nib.load(folder / f"phantom/sub-02_{name}.nii.gz").get_fdata(dtype=np.float32)
        return np.moveaxis(data, 2, 0)

    top = np.percentile(case.image[case.image > 0], 99.5)
    x, truth = (np.moveaxis(data / top, 2, 0).clip(0, 1) for data in (case.image, case.truth))
    healthy = (made("desc-pseudohealthy_FLAIR") / top).clip(0, 1)
    lesion = np.moveaxis(case.mask, 2, 0)
    shown = lesion.any(axis=(1, 2))
    report = json.loads((folder / "phantom/sub-02_desc-pseudohealthy_report.json").read_text())
    return {
        "sha256": report["weights"]["sha256"],
        "identity": float(identity(healthy[shown], x[shown], lesion[shown]).mean()),
        "error_in_lesion": float(np.abs(healthy - truth)[lesion].mean()),
        "error_of_the_input": float(np.abs(x - truth)[lesion].mean()),
        "dice": dice(made("space-orig_label-lesion_desc-pseudohealthy_mask") > 0, lesion),
    }
