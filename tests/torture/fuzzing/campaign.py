"""A number of inputs, shared out to all targets; what became of them as figures."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

TESTS = Path(__file__).resolve().parents[2]
MOST_SECONDS = 10  # of a processor, for one input
LONGEST_WAIT = 120  # seconds on the clock, where other programs want the processor too
START_SECONDS = 300  # to import libraries and make sound files
IN_MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # a folder; None: the usual one
WORKER = (sys.executable, "-m", "torture.fuzzing.worker")
PATHS = f"{TESTS.parent / 'src'}{os.pathsep}{TESTS}"
REPEAT = "PYTHONPATH=src:tests python -m torture.fuzzing --seed {seed} --target {name} --number {number}"


@dataclass
class Figures:
    """What became of a target's inputs."""

    group: str
    inputs: int = 0
    refused: int = 0
    accepted: int = 0
    failed: int = 0
    defects: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    slowest_seconds: float = 0.0
    peak_memory_mb: float = 0.0

    def add(self, name: str, seed: int, number: int, result: Mapping[str, Any]) -> None:
        """Count one input."""
        self.inputs += 1
        self.accepted += result["code"] == 0
        self.refused += result["code"] == 2
        self.failed += result["code"] == 1
        self.seconds += result["seconds"]
        self.slowest_seconds = max(self.slowest_seconds, result["seconds"])
        self.peak_memory_mb = max(self.peak_memory_mb, result["memory_mb"])
        if "complaint" in result:
            repeat = REPEAT.format(seed=seed, name=name, number=number)
            kept = {key: result[key] for key in ("complaint", "saved") if key in result}
            self.defects.append({**kept, "repeat": repeat})


def shares(total: int, weights: Mapping[str, float]) -> dict[str, int]:
    """How many of `total` inputs each target gets: at least one."""
    whole = sum(weights.values())
    return {name: max(1, round(total * weight / whole)) for name, weight in weights.items()}


def campaign(
    parts: Mapping[str, range], groups: Mapping[str, str], seed: int, failures: Path
) -> dict[str, Figures]:
    """Read each target's inputs of these numbers, in a process that is ended where one takes too long.

    Args:
        parts: numbers of inputs by target.
        groups: of all targets.
        seed: decides what the inputs hold.
        failures: a folder, where those that broke a promise are copied to.
    """
    figures = {name: Figures(groups[name]) for name in parts}
    left = dict(parts)
    with tempfile.TemporaryDirectory(prefix="torture-", dir=IN_MEMORY, ignore_cleanup_errors=True) as root:
        while left:
            process = _Process(seed, left, Path(root), failures)
            process.follow(figures)
            left = process.left
    for each in figures.values():
        each.seconds = round(each.seconds, 2)
    return figures


class _Process:
    """One worker, followed to its end or until an input takes too long; what is then left is for another."""

    def __init__(self, seed: int, parts: Mapping[str, range], root: Path, failures: Path) -> None:
        self.seed, self.root, self.failures = seed, root, failures
        self.left = dict(parts)
        self.name, self.number = "", -1
        words = [f"{name}:{numbers.start}:{numbers.stop}" for name, numbers in parts.items()]
        self.command = [*WORKER, str(seed), str(root), str(failures), *words]

    def follow(self, figures: dict[str, Figures]) -> None:
        """Add what it reports to the figures."""
        environment = {**os.environ, "PYTHONPATH": PATHS, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
        log, reason, pipe = self.root / "worker.log", "", subprocess.PIPE
        with (
            log.open("wb") as errors,
            subprocess.Popen(self.command, stdout=pipe, stderr=errors, env=environment) as process,
        ):
            assert process.stdout is not None
            for line in _lines(process, process.stdout):
                if line is None:
                    reason = f"hang: more than {MOST_SECONDS} s"
                    process.kill()
                else:
                    self._take(line, figures)
        if process.returncode > 0:  # the worker's own error, not the reader's
            last = log.read_text(errors="replace").strip().rpartition("\n")[2]
            reason = f"the worker ended: {last[:200]}"
        if self.number >= 0:  # it ended in the middle of an input
            self._take_death(reason or f"killed by signal {-process.returncode}", figures)
        elif reason and not self.name:
            raise RuntimeError(reason)
        elif reason:  # no sound files could be made
            figures[self.name].defects.append({"complaint": reason, "repeat": " ".join(self.command)})
            del self.left[self.name]
        else:
            self.left = {}

    def _take(self, line: str, figures: dict[str, Figures]) -> None:
        kind, _, rest = line.partition(" ")
        if kind == "target":
            self.left = {name: self.left[name] for name in list(self.left)[list(self.left).index(rest) :]}
            self.name = rest
            print(f"{rest}: {len(self.left[rest])} inputs", flush=True)
        elif kind == "begin":
            self.number = int(rest)
        else:
            figures[self.name].add(self.name, self.seed, self.number, json.loads(rest))
            self.number = -1

    def _take_death(self, reason: str, figures: dict[str, Figures]) -> None:
        from torture.fuzzing.worker import save

        print(f"{self.name}, input {self.number}: {reason}", flush=True)
        place = save(self.root / "in", self.failures / f"{self.name}-{self.seed}-{self.number}", {})
        result = {"code": None, "seconds": 0, "memory_mb": 0, "complaint": reason, "saved": str(place)}
        figures[self.name].add(self.name, self.seed, self.number, result)
        self.left[self.name] = range(self.number + 1, self.left[self.name].stop)


def _lines(process: subprocess.Popen[bytes], stream: IO[bytes]) -> Iterator[str | None]:
    """The lines of a process; None where one is waited for too long."""
    rest = b""
    began, used, limit = time.monotonic(), _processor_seconds(process.pid), float(START_SECONDS)
    while True:
        ready, _, _ = select.select([stream], [], [], 1.0)
        if ready:
            piece = os.read(stream.fileno(), 65536)
            if not piece:
                return
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                yield line.decode()
            began, used = time.monotonic(), _processor_seconds(process.pid)
            limit = float(START_SECONDS if lines and lines[-1].startswith(b"target") else MOST_SECONDS)
        elif _processor_seconds(process.pid) - used > limit or time.monotonic() - began > max(
            limit, LONGEST_WAIT
        ):
            yield None
            return


def _processor_seconds(process: int) -> float:
    """Seconds of a processor that a process has used; 0 where it has ended."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def summary(figures: Mapping[str, Figures], seed: int, command: Sequence[str]) -> dict[str, Any]:
    """The figures of all targets, and what made them."""
    from pseudohealthy.provenance import provenance

    totals: Counter[str] = Counter()
    for each in figures.values():
        totals.update(inputs=each.inputs, refused=each.refused, accepted=each.accepted, failed=each.failed)
        totals.update(defects=len(each.defects))
    return {
        **provenance(),
        "command": " ".join(command),
        "seed": seed,
        "totals": {
            **totals,
            "seconds": round(sum(each.seconds for each in figures.values()), 1),
            "slowest_seconds": max(each.slowest_seconds for each in figures.values()),
            "peak_memory_mb": max(each.peak_memory_mb for each in figures.values()),
        },
        "limits": {"seconds": MOST_SECONDS, "memory_mb": 2048, "exit_codes": [0, 1, 2]},
        "targets": {name: vars(each) for name, each in figures.items()},
    }
