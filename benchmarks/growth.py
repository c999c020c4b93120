"""Cohorts of 10, 100 and 1,000 volumes: does memory stay flat, does time grow in proportion?

Phantoms, a hundred different ones at most: a larger cohort holds each of them under several names. All are
prepared; of each cohort 200 are processed at most, one after the other by one process.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.formulas import widened
from benchmarks.volume import fresh
from pseudohealthy.config import preprocessing
from pseudohealthy.data.cohort import read_cohort
from pseudohealthy.data.prepare import prepare
from pseudohealthy.data.prepared import Prepared
from pseudohealthy.phantom.dataset import make_phantoms
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.synthesize import synthesize
from pseudohealthy.training.loop import train

SPACING = 4.0  # mm: a thousand subjects in minutes
DIFFERENT, PROCESSED = 100, 200
STEPS = 20
WIDTH = 4


def rows(sizes: Sequence[int]) -> Iterator[dict[str, Any]]:
    """A row a size: seconds a volume and peak memory, both as ratios to the smallest cohort's."""
    first: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        different = Path(folder) / "different"
        make_phantoms(different, patients=min(max(sizes), DIFFERENT), spacing=SPACING)
        for size in sizes:
            command = [sys.executable, "-m", "benchmarks.growth", str(cohort_of(different, size))]
            measures = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            first = first or measures
            yield {
                "name": f"growth_{size}_volumes",
                "volumes": size,
                "memory_mb": measures["memory_mb"],
                "memory_over_smallest": measures["memory_mb"] / first["memory_mb"],
                "prepare_seconds_a_volume": measures["prepare"] / size,
                "prepare_over_smallest": measures["prepare"] / size / (first["prepare"] / sizes[0]),
                "step_seconds": measures["step"],
                "step_over_smallest": measures["step"] / first["step"],
                "processed": min(size, PROCESSED),
                "synthesis_seconds_a_volume": measures["synthesis"],
                "synthesis_over_smallest": measures["synthesis"] / first["synthesis"],
            }


def cohort_of(different: Path, size: int) -> Path:
    """A BraTS-like folder of `size` patients, by turns those of a data set of phantoms."""
    images = sorted(different.glob("sub-P*/anat/*_FLAIR.nii.gz"))
    out = different.with_name(f"cohort-{size}")
    for number in range(size):
        image = images[number % len(images)]
        name = f"{number:04d}"
        (out / name).mkdir(parents=True)
        (mask,) = (different / "derivatives/lesions").rglob(f"{image.name.split('_')[0]}_*.nii.gz")
        (out / name / f"{name}_flair.nii.gz").hardlink_to(image)
        (out / name / f"{name}_seg.nii.gz").hardlink_to(mask)
    return out


def measured(data: Path) -> dict[str, float]:
    """Seconds to prepare a cohort, of a training step on it and to process a volume; peak memory in MB."""
    out = data.with_name(f"{data.name}-prepared")
    began = time.perf_counter()
    settings = preprocessing("midl2019", {"slice_shape": [64, 48], "spacing": SPACING})
    prepare(read_cohort([data]), out, settings)
    prepared = time.perf_counter() - began
    chosen = widened("judge", WIDTH, f"training.images={4 * STEPS}")
    run = data.with_name(f"{data.name}-run")
    train(Prepared.open(out), run, chosen, accelerator="cpu")
    step = json.loads((run / "clock.json").read_text(encoding="utf-8"))["seconds"] / STEPS
    model = Model.load(fresh(data.with_name(f"{data.name}-weights"), WIDTH), "cpu", "torch")
    out_folder = data.with_name(f"{data.name}-synthesized")
    began = time.perf_counter()
    images = sorted(data.rglob("*_flair.nii.gz"))[:PROCESSED]
    for image in images:
        synthesize(image, model).save(out_folder, image.name)
        shutil.rmtree(out_folder)  # a page is 3 MB
    synthesis = (time.perf_counter() - began) / len(images)
    return {"prepare": prepared, "step": step, "synthesis": synthesis, "memory_mb": peak_memory()}


def peak_memory() -> float:
    """The most memory that this process has held, in MB.

    On Linux not from `getrusage`: a child begins there with what its parent held when it started it, which
    would make every cohort look as small as the parent is large.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


if __name__ == "__main__":
    print(json.dumps(measured(Path(sys.argv[1]))))
