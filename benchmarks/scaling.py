"""Two processes instead of one: a training under torchrun, and trainings and volumes side by side."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.yardstick import spread
from pseudohealthy.phantom.dataset import make_phantoms

SUBJECTS = 8
IMAGES, WIDTH = 160, 8
SPINS = "300000"  # of a thread that waits, before it sleeps: what libgomp does where nobody chooses
PROGRAM = ("-m", "pseudohealthy.cli.main")


def rows(repeats: int, spacing: float = 1.0) -> Iterator[dict[str, Any]]:
    """How many times as fast two processes are as one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = make_phantoms(folder / "phantoms", patients=SUBJECTS, spacing=spacing)
        prepared = folder / "prepared"
        _run([sys.executable, *PROGRAM, "prepare", str(data), "-o", str(prepared)])
        yield _torchrun(folder, prepared, repeats)
        yield _trainings_at_once(folder, prepared, repeats)
        yield _volumes_at_once(folder, data, repeats)
        for beside in (False, True):
            yield _asleep(folder, prepared, repeats, beside=beside)


def _torchrun(folder: Path, prepared: Path, repeats: int) -> dict[str, Any]:
    """One training, one thread a process: images per second of two over one's."""
    ratios = []
    for repeat in range(repeats):
        speeds = []
        for processes in (1, 2):
            out = folder / f"torchrun-{repeat}-{processes}"
            launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
            _run([sys.executable, *launch, *_training(prepared, out)], threads=1)
            speeds.append(_speed(out))
        ratios.append(speeds[1] / speeds[0])
    return {"name": "torchrun_two_processes", "times_as_fast": spread(ratios)}


def _trainings_at_once(folder: Path, prepared: Path, repeats: int) -> dict[str, Any]:
    """Two trainings at once, half the threads each: images per second of both over those of one."""
    threads, ratios = torch.get_num_threads(), []
    for repeat in range(repeats):
        alone, *both = (folder / f"trained-{repeat}-{name}" for name in ("alone", "a", "b"))
        _run([sys.executable, *_training(prepared, alone)])
        with ThreadPoolExecutor(2) as pool:
            half = partial(_run, threads=max(1, threads // 2))
            list(pool.map(half, [[sys.executable, *_training(prepared, out)] for out in both]))
        ratios.append(2 * min(_speed(out) for out in both) / _speed(alone))  # both, until the last is done
    return {"name": "trainings_at_once", "times_as_fast": spread(ratios)}


def _asleep(folder: Path, prepared: Path, repeats: int, *, beside: bool) -> dict[str, Any]:
    """Threads that wait asleep (OMP_WAIT_POLICY=passive): images per second over those of threads that spin.

    Args:
        folder: for the runs.
        prepared: what is trained on.
        repeats: of both.
        beside: whether another process, of one thread, keeps a core busy all the while.
    """
    name, ratios = f"asleep_{'beside_another' if beside else 'alone'}", []
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if beside else None
    try:
        for repeat in range(repeats):
            speeds = []
            for spins in (SPINS, "0"):
                out = folder / f"{name}-{repeat}-{spins}"
                _run([sys.executable, *_training(prepared, out)], GOMP_SPINCOUNT=spins)
                speeds.append(_speed(out))
            ratios.append(speeds[1] / speeds[0])
    finally:
        if busy:
            busy.kill()
            busy.wait()
    return {"name": name, "times_as_fast": spread(ratios)}


def _training(prepared: Path, out: Path) -> list[str]:
    widths = [
        f"--set=networks.{each}={WIDTH}" for each in ("width", "segmentor_width", "discriminator_width")
    ]
    train = ["train", str(prepared), "-o", str(out), "--method", "paired", "--device", "cpu"]
    return [*PROGRAM, *train, f"--set=training.images={IMAGES}", *widths]


def _speed(run: Path) -> float:
    return float(IMAGES / json.loads((run / "clock.json").read_text())["seconds"])


def _volumes_at_once(folder: Path, data: Path, repeats: int) -> dict[str, Any]:
    """The same cores: volumes per hour of two processes over one's."""
    ratios = []
    for _ in range(repeats):
        seconds = []
        for jobs in (1, 2):
            out = folder / f"processed-{jobs}"
            app = [sys.executable, "-m", "pseudohealthy.cli.bids_app", str(data), str(out), "participant"]
            labels = [f"P{number:03d}" for number in range(1, SUBJECTS + 1)]
            began = time.perf_counter()
            _run([*app, "--jobs", str(jobs), "--device", "cpu", "--participant-label", *labels])
            seconds.append(time.perf_counter() - began)
            shutil.rmtree(out)
        ratios.append(seconds[0] / seconds[1])
    return {"name": "volumes_at_once", "volumes": SUBJECTS, "times_as_fast": spread(ratios)}


def _run(command: list[str], threads: int | None = None, **variables: str) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads or torch.get_num_threads()), **variables}
    subprocess.run(command, check=True, capture_output=True, env=environment)
