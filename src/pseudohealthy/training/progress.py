"""What a person sees of a training run: a bar with the time left, a line of metrics, sample panels."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pseudohealthy.files import replace
from pseudohealthy.report.figures import panel

QUIET_SECONDS = 60
COUNTED = ("images", "warm_up_images")  # in a line of metrics; the second where there is a warm-up


class Bar:
    """Images seen of images to see: a live bar on a terminal, else a line each minute.

    Args:
        total: images to see; None where nobody knows.
        done: images seen before this run.
        label: what is being trained.
        shown: False on all processes but the first.
    """

    def __init__(self, total: int | None, done: int, label: str, *, shown: bool = True) -> None:
        self.total, self.start, self.label, self.shown = total, done, label, shown
        console = Console(stderr=True)
        self.live = shown and console.is_terminal
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("images, left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}"),
            console=console,
            disable=not self.live,
        )
        self.task = self.bar.add_task(label, total=total, completed=done, losses="")
        self.began = self.said = time.monotonic()

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def advance(self, images: int, losses: Mapping[str, float] | None = None) -> None:
        """Show `images` seen, and the newest losses where there are some."""
        if losses is not None:
            text = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
            self.bar.update(self.task, losses=text)
        self.bar.update(self.task, completed=images)
        now = time.monotonic()
        if self.shown and not self.live and now - self.said > QUIET_SECONDS:
            self.said = now
            print(f"{self.label}: {self._told(images, now)}", file=sys.stderr, flush=True)

    def _told(self, images: int, now: float) -> str:
        minutes = (now - self.began) / 60
        if self.total is None:
            return f"{images} images in {minutes:.0f} min"
        left = minutes / max(images - self.start, 1) * (self.total - images)
        return f"{images}/{self.total} images, {left:.0f} min left"


class Metrics:
    """`metrics.jsonl`: one line of losses each so many images.

    Args:
        path: appended to; lines beyond `images`, of a run that was interrupted after them, are taken away.
        seen: images seen so far, and those of the warm-up if there was one.
    """

    def __init__(self, path: Path, seen: Mapping[str, int]) -> None:
        self.path = path
        kept = [
            line
            for line in _whole_lines(path)
            if all(json.loads(line).get(name, 0) <= seen.get(name, 0) for name in COUNTED)
        ]
        path.write_text("".join(kept), encoding="utf-8")

    def write(self, seen: Mapping[str, int], values: Mapping[str, float]) -> None:
        """Add a line, of images seen and losses."""
        rounded = {name: float(f"{value:.6g}") for name, value in values.items()}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**seen, **rounded}) + "\n")


def _whole_lines(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
    return [line for line in lines if line.endswith("}\n")]


def sample_panel(
    path: Path, images: Mapping[str, NDArray[np.float32]], names: Sequence[str], title: str
) -> None:
    """A panel of stacks `(N, H, W)` by their name, one row a slice."""
    path.parent.mkdir(exist_ok=True)
    rows = [list(row) for row in zip(*images.values(), strict=True)]
    replace(path, lambda part: panel(part, list(images), rows, names=names, title=title))
