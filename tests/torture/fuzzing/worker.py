"""A process that makes inputs, one after another, reads them, and reports a line of JSON for each.

The process that started it ends it where an input takes too long, and starts another one behind that input.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, TextIO

from torture.fuzzing.targets import BY_NAME, Target
from torture.fuzzing.targets.target import made
from torture.fuzzing.verdict import (
    MOST_MEMORY_MB,
    Watch,
    complaint,
    emptied,
    fingerprint,
    forget_peak,
    outcome,
    peak_memory_mb,
)

ADDRESS_SPACE = 12 * 2**30  # bytes, of libraries and all; what is used is measured
SLOW = frozenset(
    {
        *("resume", "synthesize", "synthesize_mask", "synthesize_dicom", "bids_participant", "results"),
        *("transplant_lesion", "transplant_masks", "transplant_library"),
    }
)
TWICE = 4  # every so many-th input of the slow ones is read twice; of the others each


class Sandbox:
    """A folder of sound files that is disturbed for each input, and a folder for what is written."""

    def __init__(self, root: Path, target: Target) -> None:
        self.target, self.folder, self.out = target, root / "in", root / "out"
        for path in (self.folder, self.out):
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir(parents=True)
        sound = root / sound_name(target)
        if target.build.__name__ == "<lambda>" or not target.changes:
            target.build(self.folder)
            return
        if not sound.exists():
            target.build(made(sound))
        shutil.copytree(sound, self.folder, symlinks=True, dirs_exist_ok=True)

    def judge(self, seed: int, number: int, watch: Watch) -> dict[str, Any]:
        """Make one input and read it; returns what became of it, with `complaint` where a promise broke."""
        undo = self.target.change(Random(f"{seed}/{self.target.name}/{number}"), self.folder)
        before = fingerprint(self.folder)
        forget_peak()
        began = time.perf_counter()
        with watch.on():
            done = outcome(lambda: self.target.read(self.folder, emptied(self.out)))
            seconds = time.perf_counter() - began
            twice = self.target.name not in SLOW or number % TWICE == 0
            again = outcome(lambda: self.target.read(self.folder, emptied(self.out))) if twice else None
        memory = peak_memory_mb()
        what = complaint(done, again, self.target.codes, watch.seen)
        if what is None and fingerprint(self.folder) != before:
            what = "its input was changed"
        if what is None and memory > MOST_MEMORY_MB:
            what = f"{memory:.0f} MB of memory"
        result: dict[str, Any] = {
            "code": done.code,
            "seconds": round(seconds, 4),
            "memory_mb": round(memory, 1),
        }
        if what is not None:
            result |= {"complaint": what, "text": done.text, "trace": done.trace}
        self.undo = undo
        return result

    def restore(self) -> None:
        """Make the folder sound again."""
        self.undo()


def sound_name(target: Target) -> str:
    """Of the folder that keeps a target's sound files for others that are built likewise."""
    return f"sound_{target.build.__module__}.{target.build.__name__}"


def work(parts: Sequence[tuple[str, range]], seed: int, root: Path, failures: Path, said: TextIO) -> None:
    """Judge the inputs of some numbers of each target.

    Writes `target NAME`, then `begin NUMBER` and `end {...}` for each input.
    """
    os.chdir(made(root / "cwd"))
    watch = Watch(root / "out")
    for name, numbers in parts:
        print("target", name, file=said, flush=True)
        box = Sandbox(root, BY_NAME[name])
        seen: set[str] = set()
        for number in numbers:
            print("begin", number, file=said, flush=True)
            result = box.judge(seed, number, watch)
            kind = result.get("complaint", "")[:60]
            if kind and kind not in seen:  # the first of a kind is saved
                seen.add(kind)
                result["saved"] = str(save(box.folder, failures / f"{name}-{seed}-{number}", result))
            box.restore()
            print("end", json.dumps(result), file=said, flush=True)


def save(folder: Path, place: Path, result: dict[str, Any]) -> Path:
    """Copy an input that broke a promise, with what became of it."""
    shutil.rmtree(place, ignore_errors=True)
    made(place)
    shutil.copytree(folder, place / "input", symlinks=True, ignore=_pipes, ignore_dangling_symlinks=True)
    (place / "result.json").write_text(json.dumps(result, indent=1))
    return place


def _pipes(place: str, names: list[str]) -> list[str]:
    return [
        name for name in names if not os.access(os.path.join(place, name), os.R_OK) or _is_pipe(place, name)
    ]


def _is_pipe(place: str, name: str) -> bool:
    path = Path(place) / name
    return not (path.is_file() or path.is_dir() or path.is_symlink())


def main() -> None:
    """`python -m torture.fuzzing.worker SEED ROOT FAILURES TARGET:FIRST:STOP ...`."""
    seed, root, failures, *parts = sys.argv[1:]
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    said = os.fdopen(os.dup(1), "w")
    split = [part.split(":") for part in parts]
    numbers = [(name, range(int(first), int(stop))) for name, first, stop in split]
    work(numbers, int(seed), Path(root), Path(failures), said)


if __name__ == "__main__":
    main()
