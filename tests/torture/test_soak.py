"""Many volumes in one process take no more and more, and a data set outlives the workers that process it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fixtures.cohorts import study
from fixtures.models import saved
from pseudohealthy.bids_app.executors import run_dask, run_serial
from pseudohealthy.bids_app.job import Job
from pseudohealthy.bids_app.output_dataset import describe
from pseudohealthy.bids_app.selection import select
from pseudohealthy.files import write_json
from pseudohealthy.provenance import provenance
from pseudohealthy.synthesis.model import Model
from pseudohealthy.synthesis.synthesize import synthesize
from torture.machine import alone

RESULTS = "PSEUDOHEALTHY_RELIABILITY"  # environment variable: the folder that gets `soak.json`
MOST_KB = 20.0  # a volume, of memory that stays: half of what one array of these volumes takes
SETTLED = 100  # volumes until memory is what it will be
MANY, FEW = 500, 10
FEW_MB = 32.0  # that a few volumes may add, for caches that fill
SUBJECTS = 8
SAME = (".nii.gz", ".png")  # of the outputs, what holds no times
measured: dict[str, Any] = {}


@pytest.fixture(scope="module", autouse=True)
def figures() -> Iterator[None]:
    """Writes what was measured, where a folder for it is named."""
    yield
    if folder := os.environ.get(RESULTS):
        write_json(Path(folder) / "soak.json", {**measured, **provenance()})


def process_many(volumes: int, place: Path) -> tuple[list[float], list[int]]:
    """Resident memory in kB and open descriptors after each volume of many, in one process."""
    image = study(place / "study", 1) / "sub-01/anat/sub-01_FLAIR.nii.gz"
    model = Model.load(saved(place / "weights"), "cpu")
    memory, descriptors = [], []
    for _ in range(volumes):
        synthesize(image, model).save(place / "out", image.name, overwrite=True)
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        memory.append(pages * os.sysconf("SC_PAGE_SIZE") / 1024)
        descriptors.append(len(os.listdir("/proc/self/fd")))  # noqa: PTH208
    return memory, descriptors


needs_proc = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux' /proc")


@needs_proc
def test_a_few_volumes_leave_nothing_open(tmp_path: Path) -> None:
    memory, descriptors = alone(process_many, FEW, tmp_path)
    assert len(set(descriptors[1:])) == 1
    assert memory[-1] - memory[FEW // 2] < 1024 * FEW_MB


@needs_proc
@pytest.mark.torture
def test_many_volumes_take_no_more_memory_than_a_hundred(tmp_path: Path) -> None:
    memory, descriptors = alone(process_many, MANY, tmp_path)
    slope = float(np.polyfit(np.arange(SETTLED, MANY), memory[SETTLED:], 1)[0])
    measured["one_process"] = {
        "volumes": MANY,
        "settled_after": SETTLED,
        "kb_a_volume": round(slope, 3),
        "most_kb_a_volume": MOST_KB,
        "mb_after_100": round(memory[SETTLED] / 1024, 1),
        "mb_at_the_end": round(memory[-1] / 1024, 1),
        "descriptors": sorted(set(descriptors[SETTLED:])),
    }
    assert slope < MOST_KB
    assert len(set(descriptors[SETTLED:])) == 1


def images(out: Path) -> dict[str, bytes]:
    """The outputs that hold no times."""
    return {
        str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.name.endswith(SAME)
    }


def lose_a_worker(place: Path) -> dict[str, Any]:
    """A data set by two workers of Dask, one of which is killed, and by one process."""
    from distributed import LocalCluster

    raw, weights = study(place / "study", SUBJECTS), saved(place / "weights")
    outs = [place / name for name in ("dask", "alone")]
    for out in outs:
        describe(raw, out)
    jobs = [Job(raw, out, weights, device="cpu").checked() for out in outs]
    killed, records = 0, []
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        for done in run_dask(select(raw), jobs[0], cluster.scheduler_address, lambda _: None):
            records += done
            if not killed:
                killed = int(done[0].machine.rpartition(":")[2])
                os.kill(killed, signal.SIGKILL)
    for done in run_serial(select(raw), jobs[1]):
        assert [record.status for record in done] == ["done"]
    machines = {record.machine for record in records}
    return {
        "subjects": SUBJECTS,
        "statuses": sorted({record.status for record in records}),
        "records": len(records),
        "processes": len(machines),
        "identical": images(outs[0]) == images(outs[1]),
        "images": len(images(outs[0])),
    }


@pytest.mark.torture
def test_a_killed_worker_of_dask_loses_nothing(tmp_path: Path) -> None:
    """What it had done is found finished, and the other worker or its heir does the rest."""
    pytest.importorskip("distributed")
    found = alone(lose_a_worker, tmp_path)
    measured["dask"] = found
    assert found["identical"]
    assert found["records"] == SUBJECTS
    assert set(found["statuses"]) <= {"done", "skipped"}
    assert found["processes"] > 1
