"""The tutorials, and some how-tos, do what they say: commands and Python, run in order as a reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import pytest

from fixtures import reader_inputs

DOCS = Path(__file__).resolve().parents[2] / "docs"
NOT_RUN = "<!-- not run -->"  # before a block that needs a download, a cluster or another program
FENCE = re.compile(rf"^({re.escape(NOT_RUN)}\n)?```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LEFT = {
    "tutorials/neuroimager": (
        "healthy/sub-P001_desc-pseudohealthy_report.html",
        "healthy/sub-P001_desc-blend_FLAIR.nii.gz",
        "healthy_by_mask/sub-P001_desc-blend_FLAIR.nii.gz",
        "out/sub-P002/anat/sub-P002_desc-pseudohealthy_FLAIR.nii.gz",
        "out/group_report.html",
    ),
    "tutorials/researcher": ("run/results/table1.md", "run/results/report.html", "run/results/pairs.tsv"),
    "tutorials/developer": ("run/weights/model.safetensors",),
    "howto/export": ("onnx/segmentor.onnx", "bundle/configs/metadata.json"),
    "howto/transplant": (
        "with_lesion/sub-01_desc-transplanted_FLAIR.nii.gz",
        "with_my_lesion/sub-01_label-lesion_desc-transplanted_mask.nii.gz",
        "transplanted/participants.tsv",
        "prepared/both/slices.tsv",
        "from_patients/participants.tsv",
    ),
    "howto/dicom": (
        "healthy/export_desc-pseudohealthy_FLAIR.nii.gz",
        "healthy/export_desc-pseudohealthy_dicom/healthy_0001.dcm",
        "from_zip/export_desc-pseudohealthy_FLAIR.nii.gz",
        "by_name/export_desc-pseudohealthy_report.html",
        "from_python/dicom/lesion.dcm",
    ),
    "howto/uncertainty": (
        "unsure/sub-01_desc-uncertainty_FLAIR.nii.gz",
        "out/sub-P001/anat/sub-P001_desc-uncertainty_FLAIR.nii.gz",
        "runs/paired/weights/uncertainty.json",
        "calibration.json",
    ),
    "howto/lesion_filling": ("filled/sub-01_desc-blend_FLAIR.nii.gz",),
}
PRINTED = {
    "tutorials/neuroimager": (
        "skull: absent",
        "s on cpu (",  # torch, or openvino where it is installed
        "2 done, 0 skipped, 0 failed",
        "lesion_ml_z",
    ),
    "tutorials/researcher": ("to do  measure copy-raw", "INVALID", "valid: False", "copy 1.0 0.0"),
    "tutorials/developer": ("training.imges is not a setting; did you mean images?", "segmentor_dice"),
    "howto/export": ("'slice_shape': [208, 160]", "(3, 1, 208, 160)", "torch.Size([1, 1, 208, 160])"),
    "howto/transplant": ("my_mask.nii.gz", "9 made, 0 there already", "Prepared in prepared/both"),
    "howto/dicom": ("series: 5, AX T2 FLAIR", "series: 9, SAG FLAIR 3D"),
    "howto/uncertainty": ("lesion: 68 %", "1 done, 0 skipped, 0 failed"),
    "howto/lesion_filling": ("lesion: ",),
}
GIVEN: dict[str, Callable[[Path, Path], None]] = {  # puts what the reader has beforehand in a folder
    "howto/transplant": reader_inputs.for_transplant,
    "howto/dicom": reader_inputs.for_dicom,
    "howto/uncertainty": reader_inputs.for_uncertainty,
    "howto/lesion_filling": reader_inputs.for_lesion_filling,
}


def blocks(page: str) -> list[tuple[str, str]]:
    """Language and text of the blocks to run; neighbours of one language are one session."""
    found = [(language, text) for skip, language, text in FENCE.findall(page) if not skip]
    return [
        (language, "\n".join(text for _, text in group))
        for language, group in groupby(found, lambda block: block[0])
    ]


def test_blocks_of_one_language_are_one_session_and_marked_ones_are_left_out() -> None:
    page = f"""```bash
a
```
text
```bash
b
```
{NOT_RUN}
```bash
c
```
```text
d
```
```python
e
```
"""
    assert blocks(page) == [("bash", "a\n\nb\n"), ("python", "e\n")]


@pytest.fixture(scope="module")
def small_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return reader_inputs.small_study(tmp_path_factory.mktemp("made") / "study")


@pytest.mark.slow
@pytest.mark.parametrize("name", LEFT)
def test_a_page_runs_from_beginning_to_end(name: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if name in GIVEN:
        GIVEN[name](request.getfixturevalue("small_study"), tmp_path)
    printed = ""
    programs = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    for language, text in blocks((DOCS / f"{name}.md").read_text(encoding="utf-8")):
        done = subprocess.run(
            [*programs[language], text],
            cwd=tmp_path,
            env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
        printed += done.stdout
    assert [line for line in PRINTED[name] if line not in printed] == []
    assert [file for file in LEFT[name] if not (tmp_path / file).is_file()] == []


def test_every_tutorial_is_run() -> None:
    assert {f"tutorials/{path.stem}" for path in (DOCS / "tutorials").glob("*.md")} <= set(LEFT)
