"""One image and what becomes of it."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pseudohealthy.serve.inputs import shown_name, stored_name

State = Literal["uploading", "waiting", "working", "done", "failed", "cancelled"]
FINISHED: tuple[State, ...] = ("done", "failed", "cancelled")
EARLY = 0.1  # share of the work before which the time left is not told


@dataclass(eq=False)
class Job:
    """An image in the list.

    Attributes:
        name: as it is shown.
        stored: the name of its file; see `stored_name`.
        folder: its own.
        blend: whether an image in which only the lesion is replaced is made too.
        uncertainty: whether it is estimated how far the image may be off.
        id: of 128 random bits; who knows it may fetch the results.
        state: where it is.
        bytes: of the image.
        share: of the work that is done, 0 to 1.
        now: what is done at present.
        error: the one line that says what is wrong.
        result: what the worker told of what it has made.
        began: when the work began; by `time.monotonic`.
        seconds: that the work took.
        archiving: held while the zip of its files is written, or they are removed.
    """

    name: str
    stored: str
    folder: Path
    blend: bool
    uncertainty: bool
    id: str
    state: State = "uploading"
    bytes: int = 0
    share: float = 0.0
    now: str = ""
    error: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    began: float = 0.0
    seconds: float = 0.0
    archiving: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    def of(cls, given: str, folder: Path, *, blend: bool = False, uncertainty: bool = False) -> Job:
        """A job for a file of this name, with a folder of its own in `folder`."""
        identity = secrets.token_urlsafe(16)
        job = cls(shown_name(given), stored_name(given), folder / identity, blend, uncertainty, identity)
        job.image.parent.mkdir(parents=True)
        return job

    @property
    def image(self) -> Path:
        """The uploaded file."""
        return self.folder / "in" / self.stored

    @property
    def out(self) -> Path:
        """The folder of what is made."""
        return self.folder / "out"

    def begin(self) -> None:
        """The work begins."""
        self.state, self.began = "working", time.monotonic()

    def finish(self, state: State, **values: Any) -> None:
        """The work has ended, one way or another; `values` are attributes."""
        self.state = state
        self.seconds = round(time.monotonic() - self.began, 1) if self.began else 0.0
        for name, value in values.items():
            setattr(self, name, value)

    def file(self, kind: str) -> Path | None:
        """A file that was made, by what it is."""
        name = self.result.get("files", {}).get(kind) if self.state == "done" else None
        return self.out / name if name else None

    def seconds_left(self) -> float | None:
        """Of the work on it; None where that is not known."""
        if self.state != "working" or self.share < EARLY:
            return None
        return (time.monotonic() - self.began) * (1 - self.share) / self.share
