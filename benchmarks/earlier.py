"""The program beside an earlier version of itself: whole commands, by turns."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

from benchmarks.volume import run_alone, written, written_slice
from benchmarks.yardstick import spread
from pseudohealthy.phantom.dataset import make_phantoms

ROOT = Path(__file__).resolve().parents[1]
VERSION, COMMIT = "0.2.0", "7069a3f"  # that completed it
SUBJECTS, IMAGES = 6, 16
PROGRAM = (sys.executable, "-m", "pseudohealthy.cli.main")

When = Literal["before", "now"]
Measure = Callable[[When], tuple[float, float]]  # seconds, and the most memory in MB


def rows(repeats: int, spacing: float, width: int) -> Iterator[dict[str, Any]]:
    """A volume, a slice and a training: how many times as fast as before, and the memory over that of before.

    Args:
        repeats: of each version.
        spacing: of the volume and the slice, in mm.
        width: of the trained networks.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        unpack(folder / "before")
        images = {"volume": written(folder / "sub-01_FLAIR.nii.gz", spacing)}
        images["slice"] = written_slice(folder / "slice_FLAIR.nii.gz", spacing)
        for label, image in images.items():
            yield _compared(label, repeats, partial(_synthesis, folder, image))
        data = make_phantoms(folder / "phantoms", patients=SUBJECTS, spacing=4.0)
        for when in get_args(When):
            command = (*PROGRAM, "prepare", str(data), "-o", str(folder / f"prepared_{when}"))
            subprocess.run(command, env=_environment(folder, when), check=True, capture_output=True)
        yield _compared("training", repeats, partial(_training, folder, width))


def unpack(folder: Path) -> None:
    """Write the earlier version's sources, from the repository's history.

    Raises:
        SystemExit: the history does not reach back so far.
    """
    done = subprocess.run(["git", "archive", COMMIT, "src"], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"{ROOT} has no commit {COMMIT}, of version {VERSION}; clone the whole history")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")


def _environment(folder: Path, when: When) -> dict[str, str]:
    source = folder / "before/src" if when == "before" else ROOT / "src"
    return {**os.environ, "PYTHONPATH": str(source)}


def _synthesis(folder: Path, image: Path, when: When) -> tuple[float, float]:
    command = (*PROGRAM, "synthesize", str(image), "-o", str(folder / f"out_{when}"), "--overwrite")
    return run_alone(command, _environment(folder, when))


def _training(folder: Path, width: int, when: When) -> tuple[float, float]:
    """Of the preset of the paper, whose work is still the same."""
    names = ("width", "segmentor_width", "discriminator_width")
    chosen = ("--preset=midl2019", "--device=cpu", *(f"--set=networks.{name}={width}" for name in names))
    with tempfile.TemporaryDirectory(dir=folder) as name:
        out = Path(name, "run")
        command = (*PROGRAM, "train", str(folder / f"prepared_{when}"), "-o", str(out), *chosen)
        _, memory = run_alone((*command, f"--set=training.images={IMAGES}"), _environment(folder, when))
        return float(json.loads((out / "clock.json").read_text(encoding="utf-8"))["seconds"]), memory


def _compared(label: str, repeats: int, measure: Measure) -> dict[str, Any]:
    """The versions by turns; the first turn is not counted, for it has files to read."""
    turns = [{when: measure(when) for when in get_args(When)} for _ in range(repeats + 1)][1:]
    return {
        "name": f"earlier_{label}",
        "earlier": {"version": VERSION, "commit": COMMIT},
        "times_as_fast": spread([turn["before"][0] / turn["now"][0] for turn in turns]),
        "memory_over_before": spread([turn["now"][1] / turn["before"][1] for turn in turns]),
        **{
            f"{figure}_{when}": spread([turn[when][place] for turn in turns])
            for place, figure in enumerate(("seconds", "memory_mb"))
            for when in get_args(When)
        },
    }
