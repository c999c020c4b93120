"""What became of each image: a small JSON file for each, so that many machines can write at once."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from pseudohealthy.errors import PseudohealthyError
from pseudohealthy.experiment.selection import Subject, session
from pseudohealthy.files import make_folder, replace, write_json

LOGS = "logs"
TABLE = "status.tsv"


class MadeFrom(BaseModel):
    """What decides whether outputs are those asked for: SHA-256 of what went in, and the products."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input: str
    weights: str
    blend: bool
    brain_mask: str | None = None
    lesion_mask: str | None = None

    def unlike(self, other: MadeFrom) -> str:
        """In words, how `other` differs."""
        words = {
            "input": "another input",
            "weights": "other weights",
            "blend": f"{'' if other.blend else 'no '}--blend",
            "brain_mask": "another brain mask" if self.brain_mask else "a brain mask",
            "lesion_mask": "another lesion mask" if self.lesion_mask else "a lesion mask",
        }
        return ", ".join(word for key, word in words.items() if getattr(self, key) != getattr(other, key))


class Record(BaseModel):
    """What became of one image, or of a subject that has none.

    Attributes:
        subject: `sub-01`.
        image: its path in the data set; None for a subject without an image.
        status: `done` now, `kept` as it was done before, or `failed`.
        reason: one line, where it failed.
        trace: where in the program, if the failure was not foreseen.
        made_from: None where it failed.
        files: the outputs' paths inside OUT_DIR, by what they are.
        seconds: that it took.
        machine: `host:process` that did it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    subject: str
    image: str | None
    status: Literal["done", "kept", "failed"]
    reason: str = ""
    trace: str = ""
    made_from: MadeFrom | None = None
    files: dict[str, str] = {}
    seconds: float = 0.0
    machine: str = ""

    @property
    def name(self) -> str:
        """What a person calls it: the image's path, else the subject."""
        return self.image or self.subject

    def finished(self, out: Path) -> bool:
        """Whether its whole set of files is there."""
        return self.status == "done" and all((out / path).is_file() for path in self.files.values())

    def write(self, out: Path) -> None:
        """Keep it in `out`.

        Raises:
            PseudohealthyError: the disk is full.
        """
        make_folder(out / LOGS)
        write_json(_path(out, self.name), self.model_dump())


def read_record(out: Path, name: str) -> Record | None:
    """The record of an image or subject by its `name`; None where there is none, or a damaged one."""
    try:
        return Record.model_validate_json(_path(out, name).read_bytes())
    except (OSError, ValidationError):
        return None


def records(out: Path, subjects: Sequence[Subject]) -> dict[str, Record | None]:
    """The record of each image, or of the subject where it has none; None where it was not tried yet."""
    names = [name for subject in subjects for name in subject.images or (subject.label,)]
    return {name: read_record(out, name) for name in names}


def write_table(out: Path, subjects: Sequence[Subject]) -> Path:
    """`logs/status.tsv`: a row for each image, with what became of it and why; returns the file.

    Raises:
        PseudohealthyError: the disk is full.
    """
    rows = [_row(name, record) for name, record in records(out, subjects).items()]
    make_folder(out / LOGS)
    path = out / LOGS / TABLE
    table = pd.DataFrame(rows)
    replace(path, lambda part: table.to_csv(part, sep="\t", index=False, na_rep="n/a", float_format="%.1f"))
    return path


def forget(out: Path, name: str) -> None:
    """Remove the record of an image or subject, if there is one."""
    with contextlib.suppress(OSError):
        _path(out, name).unlink(missing_ok=True)


def keep(out: Path, record: Record) -> None:
    """Write a record of a failure, or do without it: the disk may be what failed, or `out` not there."""
    if out.is_dir():
        with contextlib.suppress(PseudohealthyError):
            record.write(out)


def _row(name: str, record: Record | None) -> dict[str, object]:
    is_image = "/" in name
    return {
        "participant_id": name.partition("/")[0],
        "session_id": (session(name) if is_image else None) or "n/a",
        "image": name if is_image else "n/a",
        "status": record.status if record else "not tried yet",
        "reason": record.reason.replace("\t", " ") if record and record.reason else "n/a",
        "seconds": record.seconds if record else None,
        "machine": record.machine if record and record.machine else "n/a",
    }


def _path(out: Path, name: str) -> Path:
    stem = name.rsplit("/", 1)[-1].removesuffix(".gz").removesuffix(".nii")
    return out / LOGS / f"{stem}.json"
