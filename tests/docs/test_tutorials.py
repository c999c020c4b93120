"""The tutorials, and a how-to, do what they say: commands and Python, run in order as a reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest

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
}
PRINTED = {
    "tutorials/neuroimager": (
        "skull: absent",
        "s on cpu (torch)",
        "2 done, 0 skipped, 0 failed",
        "lesion_ml_z",
    ),
    "tutorials/researcher": ("to do  measure copy-raw", "INVALID", "valid: False", "copy 1.0 0.0"),
    "tutorials/developer": ("training.imges is not a setting; did you mean images?", "segmentor_dice"),
    "howto/export": ("'slice_shape': [208, 160]", "(3, 1, 208, 160)", "torch.Size([1, 1, 208, 160])"),
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


@pytest.mark.slow
@pytest.mark.parametrize("name", LEFT)
def test_a_page_runs_from_beginning_to_end(name: str, tmp_path: Path) -> None:
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
