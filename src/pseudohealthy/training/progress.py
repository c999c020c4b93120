"""How a training run is followed: a bar or lines with the time left, lines of metrics, preview panels."""

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

from pseudohealthy.errors import InputError
from pseudohealthy.files import MEGABYTE, read_text, replace
from pseudohealthy.json_files import parse_json
from pseudohealthy.report.figures import panel

LARGEST = 1024 * MEGABYTE  # of the lines of metrics
FIRST_LINE, NEXT_LINE = 10.0, 60.0  # without a terminal: seconds before the first line, and between lines
COUNTED = ("images", "warm_up_images")  # in a line of metrics; the second where there is a warm-up

now = time.monotonic


class Bar:
    """Images seen of images to see: a live bar on a terminal, else a line a minute and one at the end.

    A run of a few seconds ends without a line.

    Args:
        total: images to see; None where time decides.
        done: images seen before this run.
        label: of the run.
        visible: False on all processes but the first.
    """

    def __init__(self, total: int | None, done: int, label: str, *, visible: bool = True) -> None:
        self.total, self.start, self.label, self.visible = total, done, label, visible
        console = Console(stderr=True)
        self.live = visible and console.is_terminal and not console.is_dumb_terminal
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
        self.images, self.losses, self.lines = done, "", 0
        self.began = now()
        self.next_line = self.began + FIRST_LINE

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()
        if self.lines and error is None:
            self._write_line()

    def advance(self, images: int, losses: Mapping[str, float] | None = None) -> None:
        """Show `images` seen, and the newest losses where there are some."""
        self.images = images
        if losses is not None:
            self.losses = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
        self.bar.update(self.task, completed=images, losses=self.losses)
        if self.visible and not self.live and now() >= self.next_line:
            self._write_line()
            self.next_line = now() + NEXT_LINE

    def _write_line(self) -> None:
        """`paired (default): 400/16000 images, 12 min left; L_CC 0.021 L_GAN1 0.254`."""
        self.lines += 1
        seconds, left = now() - self.began, 0 if self.total is None else self.total - self.images
        counted = f"{self.images}" if self.total is None else f"{self.images}/{self.total}"
        of_each = seconds / max(self.images - self.start, 1)
        when = f", {_duration(of_each * left)} left" if left > 0 else f" in {_duration(seconds)}"
        losses = f"; {self.losses}" if self.losses else ""
        print(f"{self.label}: {counted} images{when}{losses}", file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    """`40 s`, `12 min` or `3.4 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


class Metrics:
    """`metrics.jsonl`, with a line of losses for every so many images.

    Args:
        path: appended to; lines beyond `seen`, which an interrupted run wrote, are removed.
        seen: `images` so far, and `warm_up_images` if there were any.

    Raises:
        InputError: a whole line is none of metrics.
    """

    def __init__(self, path: Path, seen: Mapping[str, int]) -> None:
        self.path = path
        lines = [
            line
            for number, line in enumerate(_whole_lines(path), 1)
            if all(count <= seen.get(name, 0) for name, count in _counts(path, number, line).items())
        ]
        replace(path, lambda part: part.write_text("".join(lines), encoding="utf-8"))

    def write(self, seen: Mapping[str, int], values: Mapping[str, float]) -> None:
        """Add a line, of images seen and losses."""
        rounded = {name: float(f"{value:.6g}") for name, value in values.items()}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**seen, **rounded}) + "\n")


def _whole_lines(path: Path) -> list[str]:
    """The lines of the file; the last one counts only if it was written to its end."""
    try:
        lines = read_text(path, LARGEST).splitlines(keepends=True) if path.exists() else []
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read ({error}); delete it, the run goes on without it"
        ) from error
    return lines if not lines or lines[-1].endswith("}\n") else lines[:-1]


def _counts(path: Path, number: int, line: str) -> dict[str, int]:
    """The images in a line of metrics."""
    try:
        values = parse_json(line)
        return {name: int(values.get(name, 0)) for name in COUNTED}
    except (TypeError, ValueError) as error:
        raise InputError(
            f"{path}: line {number} is no line of metrics ({error}); delete this line or the file, the run "
            "goes on without it"
        ) from error


def preview_panel(
    path: Path, images: Mapping[str, NDArray[np.float32]], names: Sequence[str], title: str
) -> None:
    """Write a PNG of images `(N, H, W)` by their title: a row a slice, a column a title."""
    path.parent.mkdir(exist_ok=True)
    rows = [list(row) for row in zip(*images.values(), strict=True)]
    replace(path, lambda part: panel(part, list(images), rows, names=names, title=title))
