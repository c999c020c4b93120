"""A whole volume, NIfTI to NIfTI: the networks, what is around them, and the first start of the program."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import nibabel
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.formulas import forward, widened
from benchmarks.yardstick import Machine, spread
from pseudohealthy.config import preprocessing
from pseudohealthy.data.volume import read_volume
from pseudohealthy.methods.factory import build
from pseudohealthy.phantom.subject import phantom
from pseudohealthy.synthesis import inputs
from pseudohealthy.synthesis.bundled_weights import bundled_weights
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.synthesize import synthesize
from pseudohealthy.training.checkpoint import save_weights
from pseudohealthy.training.weights import read_config

SHAPE = (240, 240, 155)  # a BraTS volume's
# A process of its own, for the system counts what a program's parent has as the program's
MEASURE = """
import resource, subprocess, sys, time
began = time.perf_counter()
subprocess.run(sys.argv[1:], check=True, capture_output=True)
print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
REPEATS = 3  # at most: the eager version takes a minute


def rows(machine: Machine, width: int, spacing: float = 1.0) -> Iterator[dict[str, Any]]:
    """A row with the paper's networks, fresh, and one with the package's weights; uncertainty; cold starts.

    Paired, unpaired and semi-supervised have the same networks; other methods have no segmentor and
    synthesize slices only.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image = written(folder / "sub-01_FLAIR.nii.gz", spacing)
        yield _row(machine, image, fresh(folder / "weights", width), f"volume_w{width}")
        yield _row(machine, image, bundled_weights(), "volume_embedded")
        yield _uncertainty(machine, image)
        yield from cold(folder, image, machine.repeats, spacing)


def written(path: Path, spacing: float) -> Path:
    """A phantom's image in the middle of a field of 240 x 240 x 155 mm."""
    data = phantom("patient", 0, seed=3, spacing=spacing).image
    shape = [round(side / spacing) for side in SHAPE]
    for axis, want in enumerate(shape):
        spare = max((data.shape[axis] - want) // 2, 0)
        data = np.take(data, range(spare, spare + min(want, data.shape[axis])), axis)
    short = [want - have for have, want in zip(data.shape, shape, strict=True)]
    margins = [(missing // 2, missing - missing // 2) for missing in short]
    nibabel.save(nibabel.Nifti1Image(np.pad(data, margins), _affine(spacing)), path)
    return path


def written_slice(path: Path, spacing: float) -> Path:
    """The middle slice of that phantom's image."""
    data = phantom("patient", 0, seed=3, spacing=spacing).image
    nibabel.save(nibabel.Nifti1Image(data[:, :, [data.shape[2] // 2]], _affine(spacing)), path)
    return path


def _affine(spacing: float) -> NDArray[np.float64]:
    return np.diag([spacing, spacing, spacing, 1.0])


def fresh(folder: Path, width: int) -> Path:
    """Untrained weights of the paper's networks."""
    chosen = widened("paired", width)
    torch.manual_seed(0)
    config = {
        "settings": chosen.model_dump(mode="json"),
        "preprocessing": preprocessing("default", {}).model_dump(mode="json"),
        "data": {"key": "none", "cohort": "none", "train": 0},
        "images": 0,
        "averaged": False,
    }
    folder.mkdir()
    save_weights(folder, build(chosen).generators, config)
    return folder


def _row(machine: Machine, image: Path, weights: Path, name: str) -> dict[str, Any]:
    began = time.perf_counter()
    model = Model.load(weights, machine.device.type, "auto")
    loading = time.perf_counter() - began
    networks = read_config(weights)["settings"]["networks"]
    widths = {"G": networks["width"], "S": networks["segmentor_width"]}
    a_slice = sum(forward("paired", wide)[letter] for letter, wide in widths.items())
    eager, products = Model.load(weights, machine.device.type, "torch"), machine.products()
    first = _timed(image, model)  # which converts the networks, too
    _timed(image, eager)
    runs: list[Timing] = []
    fractions: dict[str, list[float]] = {"peak": [], "bf16_peak": []}
    ratios: list[float] = []
    around: list[float] = []
    for _ in range(min(machine.repeats, REPEATS)):
        beside = machine.beside(lambda: runs.append(_timed(image, model)), products)
        flops = runs[-1].facts["slices"]["all"] * a_slice
        fractions["peak"].append(flops / runs[-1].networks / beside.peak)
        fractions["bf16_peak"].append(flops / runs[-1].networks / beside.bf16_peak)
        slow = _timed(image, eager)
        ratios.append(slow.whole / runs[-1].whole)
        around.append((runs[-1].around + runs[-1].report) / slow.networks)
    return {
        "name": name,
        **runs[-1].facts,
        **{f"network_fraction_of_{peak}": spread(found) for peak, found in fractions.items()},
        "vs_eager_fp32": spread(ratios),
        "overhead_over_network": spread([run.around / run.networks for run in runs]),
        "overhead_shares": {
            part: float(f"{median([getattr(run, part) / run.networks for run in runs]):.2g}")
            for part in ("reading", "geometry", "writing")
        },
        "report_over_network": spread([run.report / run.networks for run in runs]),
        "around_over_eager_network": spread(around),
        "seconds": spread([run.whole for run in runs]),
        "loading_seconds": round(loading, 2),
        "converting_seconds": round(max(first.networks - median([run.networks for run in runs]), 0), 2),
    }


def _uncertainty(machine: Machine, image: Path) -> dict[str, Any]:
    """A volume with its uncertainty, file to files, over the same without; the package's weights."""
    model = Model.load(bundled_weights(), machine.device.type, "auto")
    ratios = []
    for _ in range(1 + min(machine.repeats, REPEATS)):
        plain, unsure = (_timed(image, model, uncertainty=asked).whole for asked in (False, True))
        ratios.append(unsure / plain)
    return {"name": "uncertainty_embedded", "over_plain": spread(ratios[1:])}  # the first converts networks


@dataclass(frozen=True)
class Timing:
    """Seconds of one volume: all, and of its parts; and what was done.

    Attributes:
        whole: from the file to the last file.
        networks: theirs.
        reading: of the image.
        writing: of the volumes and what lies beside them.
        report: that panel and page add to it.
        facts: backend and slices, as the run report has them.
    """

    whole: float
    networks: float
    reading: float
    writing: float
    report: float
    facts: dict[str, Any]

    @property
    def around(self) -> float:
        """Reading, geometry and writing."""
        return self.whole - self.networks - self.report

    @property
    def geometry(self) -> float:
        """Between file and networks, and back: brain, orientation, grid, intensities, sizes."""
        return self.around - self.reading - self.writing


def _timed(image: Path, model: Model, *, uncertainty: bool = False) -> Timing:
    """One volume; its files are written with panel and page, and without, as drawing and writing overlap."""
    reading: list[float] = []

    def read(*arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        done = read_volume(*arguments, **named)
        reading.append(time.perf_counter() - began)
        return done

    with tempfile.TemporaryDirectory() as out, patch.object(inputs, "read_volume", read):
        began = time.perf_counter()
        made = synthesize(image, model, uncertainty=uncertainty)
        made_at = time.perf_counter()
        made.save(Path(out) / "all", image.name)
        ended = time.perf_counter()
        made.save(Path(out) / "files", image.name, page=False)
        writing = time.perf_counter() - ended
    networks = made.report["seconds"]["networks"]
    facts = {"backend": made.report["backend"], "slices": made.report["slices"]}
    return Timing(ended - began, networks, sum(reading), writing, ended - made_at - writing, facts)


def cold(folder: Path, volume: Path, repeats: int, spacing: float) -> Iterator[dict[str, Any]]:
    """`--help`, a single slice and a volume in a fresh process, beside one that only imports torch."""
    image = written_slice(folder / "slice_FLAIR.nii.gz", spacing)
    program = [sys.executable, "-m", "pseudohealthy.cli.main"]
    synthesizing = [*program, "synthesize", "-o", str(folder / "out"), "--overwrite"]
    commands = {
        "help": ([*program, "--help"], repeats),
        "single_slice": ([*synthesizing, str(image)], repeats),
        "volume": ([*synthesizing, str(volume)], min(repeats, REPEATS)),
    }
    keys = ("seconds", "over_import_of_torch", "memory_mb")
    for name, (command, times) in commands.items():
        runs = []
        for _ in range(times + 1):
            (seconds, memory), (yardstick, _) = map(
                run_alone, (command, [sys.executable, "-c", "import torch"])
            )
            runs.append((seconds, seconds / yardstick, memory))
        values = zip(*runs[1:], strict=True)  # the first has its files to read from the disk
        yield {"name": f"cold_{name}", **{key: spread(each) for key, each in zip(keys, values, strict=True)}}


def run_alone(command: Sequence[str], environment: Mapping[str, str] | None = None) -> tuple[float, float]:
    """Seconds that a program takes, and the most memory that it has, in MB."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *command], check=True, capture_output=True, text=True, env=environment
    )
    seconds, memory = map(float, done.stdout.split())
    return seconds, memory * (1 if sys.platform == "darwin" else 1024) / 1e6
