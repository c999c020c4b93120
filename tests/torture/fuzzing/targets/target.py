"""What a target is: sound files, ways to change them, and who reads them."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from pseudohealthy.cli.bids_app import app as bids_app
from pseudohealthy.cli.main import app
from torture.fuzzing.mutations import Change

CHANGED = "changed"  # a file beside the folder, with the path of the file that was changed in it
Undo = Callable[[], object]


@dataclass(frozen=True)
class Target:
    """One kind of input, and who reads it.

    Attributes:
        name: of the target.
        group: of the figures: NIfTI, DICOM, YAML, BIDS, JSON, weights, training state.
        share: of a campaign's inputs, beside those of the others.
        build: makes sound files in an empty folder.
        read: what is done with the folder; the second folder, empty, may be written to.
        changes: how files are changed, by their path in the folder; one file an input.
        disturb: changes the folder itself; the folder is made anew for each input.
        codes: exit codes that a refusal may have.
    """

    name: str
    group: str
    share: float
    build: Callable[[Path], object]
    read: Callable[[Path, Path], object]
    changes: Mapping[str, Change] = field(default_factory=dict)
    disturb: Callable[[Random, Path], object] | None = None
    codes: frozenset[int] = frozenset({2})

    def change(self, random: Random, folder: Path) -> Undo:
        """Change a sound folder; returns what makes it sound again."""
        if self.disturb is not None:
            self.disturb(random, folder)
            return lambda: self._anew(folder)
        name = random.choice(list(self.changes))
        path = folder / name
        content = path.read_bytes()
        path.write_bytes(self.changes[name](random, content))
        (folder.parent / CHANGED).write_text(name)
        return lambda: path.write_bytes(content)

    def _anew(self, folder: Path) -> None:
        _remove(folder)
        folder.mkdir()
        self.build(folder)


def changed_file(folder: Path) -> Path:
    """The file of the folder that was changed last."""
    return folder / (folder.parent / CHANGED).read_text()


def _remove(folder: Path) -> None:
    for place, names, _ in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                (Path(place) / name).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def run_pseudohealthy(*words: object) -> None:
    """Run `pseudohealthy` with these arguments."""
    app(args=[str(word) for word in words], prog_name="pseudohealthy")


def run_bids_app(*words: object) -> None:
    """Run `pseudohealthy-bids` with these arguments."""
    bids_app(args=[str(word) for word in words], prog_name="pseudohealthy-bids")


def made(folder: Path) -> Path:
    """A folder that is there, made if absent."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder
